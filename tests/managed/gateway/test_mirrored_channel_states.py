"""`managed.gateway.mirrored_channel_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.mirrored_channel_states import (
    TRANSITIONS,
    MirrorEvent,
    MirrorState,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
              SUBSCRIBED  UNSUBSCRIBED  GIVEN_UP  LEAVE
JOINING       SUBSCRIBED  -             -         LEFT
SUBSCRIBED    SUBSCRIBED  AWAY          -         LEFT
AWAY          SUBSCRIBED  -             JOINING   LEFT
LEFT          -           -             -         -
"""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for state, event, after in read_grid(GRID, MirrorState, MirrorEvent):
            with self.subTest(state=state, event=event):
                self.assertIs(TRANSITIONS.get((state, event)), after)

    def test_every_state_is_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, MirrorState.JOINING), set(MirrorState))
