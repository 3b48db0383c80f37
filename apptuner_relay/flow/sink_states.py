"""The states of a `sink.Sink`: whether its transport takes more. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class SinkState(PlainEnum):
    """Whether a sink can send."""

    READY = "ready"
    """The transport takes more."""
    FULL = "full"
    """The transport takes no more for now: what is to be sent waits in the queue."""
    CLOSED = "closed"
    """Nothing is sent any more."""


class SinkEvent(PlainEnum):
    """What happens to a sink."""

    FILLED_UP = "filled up"
    """The transport asked for a pause, or took less than it was offered."""
    DRAINED = "drained"
    """The transport has room again."""
    CLOSED = "closed"
    """The connection is closing or closed, or the sink was given up."""


TRANSITIONS: dict[tuple[SinkState, SinkEvent], SinkState] = {
    (SinkState.READY, SinkEvent.FILLED_UP): SinkState.FULL,
    (SinkState.FULL, SinkEvent.DRAINED): SinkState.READY,
    (SinkState.READY, SinkEvent.CLOSED): SinkState.CLOSED,
    (SinkState.FULL, SinkEvent.CLOSED): SinkState.CLOSED,
}
"""An event that is missing for a state changes nothing."""
