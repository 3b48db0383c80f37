"""`apptuner_relay.operator.alert_queue_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.alert_queue_states import TRANSITIONS, AlertQueueEvent, AlertQueueState

IDLE, SENDING, PAUSED, STOPPING, STOPPED = AlertQueueState
EXPECTED = {
    AlertQueueEvent.ADDED: (SENDING, SENDING, PAUSED, STOPPING, STOPPED),
    AlertQueueEvent.UNDELIVERED: (IDLE, PAUSED, PAUSED, STOPPING, STOPPED),
    AlertQueueEvent.PAUSE_OVER: (IDLE, SENDING, SENDING, STOPPING, STOPPED),
    AlertQueueEvent.EMPTIED: (IDLE, IDLE, PAUSED, STOPPED, STOPPED),
    AlertQueueEvent.STOP: (STOPPED, STOPPING, STOPPING, STOPPING, STOPPED),
    AlertQueueEvent.DEADLINE: (IDLE, SENDING, PAUSED, STOPPED, STOPPED),
}
"""By event, where each state goes, in the order of `AlertQueueState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(AlertQueueState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(AlertQueueEvent))
