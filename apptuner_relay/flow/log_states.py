"""The states of a `log.Log`, and the events that change them. Pure.

Where its bytes are stored is another matter: see `storage_states`.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class LogState(PlainEnum):
    """Whether more of a log comes."""

    GROWING = "growing"
    """More of it may be added."""
    ENDING = "ending"
    """All of it was added, and readers haven't been given the last block yet."""
    COMPLETE = "complete"
    """Readers have been given all of it, or can read it."""
    CUT = "cut"
    """Its rest never comes. What follows its last whole message is of no use."""


class LogEvent(PlainEnum):
    """What happens to a log."""

    COMPLETED = "completed"
    """Its writer says that it has added all of it."""
    FLUSHED = "flushed"
    """Readers have been given all that was added."""
    CUT_SHORT = "cut short"
    """Its writer says that the rest never comes."""


TRANSITIONS: dict[tuple[LogState, LogEvent], LogState] = {
    (LogState.GROWING, LogEvent.COMPLETED): LogState.ENDING,
    (LogState.GROWING, LogEvent.CUT_SHORT): LogState.CUT,
    (LogState.ENDING, LogEvent.FLUSHED): LogState.COMPLETE,
}
"""An event that is missing for a state changes nothing: of two ends, the first one counts."""
