"""The states of reading from a member whose session is about to move to another relay. Pure;
`Member.halt` acts on them.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class HaltingState(PlainEnum):
    """Whether a member is read from."""

    READING = "reading"
    """It is."""
    HALTING = "halting"
    """It is, until the message and the bundle in progress have come whole."""
    HALTED = "halted"
    """It is not: its source is held, between messages and between bundles."""


class HaltingEvent(PlainEnum):
    """What happens to a member whose session moves."""

    HALT = "halt"
    """Its session is about to move."""
    BETWEEN_BUNDLES = "between bundles"
    """No message and no bundle from it is in progress."""


TRANSITIONS: dict[tuple[HaltingState, HaltingEvent], HaltingState] = {
    (HaltingState.READING, HaltingEvent.HALT): HaltingState.HALTING,
    (HaltingState.HALTING, HaltingEvent.BETWEEN_BUNDLES): HaltingState.HALTED,
}
"""What isn't in here changes nothing. None leads back: once its session has moved, the client is
another object's."""
