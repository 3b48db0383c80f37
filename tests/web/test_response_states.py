"""`apptuner_relay.web.response_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.response_states import TRANSITIONS, ResponseEvent, ResponseState

OPEN, FULL, GONE, CUT = ResponseState
EXPECTED = {
    ResponseEvent.FILLED: (FULL, FULL, GONE, CUT),
    ResponseEvent.DRAINED: (OPEN, OPEN, GONE, CUT),
    ResponseEvent.ENDED: (GONE, GONE, GONE, CUT),
    ResponseEvent.STALLED: (OPEN, CUT, GONE, CUT),
}
"""By event, where each state goes, in the order of `ResponseState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ResponseState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ResponseEvent))
