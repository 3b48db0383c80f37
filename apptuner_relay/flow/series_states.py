"""The states of a `series.Series`: how much of a bundle has come from its sender. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class SeriesState(PlainEnum):
    """How much of a bundle has come."""

    SINGLE = "single"
    """All of it, as far as the number of messages goes: it is one message."""
    UNANNOUNCED = "unannounced"
    """Its start, and perhaps chunks. Its sender hasn't said how many chunks there will be."""
    INCOMPLETE = "incomplete"
    """Its start. Chunks are missing."""
    COMPLETE = "complete"
    """The last chunk that was missing has begun to come."""


class SeriesEvent(PlainEnum):
    """What happens to a bundle in several messages."""

    ANNOUNCED = "announced"
    """A chunk says how many there are, where the start didn't."""
    LAST_CHUNK = "last chunk"
    """A chunk begins to come, and no other is missing."""


TRANSITIONS: dict[tuple[SeriesState, SeriesEvent], SeriesState] = {
    (SeriesState.UNANNOUNCED, SeriesEvent.ANNOUNCED): SeriesState.INCOMPLETE,
    (SeriesState.INCOMPLETE, SeriesEvent.LAST_CHUNK): SeriesState.COMPLETE,
}
"""An event that is missing for a state changes nothing."""
