"""The states of a relay that stops, and what takes it from one to the next. Pure; `shutdown` acts
on them.
"""

from enum import Enum


class ShutdownState(Enum):
    """What a relay that stops is doing."""

    HAND_OVER = "handing sessions over"
    """Other relays take its sessions, where there are any. Clients go on as before."""
    WAIT = "waiting for bundles"
    """Bundles that were on their way in any session arrive. Clients go on as before."""
    CLOSE = "closing"
    """Session after session is closed, each once nothing is on its way in it."""
    CUT = "cutting"
    """The deadline has passed: every client is closed, whatever is on its way."""
    OVER = "over"
    """The last client has gone, or nobody is waited for any more."""


class ShutdownEvent(Enum):
    """What happens to a relay that stops."""

    HANDED_OVER = "handed over"
    """No session is left that another relay takes; at once where this one is alone."""
    DELIVERED = "delivered"
    """No bundle is on its way any more in the sessions that were waited for."""
    DEADLINE = "deadline"
    """``--drain-timeout`` has passed since the stop began, whatever the state."""
    EMPTY = "empty"
    """No client is connected, and nothing else is waited for."""
    HURRIED = "hurried"
    """A second signal came, or the shutdown has failed."""


TRANSITIONS: dict[tuple[ShutdownState, ShutdownEvent], ShutdownState] = {
    (ShutdownState.HAND_OVER, ShutdownEvent.HANDED_OVER): ShutdownState.WAIT,
    (ShutdownState.HAND_OVER, ShutdownEvent.DEADLINE): ShutdownState.CUT,
    (ShutdownState.HAND_OVER, ShutdownEvent.HURRIED): ShutdownState.OVER,
    (ShutdownState.WAIT, ShutdownEvent.DELIVERED): ShutdownState.CLOSE,
    (ShutdownState.WAIT, ShutdownEvent.DEADLINE): ShutdownState.CUT,
    (ShutdownState.WAIT, ShutdownEvent.HURRIED): ShutdownState.OVER,
    (ShutdownState.CLOSE, ShutdownEvent.EMPTY): ShutdownState.OVER,
    (ShutdownState.CLOSE, ShutdownEvent.DEADLINE): ShutdownState.CUT,
    (ShutdownState.CLOSE, ShutdownEvent.HURRIED): ShutdownState.OVER,
    (ShutdownState.CUT, ShutdownEvent.EMPTY): ShutdownState.OVER,
    (ShutdownState.CUT, ShutdownEvent.HURRIED): ShutdownState.OVER,
}
"""What isn't in here changes nothing."""
