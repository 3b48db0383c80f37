"""The states of a `request_body.RequestBody`, and the events that change them. Pure."""

from enum import Enum


class RequestBodyState(Enum):
    """How much of a forwarded body has arrived, and whether the upstream takes it."""

    EMPTY = "empty"
    """Nothing has arrived, and the upstream is not connected."""
    BUFFERED = "buffered"
    """Data has arrived before the upstream was connected: the client is not read."""
    COMPLETE = "complete"
    """All of the body has arrived before the upstream was connected."""
    STREAMING = "streaming"
    """Data goes to the upstream as it arrives."""
    HELD = "held"
    """The upstream takes no more for now: the client is not read."""
    ENDED = "ended"
    """All of the body has gone to the upstream."""
    DROPPED = "dropped"
    """The upstream takes no more at all: the rest is read and dropped."""
    DISCARDED = "discarded"
    """The upstream takes no more, and all of the body has arrived."""


class RequestBodyEvent(Enum):
    """What happens to a forwarded body."""

    DATA = "data"
    """A piece of the body has arrived."""
    END = "end"
    """All of the body has arrived."""
    CONNECTED = "connected"
    """The upstream is connected."""
    PAUSED = "paused"
    """The upstream takes no more for now."""
    RESUMED = "resumed"
    """The upstream takes more."""
    STOPPED = "stopped"
    """The upstream takes no more at all, or the body is too large."""


TRANSITIONS: dict[tuple[RequestBodyState, RequestBodyEvent], RequestBodyState] = {
    (RequestBodyState.EMPTY, RequestBodyEvent.DATA): RequestBodyState.BUFFERED,
    (RequestBodyState.EMPTY, RequestBodyEvent.END): RequestBodyState.COMPLETE,
    (RequestBodyState.EMPTY, RequestBodyEvent.CONNECTED): RequestBodyState.STREAMING,
    (RequestBodyState.EMPTY, RequestBodyEvent.STOPPED): RequestBodyState.DROPPED,
    (RequestBodyState.BUFFERED, RequestBodyEvent.END): RequestBodyState.COMPLETE,
    (RequestBodyState.BUFFERED, RequestBodyEvent.CONNECTED): RequestBodyState.STREAMING,
    (RequestBodyState.BUFFERED, RequestBodyEvent.STOPPED): RequestBodyState.DROPPED,
    (RequestBodyState.COMPLETE, RequestBodyEvent.CONNECTED): RequestBodyState.ENDED,
    (RequestBodyState.COMPLETE, RequestBodyEvent.STOPPED): RequestBodyState.DISCARDED,
    (RequestBodyState.STREAMING, RequestBodyEvent.END): RequestBodyState.ENDED,
    (RequestBodyState.STREAMING, RequestBodyEvent.PAUSED): RequestBodyState.HELD,
    (RequestBodyState.STREAMING, RequestBodyEvent.STOPPED): RequestBodyState.DROPPED,
    (RequestBodyState.HELD, RequestBodyEvent.END): RequestBodyState.ENDED,
    (RequestBodyState.HELD, RequestBodyEvent.RESUMED): RequestBodyState.STREAMING,
    (RequestBodyState.HELD, RequestBodyEvent.STOPPED): RequestBodyState.DROPPED,
    (RequestBodyState.ENDED, RequestBodyEvent.STOPPED): RequestBodyState.DISCARDED,
    (RequestBodyState.DROPPED, RequestBodyEvent.END): RequestBodyState.DISCARDED,
}
"""An event that is missing for a state changes nothing."""

UNREAD = frozenset({RequestBodyState.BUFFERED, RequestBodyState.HELD})
"""The states in which the client is not read."""
WHOLE = frozenset({RequestBodyState.COMPLETE, RequestBodyState.ENDED, RequestBodyState.DISCARDED})
"""The states in which all of the body has arrived."""
UNWANTED = frozenset({RequestBodyState.DROPPED, RequestBodyState.DISCARDED})
"""The states in which data is dropped."""
