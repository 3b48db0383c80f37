"""The states of a gateway in the channel of a session. Pure; `mirrored_channel` acts on them."""

from enum import Enum


class MirrorState(Enum):
    """Whether the gateway is in the channel."""

    JOINING = "joining"
    """The subscription was asked for, and is not there yet."""
    SUBSCRIBED = "subscribed"
    """It is: who is in the channel is known, and events come and go."""
    AWAY = "away"
    """The service is away, for now. The users stay clients for a while."""
    LEFT = "left"
    """The gateway has left the channel, as nobody is in it."""


class MirrorEvent(Enum):
    """What happens to the subscription."""

    SUBSCRIBED = "subscribed"
    """It has begun, or begun anew."""
    UNSUBSCRIBED = "unsubscribed"
    """It is over, for now."""
    GIVEN_UP = "given up"
    """The service has been away for so long that the users are no clients any more."""
    LEAVE = "leave"
    """Nobody needs it any more."""


_State, _Event = MirrorState, MirrorEvent

TRANSITIONS: dict[tuple[MirrorState, MirrorEvent], MirrorState] = {
    (_State.JOINING, _Event.SUBSCRIBED): _State.SUBSCRIBED,
    (_State.JOINING, _Event.LEAVE): _State.LEFT,
    (_State.SUBSCRIBED, _Event.SUBSCRIBED): _State.SUBSCRIBED,
    (_State.SUBSCRIBED, _Event.UNSUBSCRIBED): _State.AWAY,
    (_State.SUBSCRIBED, _Event.LEAVE): _State.LEFT,
    (_State.AWAY, _Event.SUBSCRIBED): _State.SUBSCRIBED,
    (_State.AWAY, _Event.GIVEN_UP): _State.JOINING,
    (_State.AWAY, _Event.LEAVE): _State.LEFT,
}
"""What isn't in here changes nothing."""
