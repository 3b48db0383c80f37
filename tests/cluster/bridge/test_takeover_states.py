"""How far the takeover of a session is: every state with every event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.takeover_states import (
    MESSAGES,
    TRANSITIONS,
    TakeoverEvent,
    TakeoverState,
    next_state,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
          OFFER BUNDLE_END TAKE   MISSING GRANTED DENIED DISCONNECTED
BEGINNING READY -          -      -       -       -      OVER
READY     -     READY      TAKING -       -       -      OVER
TAKING    -     -          -      TAKING  TAKEN   READY  ORPHANED
TAKEN     -     -          -      TAKEN   -       -      OVER
ORPHANED  -     -          -      -       OVER    OVER   -
OVER      -     -          -      -       -       -      -
"""


class TakeoverStates(SynchronousTestCase):
    def test_every_edge(self) -> None:
        for state, event, after in read_grid(GRID, TakeoverState, TakeoverEvent):
            self.assertIs(next_state(state, event), after or state)  # type: ignore[arg-type]
            self.assertIs(TRANSITIONS.get((state, event)), after)  # type: ignore[call-overload]

    def test_every_state_can_be_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, TakeoverState.BEGINNING), set(TakeoverState))

    def test_nothing_is_heard_of_a_relay_that_has_gone(self) -> None:
        for state in (TakeoverState.ORPHANED, TakeoverState.OVER):
            for event in MESSAGES.values():
                self.assertNotIn((state, event), TRANSITIONS)
