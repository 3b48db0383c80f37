"""`apptuner_relay.edge.closing_states`: every pair of state and event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.closing_states import (
    TAKES_MESSAGES,
    TRANSITIONS,
    ClosingEvent,
    ClosingState,
)

EXPECTED = {
    # What each event leads to: OPENED, DISMISS, CLOSE, CLOSE_RECEIVED, DROP, LOST.
    "CONNECTING": "OPEN - - - GONE GONE",
    "OPEN": "- DISMISSED CLOSING CLOSING GONE GONE",
    "DISMISSED": "- - CLOSING CLOSING GONE GONE",
    "CLOSING": "- - - - GONE GONE",
    "GONE": "- - - - - -",
}


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(list(EXPECTED), [state.name for state in ClosingState])
        for name, row in EXPECTED.items():
            for event, target in zip(ClosingEvent, row.split(), strict=True):
                state = TRANSITIONS.get((ClosingState[name], event))
                self.assertEqual("-" if state is None else state.name, target, (name, event))

    def test_messages_count_until_the_closing_handshake_or_the_peers_answer(self) -> None:
        self.assertEqual(TAKES_MESSAGES, {ClosingState.OPEN, ClosingState.DISMISSED})

    def test_messages_never_count_again(self) -> None:
        for (before, _), after in TRANSITIONS.items():
            if before is not ClosingState.CONNECTING and before not in TAKES_MESSAGES:
                self.assertNotIn(after, TAKES_MESSAGES)

    def test_no_state_is_entered_again_that_was_left(self) -> None:
        order = list(ClosingState)
        for (before, _), after in TRANSITIONS.items():
            self.assertLess(order.index(before), order.index(after))
