"""The states of a `streaming.ResponseWriter`, and the events that change them. Pure."""

from enum import Enum


class ResponseState(Enum):
    """Whether the client of a response takes more of it."""

    OPEN = "open"
    """The connection takes more."""
    FULL = "full"
    """The connection takes no more, until the kernel has taken what was written."""
    GONE = "gone"
    """The connection is over: the client has left, or the response was aborted."""
    CUT = "cut"
    """The relay has cut the client off, as it read nothing."""


class ResponseEvent(Enum):
    """What happens to the connection of a response."""

    FILLED = "filled"
    """The connection takes no more."""
    DRAINED = "drained"
    """The kernel has taken what was written."""
    ENDED = "ended"
    """The connection is over."""
    STALLED = "stalled"
    """The client has read nothing for as long as it may."""


TRANSITIONS: dict[tuple[ResponseState, ResponseEvent], ResponseState] = {
    (ResponseState.OPEN, ResponseEvent.FILLED): ResponseState.FULL,
    (ResponseState.OPEN, ResponseEvent.ENDED): ResponseState.GONE,
    (ResponseState.FULL, ResponseEvent.DRAINED): ResponseState.OPEN,
    (ResponseState.FULL, ResponseEvent.ENDED): ResponseState.GONE,
    (ResponseState.FULL, ResponseEvent.STALLED): ResponseState.CUT,
}
"""An event that is missing for a state changes nothing."""
