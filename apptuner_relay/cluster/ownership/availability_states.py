"""The states of a server, as a node that depends on it sees them. Pure."""

from enum import Enum


class AvailabilityState(Enum):
    """Whether a server can be used."""

    UNTRIED = "untried"
    """No attempt to reach it has ended yet."""
    REACHABLE = "reachable"
    """It can be used."""
    UNSUBSCRIBED = "unsubscribed"
    """It can be used. The subscription to other nodes' notices was lost since it was reached, which
    is logged."""
    UNREACHABLE = "unreachable"
    """It can't be used. That is logged, and it is tried again."""
    STOPPED = "stopped"
    """The node stops, and uses it no more."""


class AvailabilityEvent(Enum):
    """What happens to the connections to a server."""

    REACHED = "reached"
    """It is connected, and all leases were compared with it."""
    LOST = "lost"
    """An attempt to reach it has failed, or the connection was lost."""
    SUBSCRIPTION_LOST = "subscription lost"
    """The connection that receives notices was lost, or could not be made."""
    STOP = "stop"
    """The node stops."""


TRANSITIONS: dict[tuple[AvailabilityState, AvailabilityEvent], AvailabilityState] = {
    (AvailabilityState.UNTRIED, AvailabilityEvent.REACHED): AvailabilityState.REACHABLE,
    (AvailabilityState.UNTRIED, AvailabilityEvent.LOST): AvailabilityState.UNREACHABLE,
    (AvailabilityState.UNTRIED, AvailabilityEvent.STOP): AvailabilityState.STOPPED,
    (AvailabilityState.REACHABLE, AvailabilityEvent.LOST): AvailabilityState.UNREACHABLE,
    (
        AvailabilityState.REACHABLE,
        AvailabilityEvent.SUBSCRIPTION_LOST,
    ): AvailabilityState.UNSUBSCRIBED,
    (AvailabilityState.REACHABLE, AvailabilityEvent.STOP): AvailabilityState.STOPPED,
    (AvailabilityState.UNSUBSCRIBED, AvailabilityEvent.REACHED): AvailabilityState.REACHABLE,
    (AvailabilityState.UNSUBSCRIBED, AvailabilityEvent.LOST): AvailabilityState.UNREACHABLE,
    (AvailabilityState.UNSUBSCRIBED, AvailabilityEvent.STOP): AvailabilityState.STOPPED,
    (AvailabilityState.UNREACHABLE, AvailabilityEvent.REACHED): AvailabilityState.REACHABLE,
    (AvailabilityState.UNREACHABLE, AvailabilityEvent.STOP): AvailabilityState.STOPPED,
}
"""What isn't in here changes nothing."""

USABLE = frozenset({AvailabilityState.REACHABLE, AvailabilityState.UNSUBSCRIBED})


def next_state(state: AvailabilityState, event: AvailabilityEvent) -> AvailabilityState:
    """A server's state after an event."""
    return TRANSITIONS.get((state, event), state)
