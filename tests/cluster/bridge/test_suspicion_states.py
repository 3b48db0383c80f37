"""Whether a relay has ended that refuses connections: every state with every event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.suspicion_states import (
    ASKS,
    TRANSITIONS,
    SuspicionEvent,
    SuspicionState,
    next_state,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
           NOT_REACHED REFUSED    ACCEPTED LIVES   SILENT  ENDED   UNKNOWN FORGOTTEN
TRUSTED    DOUBTED     -          -        -       -       -       -       -
DOUBTED    -           ASKED      SETTLED  -       -       -       -       -
ASKED      -           -          -        SETTLED SILENT  SETTLED SETTLED -
SILENT     -           CONFIRMING SETTLED  -       -       -       -       -
CONFIRMING -           -          -        SETTLED SETTLED SETTLED SETTLED -
SETTLED    -           -          -        -       -       -       -       TRUSTED
"""


class SuspicionStates(SynchronousTestCase):
    def test_every_edge(self) -> None:
        for state, event, after in read_grid(GRID, SuspicionState, SuspicionEvent):
            self.assertIs(next_state(state, event), after or state, f"{state} {event}")  # type: ignore[arg-type]
            self.assertIs(TRANSITIONS.get((state, event)), after)  # type: ignore[call-overload]

    def test_every_state_can_be_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, SuspicionState.TRUSTED), set(SuspicionState))

    def test_leases_are_only_ended_after_two_refusals_with_a_silence_between_them(self) -> None:
        before = {
            after: {state for state, to in TRANSITIONS.items() if to is after} for after in ASKS
        }
        self.assertEqual(
            before[SuspicionState.CONFIRMING], {(SuspicionState.SILENT, SuspicionEvent.REFUSED)}
        )
        self.assertEqual(
            before[SuspicionState.ASKED], {(SuspicionState.DOUBTED, SuspicionEvent.REFUSED)}
        )

    def test_it_comes_to_an_end(self) -> None:
        """No event leads back, but that the moment is over."""
        order = list(SuspicionState)
        for (state, event), after in TRANSITIONS.items():
            is_over = event is SuspicionEvent.FORGOTTEN
            self.assertEqual(order.index(after) < order.index(state), is_over)
