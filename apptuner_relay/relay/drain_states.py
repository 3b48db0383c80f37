"""The states of a relay that an operator has drain without stopping, and back. Pure; `Drain` acts
on them. A relay that stops while it drains has the states of `shutdown_states` besides.
"""

from enum import Enum


class DrainState(Enum):
    """Whether a relay takes new sessions."""

    SERVING = "serving"
    """It does."""
    DRAINING = "draining"
    """It does not, and other relays take its sessions, where there are any."""
    DRAINED = "drained"
    """It does not. The sessions that nobody took go on here."""


class DrainEvent(Enum):
    """What happens to it."""

    ON = "on"
    """The operator wants it to drain."""
    HANDED_OVER = "handed over"
    """No session is left that another relay takes; at once where this one is alone."""
    OFF = "off"
    """The operator wants it to take new sessions again."""


TRANSITIONS: dict[tuple[DrainState, DrainEvent], DrainState] = {
    (DrainState.SERVING, DrainEvent.ON): DrainState.DRAINING,
    (DrainState.DRAINING, DrainEvent.HANDED_OVER): DrainState.DRAINED,
    (DrainState.DRAINING, DrainEvent.OFF): DrainState.SERVING,
    (DrainState.DRAINED, DrainEvent.OFF): DrainState.SERVING,
}
"""What isn't in here changes nothing."""
