"""Whether a server can be used: every state with every event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.availability_states import (
    TRANSITIONS,
    USABLE,
    AvailabilityEvent,
    AvailabilityState,
    next_state,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
             REACHED   LOST        SUBSCRIPTION_LOST STOP
UNTRIED      REACHABLE UNREACHABLE -                 STOPPED
REACHABLE    -         UNREACHABLE UNSUBSCRIBED      STOPPED
UNSUBSCRIBED REACHABLE UNREACHABLE -                 STOPPED
UNREACHABLE  REACHABLE -           -                 STOPPED
STOPPED      -         -           -                 -
"""


class AvailabilityStates(SynchronousTestCase):
    def test_every_edge(self) -> None:
        for state, event, after in read_grid(GRID, AvailabilityState, AvailabilityEvent):
            self.assertIs(next_state(state, event), after or state)  # type: ignore[arg-type]
            self.assertIs(TRANSITIONS.get((state, event)), after)  # type: ignore[call-overload]

    def test_every_state_can_be_reached(self) -> None:
        found = reachable(TRANSITIONS, AvailabilityState.UNTRIED)
        self.assertEqual(found, set(AvailabilityState))

    def test_a_lost_subscription_does_not_make_it_unusable(self) -> None:
        for state in USABLE:
            self.assertIn(next_state(state, AvailabilityEvent.SUBSCRIPTION_LOST), USABLE)
            self.assertNotIn(next_state(state, AvailabilityEvent.LOST), USABLE)
