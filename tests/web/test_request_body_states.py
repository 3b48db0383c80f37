"""`apptuner_relay.web.request_body_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.request_body_states import (
    TRANSITIONS,
    UNREAD,
    UNWANTED,
    WHOLE,
    RequestBodyEvent,
    RequestBodyState,
)

EMPTY, BUFFER, COMPLETE, STREAM, HELD, ENDED, DROP, DISCARD = RequestBodyState
EXPECTED = {
    RequestBodyEvent.DATA: (
        BUFFER,
        BUFFER,
        COMPLETE,
        STREAM,
        HELD,
        ENDED,
        DROP,
        DISCARD,
    ),
    RequestBodyEvent.END: (COMPLETE, COMPLETE, COMPLETE, ENDED, ENDED, ENDED, DISCARD, DISCARD),
    RequestBodyEvent.CONNECTED: (
        STREAM,
        STREAM,
        ENDED,
        STREAM,
        HELD,
        ENDED,
        DROP,
        DISCARD,
    ),
    RequestBodyEvent.PAUSED: (EMPTY, BUFFER, COMPLETE, HELD, HELD, ENDED, DROP, DISCARD),
    RequestBodyEvent.RESUMED: (
        EMPTY,
        BUFFER,
        COMPLETE,
        STREAM,
        STREAM,
        ENDED,
        DROP,
        DISCARD,
    ),
    RequestBodyEvent.STOPPED: (
        DROP,
        DROP,
        DISCARD,
        DROP,
        DROP,
        DISCARD,
        DROP,
        DISCARD,
    ),
}
"""By event, where each state goes, in the order of `RequestBodyState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(RequestBodyState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(RequestBodyEvent))

    def test_whoever_stops_is_never_left_with_a_client_that_is_not_read(self) -> None:
        for state in RequestBodyState:
            after = TRANSITIONS.get((state, RequestBodyEvent.STOPPED), state)
            self.assertNotIn(after, UNREAD)
            self.assertIn(after, UNWANTED)

    def test_the_end_is_remembered(self) -> None:
        for state in RequestBodyState:
            whole = TRANSITIONS.get((state, RequestBodyEvent.END), state)
            for event in RequestBodyEvent:
                self.assertIn(TRANSITIONS.get((whole, event), whole), WHOLE)
