"""The states of a `channel.RelayChannel`, an HTTP connection, and the events that change them.

Pure.
"""

from enum import Enum


class ChannelState(Enum):
    """What the relay reads from the connection."""

    HEAD = "head"
    """The head of a request, within ``--handshake-timeout``."""
    BODY = "body"
    """The body of a request, within the time for its head."""
    FORWARDED_BODY = "forwarded body"
    """The body of a request that is forwarded or an upload, which limits the time itself."""
    ANSWERING = "answering"
    """Nothing: a request is complete, and its answer is being made."""
    IDLE = "idle"
    """The first byte of another request, within ``--http-keep-alive``."""
    REFUSED = "refused"
    """Nothing that counts: a request was refused, or answered before all of its body had arrived.
    Its rest is read and dropped, and the connection closes soon."""
    HANDED_OVER = "handed over"
    """Nothing: another protocol has the connection."""


class ChannelEvent(Enum):
    """What happens on the connection."""

    DATA = "data"
    """Data of a request has arrived."""
    BODY_DUE = "body due"
    """The head of a request is complete, and it has a body."""
    FORWARDED = "forwarded"
    """The request is being forwarded, or is an upload."""
    COMPLETE = "complete"
    """The request is complete."""
    ANSWERED = "answered"
    """The request has been answered, and nothing of another has arrived."""
    PIPELINED = "pipelined"
    """The request has been answered, and a part of another has arrived already."""
    REFUSED = "refused"
    """The request is too large, too slow or malformed, or was answered before its end."""
    HANDED_OVER = "handed over"
    """A WebSocket handshake has another protocol take the connection."""


_REFUSABLE = (
    ChannelState.HEAD,
    ChannelState.BODY,
    ChannelState.FORWARDED_BODY,
    ChannelState.ANSWERING,
    ChannelState.IDLE,
)

TRANSITIONS: dict[tuple[ChannelState, ChannelEvent], ChannelState] = {
    (ChannelState.HEAD, ChannelEvent.BODY_DUE): ChannelState.BODY,
    (ChannelState.HEAD, ChannelEvent.COMPLETE): ChannelState.ANSWERING,
    (ChannelState.BODY, ChannelEvent.FORWARDED): ChannelState.FORWARDED_BODY,
    (ChannelState.BODY, ChannelEvent.COMPLETE): ChannelState.ANSWERING,
    (ChannelState.FORWARDED_BODY, ChannelEvent.COMPLETE): ChannelState.ANSWERING,
    (ChannelState.ANSWERING, ChannelEvent.ANSWERED): ChannelState.IDLE,
    (ChannelState.ANSWERING, ChannelEvent.PIPELINED): ChannelState.HEAD,
    (ChannelState.ANSWERING, ChannelEvent.HANDED_OVER): ChannelState.HANDED_OVER,
    (ChannelState.IDLE, ChannelEvent.DATA): ChannelState.HEAD,
    **{(state, ChannelEvent.REFUSED): ChannelState.REFUSED for state in _REFUSABLE},
}
"""An event that is missing for a state changes nothing."""

BODY_DUE = frozenset({ChannelState.BODY, ChannelState.FORWARDED_BODY})
"""The states in which not all of a request's body has arrived."""
