"""Where a client stands towards its session: every state with every event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.placement_states import (
    READS_NO_MORE,
    TRANSITIONS,
    PlacementEvent,
    PlacementState,
    leaving_event,
    next_state,
)
from apptuner_relay.session.session import Arrival
from tests.cluster.state_grids import reachable, read_grid

GRID = """
         ENTERED LINKED HALT   RESUME SESSION_MOVED SESSION_LOST REFUSED DISCONNECTED
FINDING  LOCAL   REMOTE -      -      -             -            CLOSING GONE
LOCAL    -       -      -      -      MOVING        LOST         CLOSING GONE
REMOTE   -       -      HALTED -      MOVING        LOST         CLOSING GONE
HALTED   -       -      -      REMOTE MOVING        LOST         CLOSING GONE
MOVING   LOCAL   REMOTE -      -      -             -            CLOSING GONE
LOST     LOCAL   REMOTE -      -      -             -            CLOSING GONE
CLOSING  -       -      -      -      -             -            -       GONE
GONE     -       -      -      -      -             -            -       -
"""


class PlacementStates(SynchronousTestCase):
    def test_every_edge(self) -> None:
        for state, event, after in read_grid(GRID, PlacementState, PlacementEvent):
            self.assertIs(next_state(state, event), after or state, f"{state} {event}")  # type: ignore[arg-type]
            self.assertIs(TRANSITIONS.get((state, event)), after)  # type: ignore[call-overload]

    def test_every_state_can_be_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, PlacementState.FINDING), set(PlacementState))

    def test_any_client_may_disconnect_and_then_nothing_happens(self) -> None:
        for state in PlacementState:
            gone = next_state(state, PlacementEvent.DISCONNECTED)
            self.assertIs(gone, PlacementState.GONE)
            for event in PlacementEvent:
                self.assertIs(next_state(gone, event), PlacementState.GONE)

    def test_a_client_without_a_link_is_not_read(self) -> None:
        """What it sent would go nowhere."""
        for event in (PlacementEvent.SESSION_MOVED, PlacementEvent.SESSION_LOST):
            for state in (PlacementState.LOCAL, PlacementState.REMOTE, PlacementState.HALTED):
                self.assertIn(next_state(state, event), READS_NO_MORE)
        for state in READS_NO_MORE - {PlacementState.HALTED}:
            self.assertNotIn(next_state(state, PlacementEvent.LINKED), READS_NO_MORE)
            self.assertNotIn(next_state(state, PlacementEvent.ENTERED), READS_NO_MORE)

    def test_only_what_was_handed_over_counts_as_moved(self) -> None:
        for arrival in Arrival:
            moved = leaving_event(arrival) is PlacementEvent.SESSION_MOVED
            self.assertEqual(moved, arrival is Arrival.MOVED)
