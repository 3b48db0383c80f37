"""`managed.gateway.virtual_connection_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.virtual_connection_states import (
    IS_OPEN,
    TRANSITIONS,
    VirtualEvent,
    VirtualState,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
            SERVES_MEMBER  SERVES_BRIDGE  RELEASE   DISMISS    CLOSE    OVER
ENTERING    HERE           BRIDGED        -         -          CLOSING  ENDED
HERE        -              BRIDGED        -         DISMISSED  CLOSING  ENDED
BRIDGED     HERE           -              RELEASED  DISMISSED  CLOSING  ENDED
RELEASED    HERE           -              -         DISMISSED  CLOSING  ENDED
DISMISSED   -              -              -         -          CLOSING  ENDED
CLOSING     -              -              -         -          -        ENDED
ENDED       -              -              -         -          -        -
"""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for state, event, after in read_grid(GRID, VirtualState, VirtualEvent):
            with self.subTest(state=state, event=event):
                self.assertIs(TRANSITIONS.get((state, event)), after)

    def test_every_state_is_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, VirtualState.ENTERING), set(VirtualState))

    def test_every_open_state_can_be_closed(self) -> None:
        for state in IS_OPEN:
            self.assertIs(TRANSITIONS[state, VirtualEvent.CLOSE], VirtualState.CLOSING)
