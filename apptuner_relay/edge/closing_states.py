"""How a WebSocket connection ends: its states, and what takes it from one to the next (RFC 6455
§7.1). Pure: `websocket.FramedConnection` has the sockets and the timers.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class ClosingState(PlainEnum):
    """What a connection may be in."""

    CONNECTING = "connecting"
    """The opening handshake is not done."""
    OPEN = "open"
    """Messages pass in both directions."""
    DISMISSED = "dismissed"
    """The relay has sent its Close. The peer's messages still count until it answers: it believes
    that they are sent."""
    CLOSING = "closing"
    """A Close was sent or received, and the peer's messages no longer count."""
    GONE = "gone"
    """The connection below has ended, or the relay has told it to."""


class ClosingEvent(PlainEnum):
    """What happens to a connection."""

    OPENED = "opened"
    """The opening handshake is done."""
    DISMISS = "dismiss"
    """The relay closes, and waits for what the peer has sent."""
    CLOSE = "close"
    """The relay closes."""
    CLOSE_RECEIVED = "close received"
    """The peer closes, or answers the relay's Close."""
    DROP = "drop"
    """The relay ends the connection below."""
    LOST = "lost"
    """The connection below has ended."""


TRANSITIONS: dict[tuple[ClosingState, ClosingEvent], ClosingState] = {
    (ClosingState.CONNECTING, ClosingEvent.OPENED): ClosingState.OPEN,
    (ClosingState.CONNECTING, ClosingEvent.DROP): ClosingState.GONE,
    (ClosingState.CONNECTING, ClosingEvent.LOST): ClosingState.GONE,
    (ClosingState.OPEN, ClosingEvent.DISMISS): ClosingState.DISMISSED,
    (ClosingState.OPEN, ClosingEvent.CLOSE): ClosingState.CLOSING,
    (ClosingState.OPEN, ClosingEvent.CLOSE_RECEIVED): ClosingState.CLOSING,
    (ClosingState.OPEN, ClosingEvent.DROP): ClosingState.GONE,
    (ClosingState.OPEN, ClosingEvent.LOST): ClosingState.GONE,
    (ClosingState.DISMISSED, ClosingEvent.CLOSE): ClosingState.CLOSING,
    (ClosingState.DISMISSED, ClosingEvent.CLOSE_RECEIVED): ClosingState.CLOSING,
    (ClosingState.DISMISSED, ClosingEvent.DROP): ClosingState.GONE,
    (ClosingState.DISMISSED, ClosingEvent.LOST): ClosingState.GONE,
    (ClosingState.CLOSING, ClosingEvent.DROP): ClosingState.GONE,
    (ClosingState.CLOSING, ClosingEvent.LOST): ClosingState.GONE,
}
"""What isn't in here changes nothing."""

TAKES_MESSAGES = frozenset((ClosingState.OPEN, ClosingState.DISMISSED))
"""The states in which what the peer sends counts as messages."""
