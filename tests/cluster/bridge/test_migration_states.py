"""How far the migration of a session is: every state with every event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.migration_states import (
    HAS_TURN,
    TRANSITIONS,
    MigrationEvent,
    MigrationState,
    next_state,
)
from tests.cluster.state_grids import reachable, read_grid

GRID = """
                LEASE_LOST   TURN            HALTED       SLOW      ACCEPTED DECLINED NO_CANDIDATE    TAKEN      DONE FAILED
QUEUED          HALTING_LOST HALTING_SENDERS -            -         -        -        -               -          -    OVER
HALTING_SENDERS -            -               OFFERING     FINISHING -        -        -               -          -    OVER
FINISHING       -            -               REQUEUED     -         -        -        -               -          -    OVER
REQUEUED        -            OFFERING        -            -         -        -        -               -          -    OVER
OFFERING        -            -               -            -         HALTING  OFFERING HALTING_UNTAKEN -          -    OVER
HALTING         -            -               HANDING_OVER -         -        -        -               -          -    OVER
HANDING_OVER    -            -               -            -         -        OFFERING -               RELOCATING -    OVER
HALTING_UNTAKEN -            -               RELOCATING   -         -        -        -               -          -    OVER
HALTING_LOST    -            -               RELOCATING   -         -        -        -               -          -    OVER
RELOCATING      -            -               -            -         -        -        -               -          OVER OVER
OVER            -            -               -            -         -        -        -               -          -    -
"""  # noqa: E501


class MigrationStates(SynchronousTestCase):
    def test_every_edge(self) -> None:
        for state, event, after in read_grid(GRID, MigrationState, MigrationEvent):
            if after is None:
                with self.assertRaisesRegex(ValueError, f"{state.value}: {event.value}"):
                    next_state(state, event)  # type: ignore[arg-type]
            else:
                self.assertIs(next_state(state, event), after)  # type: ignore[arg-type]

    def test_every_state_can_be_reached(self) -> None:
        self.assertEqual(reachable(TRANSITIONS, MigrationState.QUEUED), set(MigrationState))

    def test_every_migration_can_end(self) -> None:
        for state in MigrationState:
            self.assertIn(MigrationState.OVER, reachable(TRANSITIONS, state))

    def test_a_turn_is_taken_by_its_event_only(self) -> None:
        """Whoever counts the turns waits for one before it says so."""
        for (before, event), after in TRANSITIONS.items():
            begins = before not in HAS_TURN and after in HAS_TURN
            self.assertEqual(begins, event is MigrationEvent.TURN, f"{before} {event}")

    def test_turns_are_given_back_on_every_way(self) -> None:
        """As many as were taken, wherever the migration ends."""

        def follow(state: MigrationState, taken: int, seen: frozenset[MigrationState]) -> None:
            if state is MigrationState.OVER:
                self.assertEqual(taken, 0)
            for (before, _), after in TRANSITIONS.items():
                if before is state and after not in seen:
                    change = (after in HAS_TURN) - (before in HAS_TURN)
                    follow(after, taken + change, seen | {after})

        follow(MigrationState.QUEUED, 0, frozenset({MigrationState.QUEUED}))
