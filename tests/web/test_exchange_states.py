"""`apptuner_relay.web.exchange_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.exchange_states import TRANSITIONS, ExchangeEvent, ExchangeState

RECEIVING, SENT, ANSWERED = ExchangeState
EXPECTED = {
    ExchangeEvent.SENT: (SENT, SENT, ANSWERED),
    ExchangeEvent.ANSWERED: (RECEIVING, ANSWERED, ANSWERED),
}
"""By event, where each state goes, in the order of `ExchangeState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ExchangeState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ExchangeEvent))
