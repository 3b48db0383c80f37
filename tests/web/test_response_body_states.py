"""`apptuner_relay.web.response_body_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.response_body_states import (
    TRANSITIONS,
    ResponseBodyEvent,
    ResponseBodyState,
)

STREAMING, WAITING, ENDED, DROPPED, OVER = ResponseBodyState
EXPECTED = {
    ResponseBodyEvent.FULL: (WAITING, WAITING, ENDED, DROPPED, OVER),
    ResponseBodyEvent.ROOM: (STREAMING, STREAMING, OVER, DROPPED, OVER),
    ResponseBodyEvent.UNWANTED: (DROPPED, DROPPED, OVER, DROPPED, OVER),
    ResponseBodyEvent.LOST: (OVER, ENDED, ENDED, OVER, OVER),
}
"""By event, where each state goes, in the order of `ResponseBodyState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ResponseBodyState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ResponseBodyEvent))
