"""The states of a client that is connected by way of a channel. Pure; `virtual_connection` acts on
them.
"""

from enum import Enum


class VirtualState(Enum):
    """What becomes of what its user sends, and of what it is sent."""

    ENTERING = "entering"
    """Its place is being looked for. What its user sends waits."""
    HERE = "here"
    """It is a member of a session of this relay."""
    BRIDGED = "bridged"
    """Its session is another relay's, and it is bridged there."""
    RELEASED = "released"
    """Likewise, and that relay takes what its user sends from the channel itself. What comes over
    the bridge is still published."""
    DISMISSED = "dismissed"
    """The relay has closed it, and still takes in what its user had sent."""
    CLOSING = "closing"
    """The relay has closed it. Nothing that its user sends counts any more."""
    ENDED = "ended"
    """It is no client any more."""


class VirtualEvent(Enum):
    """What happens to it."""

    SERVES_MEMBER = "serves a member"
    """It has entered a session here, or its session has come here."""
    SERVES_BRIDGE = "serves a bridge"
    """It has entered a session elsewhere, or its session has gone there."""
    RELEASE = "release"
    """The relay that has its session is about to speak for it in the channel."""
    DISMISS = "dismiss"
    """The relay closes it, once what its user has sent is taken in."""
    CLOSE = "close"
    """The relay closes it."""
    OVER = "over"
    """Its user has left, or the close is done."""


_State, _Event = VirtualState, VirtualEvent

TRANSITIONS: dict[tuple[VirtualState, VirtualEvent], VirtualState] = {
    (_State.ENTERING, _Event.SERVES_MEMBER): _State.HERE,
    (_State.ENTERING, _Event.SERVES_BRIDGE): _State.BRIDGED,
    (_State.ENTERING, _Event.CLOSE): _State.CLOSING,
    (_State.ENTERING, _Event.OVER): _State.ENDED,
    (_State.HERE, _Event.SERVES_BRIDGE): _State.BRIDGED,
    (_State.HERE, _Event.DISMISS): _State.DISMISSED,
    (_State.HERE, _Event.CLOSE): _State.CLOSING,
    (_State.HERE, _Event.OVER): _State.ENDED,
    (_State.BRIDGED, _Event.SERVES_MEMBER): _State.HERE,
    (_State.BRIDGED, _Event.RELEASE): _State.RELEASED,
    (_State.BRIDGED, _Event.DISMISS): _State.DISMISSED,
    (_State.BRIDGED, _Event.CLOSE): _State.CLOSING,
    (_State.BRIDGED, _Event.OVER): _State.ENDED,
    (_State.RELEASED, _Event.SERVES_MEMBER): _State.HERE,
    (_State.RELEASED, _Event.DISMISS): _State.DISMISSED,
    (_State.RELEASED, _Event.CLOSE): _State.CLOSING,
    (_State.RELEASED, _Event.OVER): _State.ENDED,
    (_State.DISMISSED, _Event.CLOSE): _State.CLOSING,
    (_State.DISMISSED, _Event.OVER): _State.ENDED,
    (_State.CLOSING, _Event.OVER): _State.ENDED,
}
"""What isn't in here changes nothing."""

TAKES_MESSAGES = frozenset({_State.ENTERING, _State.HERE, _State.BRIDGED})
"""The states in which messages of its user count."""
IS_OPEN = TAKES_MESSAGES | {_State.RELEASED}
"""The states before its end has begun."""
