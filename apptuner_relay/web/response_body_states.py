"""The states of a `http_proxy.AnswerBody`, and the events that change them. Pure."""

from enum import Enum


class ResponseBodyState(Enum):
    """Where the body of an upstream's answer is on its way to the client."""

    STREAMING = "streaming"
    """The upstream is read, for a limited time of silence."""
    WAITING = "waiting"
    """The client takes no more for now: the upstream is not read."""
    ENDED = "ended"
    """The upstream has ended, and the client has yet to take what was read."""
    DROPPED = "dropped"
    """The client doesn't get the body: the connection to the upstream is being closed."""
    OVER = "over"
    """The upstream has ended, and the client has taken all of the body, or gets none of it."""


class ResponseBodyEvent(Enum):
    """What happens to the body of an answer."""

    FULL = "full"
    """The client takes no more for now."""
    ROOM = "room"
    """The client takes more, or is gone."""
    UNWANTED = "unwanted"
    """The client is gone, or the answer is not to be passed on."""
    LOST = "lost"
    """The upstream has sent all of the body, or its connection was lost."""


TRANSITIONS: dict[tuple[ResponseBodyState, ResponseBodyEvent], ResponseBodyState] = {
    (ResponseBodyState.STREAMING, ResponseBodyEvent.FULL): ResponseBodyState.WAITING,
    (ResponseBodyState.STREAMING, ResponseBodyEvent.UNWANTED): ResponseBodyState.DROPPED,
    (ResponseBodyState.STREAMING, ResponseBodyEvent.LOST): ResponseBodyState.OVER,
    (ResponseBodyState.WAITING, ResponseBodyEvent.ROOM): ResponseBodyState.STREAMING,
    (ResponseBodyState.WAITING, ResponseBodyEvent.UNWANTED): ResponseBodyState.DROPPED,
    (ResponseBodyState.WAITING, ResponseBodyEvent.LOST): ResponseBodyState.ENDED,
    (ResponseBodyState.ENDED, ResponseBodyEvent.ROOM): ResponseBodyState.OVER,
    (ResponseBodyState.ENDED, ResponseBodyEvent.UNWANTED): ResponseBodyState.OVER,
    (ResponseBodyState.DROPPED, ResponseBodyEvent.LOST): ResponseBodyState.OVER,
}
"""An event that is missing for a state changes nothing."""
