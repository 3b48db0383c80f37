"""Where a log is stored, and the events that change that. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class StorageState(PlainEnum):
    """Where a log's bytes are, once its readers have been given them."""

    MEMORY = "memory"
    """In memory: what not all readers have taken, and no more."""
    KEPT = "kept"
    """All in the log's own file, whether anybody reads it or not."""
    SPILLED = "spilled"
    """In a file, from the first block on that a reader didn't take at once."""
    LOST = "lost"
    """Nothing more can be written to its file. What was written is read there; of what wasn't, what
    not all readers have taken is in memory."""


class StorageEvent(PlainEnum):
    """What happens to a log's storage."""

    SPILLED = "spilled"
    """A reader didn't take a block, and a file could be opened."""
    FILE_LOST = "file lost"
    """Nothing more can be written to its file."""
    UNREAD = "unread"
    """Its last reader has gone, or it had none when its file was lost."""


TRANSITIONS: dict[tuple[StorageState, StorageEvent], StorageState] = {
    (StorageState.MEMORY, StorageEvent.SPILLED): StorageState.SPILLED,
    (StorageState.LOST, StorageEvent.SPILLED): StorageState.SPILLED,
    (StorageState.KEPT, StorageEvent.FILE_LOST): StorageState.LOST,
    (StorageState.SPILLED, StorageEvent.FILE_LOST): StorageState.LOST,
    (StorageState.SPILLED, StorageEvent.UNREAD): StorageState.MEMORY,
    (StorageState.LOST, StorageEvent.UNREAD): StorageState.MEMORY,
}
"""An event that is missing for a state changes nothing."""
