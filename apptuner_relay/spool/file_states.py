"""The states of a `bundle_file.BundleFile`, and the events that change them. Pure."""

from enum import Enum


class FileState(Enum):
    """How much of a bundle is in its file."""

    GROWING = "growing"
    """More of it is to come from its sender."""
    FINISHING = "finishing"
    """All of it has come, and is on its way to the disk."""
    COMPLETE = "complete"
    """All of it is in the file."""
    CUT = "cut"
    """Its rest never comes, or can't be written. The file stays for those who read it now."""


class FileEvent(Enum):
    """What happens to a bundle's file."""

    FINISHED = "finished"
    """Its sender has sent all of it."""
    WRITTEN = "written"
    """The disk has all of it, and nothing of what was in the file before."""
    CUT_SHORT = "cut short"
    """Its sender has gone or sends another bundle, the store can't keep it, or nobody needs it."""


TRANSITIONS: dict[tuple[FileState, FileEvent], FileState] = {
    (FileState.GROWING, FileEvent.FINISHED): FileState.FINISHING,
    (FileState.GROWING, FileEvent.CUT_SHORT): FileState.CUT,
    (FileState.FINISHING, FileEvent.WRITTEN): FileState.COMPLETE,
    (FileState.FINISHING, FileEvent.CUT_SHORT): FileState.CUT,
}
"""An event that is missing for a state changes nothing."""
