"""The states of a `journal.Journal`: whether claims get into the file. Pure."""

from enum import Enum


class JournalState(Enum):
    """Whether claims are written to the file."""

    STARTING = "starting"
    """No: the file was not opened yet."""
    WAITING = "waiting"
    """No: another relay has the file. It is locked as soon as that is possible."""
    WRITING = "writing"
    """Yes."""
    FAILED = "failed"
    """No: the file can't be opened, read or written. It is tried again."""
    STOPPED = "stopped"
    """No: the relay has stopped."""


class JournalEvent(Enum):
    """What happens to the file."""

    TAKEN = "taken"
    """Another relay has it locked."""
    LOCKED = "locked"
    """This one has locked, read and rewritten it."""
    FAILED = "failed"
    """Something could not be done with it."""
    STOPPED = "stopped"
    """The relay has stopped."""


TRANSITIONS: dict[tuple[JournalState, JournalEvent], JournalState] = {
    (JournalState.STARTING, JournalEvent.TAKEN): JournalState.WAITING,
    (JournalState.STARTING, JournalEvent.LOCKED): JournalState.WRITING,
    (JournalState.STARTING, JournalEvent.FAILED): JournalState.FAILED,
    (JournalState.WAITING, JournalEvent.LOCKED): JournalState.WRITING,
    (JournalState.WAITING, JournalEvent.FAILED): JournalState.FAILED,
    (JournalState.WRITING, JournalEvent.FAILED): JournalState.FAILED,
    (JournalState.FAILED, JournalEvent.TAKEN): JournalState.WAITING,
    (JournalState.FAILED, JournalEvent.LOCKED): JournalState.WRITING,
    (JournalState.STARTING, JournalEvent.STOPPED): JournalState.STOPPED,
    (JournalState.WAITING, JournalEvent.STOPPED): JournalState.STOPPED,
    (JournalState.WRITING, JournalEvent.STOPPED): JournalState.STOPPED,
    (JournalState.FAILED, JournalEvent.STOPPED): JournalState.STOPPED,
}
"""An event that is missing for a state changes nothing."""
