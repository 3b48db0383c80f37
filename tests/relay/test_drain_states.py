"""`apptuner_relay.relay.drain_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.drain_states import TRANSITIONS, DrainEvent, DrainState

SERVING, DRAINING, DRAINED = DrainState
EXPECTED = {
    DrainEvent.ON: (DRAINING, DRAINING, DRAINED),
    DrainEvent.HANDED_OVER: (SERVING, DRAINED, DRAINED),
    DrainEvent.OFF: (SERVING, SERVING, SERVING),
}
"""By event, where each state goes, in the order of `DrainState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(DrainEvent))
        for event, states in EXPECTED.items():
            for before, after in zip(DrainState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)
