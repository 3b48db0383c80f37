"""`apptuner_relay.relay.shutdown_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.shutdown_states import TRANSITIONS, ShutdownEvent, ShutdownState

HAND_OVER, WAIT, CLOSE, CUT, OVER = ShutdownState
EXPECTED = {
    ShutdownEvent.HANDED_OVER: (WAIT, WAIT, CLOSE, CUT, OVER),
    ShutdownEvent.DELIVERED: (HAND_OVER, CLOSE, CLOSE, CUT, OVER),
    ShutdownEvent.DEADLINE: (CUT, CUT, CUT, CUT, OVER),
    ShutdownEvent.EMPTY: (HAND_OVER, WAIT, OVER, OVER, OVER),
    ShutdownEvent.HURRIED: (OVER, OVER, OVER, OVER, OVER),
}
"""By event, where each state goes, in the order of `ShutdownState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ShutdownState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ShutdownEvent))

    def test_the_deadline_and_a_second_signal_end_every_state(self) -> None:
        for state in set(ShutdownState) - {OVER}:
            late = TRANSITIONS.get((state, ShutdownEvent.DEADLINE), state)
            self.assertIs(late, CUT)
            self.assertIs(TRANSITIONS[state, ShutdownEvent.HURRIED], OVER)

    def test_no_way_leads_back(self) -> None:
        order = list(ShutdownState)
        for state, event in product(ShutdownState, ShutdownEvent):
            after = TRANSITIONS.get((state, event), state)
            self.assertGreaterEqual(order.index(after), order.index(state))
