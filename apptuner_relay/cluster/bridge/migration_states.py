"""The states of the migration of a session from this relay to another one. Pure."""

from enum import Enum


class MigrationState(Enum):
    """What the migration of one session waits for."""

    QUEUED = "queued"
    """Its turn, as only a limited number of sessions migrates at the same time."""
    HALTING_SENDERS = "halting senders"
    """The desktop side, to stop between two bundles. That is quick, unless a bundle is under
    way."""
    FINISHING = "finishing"
    """The desktop side, to send the rest of a bundle. Another session has the turn meanwhile."""
    REQUEUED = "requeued"
    """Its turn, once more."""
    OFFERING = "offering"
    """A relay, to be ready, and to store the last bundle."""
    HALTING = "halting"
    """All members, to stop between two messages. A relay is ready to take the session."""
    HANDING_OVER = "handing over"
    """That relay, to have the lease."""
    HALTING_UNTAKEN = "halting, untaken"
    """All members, to stop between two messages. No relay takes the session."""
    HALTING_LOST = "halting, lost"
    """All members, to stop between two messages. Another relay has the lease already."""
    RELOCATING = "relocating"
    """Nothing: its clients are being sent after it."""
    OVER = "over"
    """Nothing: the session is not here any more."""


class MigrationEvent(Enum):
    """What happens to the migration of a session."""

    LEASE_LOST = "lease lost"
    """By the directory, the session is another relay's."""
    TURN = "turn"
    """It is its turn."""
    HALTED = "halted"
    """Those members have stopped, or the time for it is over."""
    SLOW = "slow"
    """They have not stopped in time: another session gets the turn."""
    ACCEPTED = "accepted"
    """A relay is ready, and has the last bundle if there is one that it stores."""
    DECLINED = "declined"
    """A relay can't be reached, or doesn't take the session: the next one is asked."""
    NO_CANDIDATE = "no candidate"
    """There is no relay left to ask."""
    TAKEN = "taken"
    """The session is the other relay's."""
    DONE = "done"
    """The clients were sent after it."""
    FAILED = "failed"
    """A fault of this program, which is logged."""


TRANSITIONS: dict[tuple[MigrationState, MigrationEvent], MigrationState] = {
    (MigrationState.QUEUED, MigrationEvent.TURN): MigrationState.HALTING_SENDERS,
    (MigrationState.QUEUED, MigrationEvent.LEASE_LOST): MigrationState.HALTING_LOST,
    (MigrationState.HALTING_SENDERS, MigrationEvent.HALTED): MigrationState.OFFERING,
    (MigrationState.HALTING_SENDERS, MigrationEvent.SLOW): MigrationState.FINISHING,
    (MigrationState.FINISHING, MigrationEvent.HALTED): MigrationState.REQUEUED,
    (MigrationState.REQUEUED, MigrationEvent.TURN): MigrationState.OFFERING,
    (MigrationState.OFFERING, MigrationEvent.ACCEPTED): MigrationState.HALTING,
    (MigrationState.OFFERING, MigrationEvent.DECLINED): MigrationState.OFFERING,
    (MigrationState.OFFERING, MigrationEvent.NO_CANDIDATE): MigrationState.HALTING_UNTAKEN,
    (MigrationState.HALTING, MigrationEvent.HALTED): MigrationState.HANDING_OVER,
    (MigrationState.HANDING_OVER, MigrationEvent.TAKEN): MigrationState.RELOCATING,
    (MigrationState.HANDING_OVER, MigrationEvent.DECLINED): MigrationState.OFFERING,
    (MigrationState.HALTING_UNTAKEN, MigrationEvent.HALTED): MigrationState.RELOCATING,
    (MigrationState.HALTING_LOST, MigrationEvent.HALTED): MigrationState.RELOCATING,
    (MigrationState.RELOCATING, MigrationEvent.DONE): MigrationState.OVER,
    (MigrationState.QUEUED, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.HALTING_SENDERS, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.FINISHING, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.REQUEUED, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.OFFERING, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.HALTING, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.HANDING_OVER, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.HALTING_UNTAKEN, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.HALTING_LOST, MigrationEvent.FAILED): MigrationState.OVER,
    (MigrationState.RELOCATING, MigrationEvent.FAILED): MigrationState.OVER,
}
"""Anything else is a fault of this program."""

HAS_TURN = frozenset(
    {
        MigrationState.HALTING_SENDERS,
        MigrationState.OFFERING,
        MigrationState.HALTING,
        MigrationState.HANDING_OVER,
        MigrationState.HALTING_UNTAKEN,
    }
)
"""Where a session is one of those that may migrate at the same time."""


def next_state(state: MigrationState, event: MigrationEvent) -> MigrationState:
    """What follows.

    :raises ValueError: the event can't happen in that state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a migration that is {state.value}: {event.value}") from None
