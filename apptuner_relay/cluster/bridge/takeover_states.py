"""The states of the takeover of a session from a relay that stops. Pure."""

from enum import Enum


class TakeoverState(Enum):
    """What a takeover waits for."""

    BEGINNING = "beginning"
    """The old owner's offer."""
    READY = "ready"
    """The last bundle, or the request to take the session."""
    TAKING = "taking"
    """The directory, which is asked for the lease."""
    TAKEN = "taken"
    """The clients, and the old owner's reports of those that have disconnected."""
    ORPHANED = "orphaned"
    """The directory. The old owner is disconnected meanwhile."""
    OVER = "over"
    """Nothing: the session's clients are here, or it was not taken over."""


class TakeoverEvent(Enum):
    """What happens to a takeover."""

    OFFER = "offer"
    """The old owner describes the last bundle, or reports that there is none."""
    BUNDLE_END = "bundle end"
    """The old owner has sent all of the bundle."""
    TAKE = "take"
    """The old owner hands over the session, with the list of its clients."""
    MISSING = "missing"
    """The old owner lists clients that have disconnected since."""
    GRANTED = "granted"
    """The session is this relay's."""
    DENIED = "denied"
    """It is not."""
    DISCONNECTED = "disconnected"
    """The connection to the old owner is over."""


TRANSITIONS: dict[tuple[TakeoverState, TakeoverEvent], TakeoverState] = {
    (TakeoverState.BEGINNING, TakeoverEvent.OFFER): TakeoverState.READY,
    (TakeoverState.READY, TakeoverEvent.BUNDLE_END): TakeoverState.READY,
    (TakeoverState.READY, TakeoverEvent.TAKE): TakeoverState.TAKING,
    (TakeoverState.TAKING, TakeoverEvent.MISSING): TakeoverState.TAKING,
    (TakeoverState.TAKING, TakeoverEvent.GRANTED): TakeoverState.TAKEN,
    (TakeoverState.TAKING, TakeoverEvent.DENIED): TakeoverState.READY,
    (TakeoverState.TAKEN, TakeoverEvent.MISSING): TakeoverState.TAKEN,
    (TakeoverState.BEGINNING, TakeoverEvent.DISCONNECTED): TakeoverState.OVER,
    (TakeoverState.READY, TakeoverEvent.DISCONNECTED): TakeoverState.OVER,
    (TakeoverState.TAKING, TakeoverEvent.DISCONNECTED): TakeoverState.ORPHANED,
    (TakeoverState.TAKEN, TakeoverEvent.DISCONNECTED): TakeoverState.OVER,
    (TakeoverState.ORPHANED, TakeoverEvent.GRANTED): TakeoverState.OVER,
    (TakeoverState.ORPHANED, TakeoverEvent.DENIED): TakeoverState.OVER,
}
"""A message of the old owner that isn't in here breaks the protocol. Any other event that isn't
changes nothing."""

MESSAGES: dict[str, TakeoverEvent] = {
    "offer": TakeoverEvent.OFFER,
    "bundle_end": TakeoverEvent.BUNDLE_END,
    "take": TakeoverEvent.TAKE,
    "missing": TakeoverEvent.MISSING,
}
"""By type, the events that are messages of the old owner's (`handover_messages`)."""


def next_state(state: TakeoverState, event: TakeoverEvent) -> TakeoverState:
    """What a takeover's state is after an event."""
    return TRANSITIONS.get((state, event), state)
