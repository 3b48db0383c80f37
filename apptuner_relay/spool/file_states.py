"""The states of a `bundle_file.BundleFile`, and the events that change them. Pure.

A bundle that a patch has made is there as code first: see `bundle_file.BundleFile.defer`.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class FileState(PlainEnum):
    """How much of a bundle is in its file."""

    GROWING = "growing"
    """More of it is to come from its sender."""
    DEFERRED = "deferred"
    """All of it is there, in a file with its code. Its messages are written when somebody needs
    them."""
    FINISHING = "finishing"
    """All of it has come, and is on its way to the disk."""
    COMPLETE = "complete"
    """All of it is in the file."""
    CUT = "cut"
    """Its rest never comes, or can't be written. The file stays for those who read it now."""


class Cut(PlainEnum):
    """Why the rest of a bundle never comes."""

    SENDER = "sender"
    """Its sender has disconnected, or has stopped sending it."""
    SUPERSEDED = "superseded"
    """Its sender has begun another."""
    STORE = "store"
    """The store can't keep it; its sender goes on."""
    UNUSED = "unused"
    """It was for its readers only, and has none any more."""


class FileEvent(PlainEnum):
    """What happens to a bundle's file."""

    DEFERRED = "deferred"
    """Its code is there, and its messages are for whoever needs them."""
    FINISHED = "finished"
    """Its sender has sent all of it."""
    WRITTEN = "written"
    """The disk has all of it, and nothing of what was in the file before."""
    CUT_SHORT = "cut short"
    """Its sender has gone or sends another bundle, the store can't keep it, or nobody needs it."""


TRANSITIONS: dict[tuple[FileState, FileEvent], FileState] = {
    (FileState.GROWING, FileEvent.DEFERRED): FileState.DEFERRED,
    (FileState.GROWING, FileEvent.FINISHED): FileState.FINISHING,
    (FileState.GROWING, FileEvent.CUT_SHORT): FileState.CUT,
    (FileState.DEFERRED, FileEvent.FINISHED): FileState.FINISHING,
    (FileState.DEFERRED, FileEvent.CUT_SHORT): FileState.CUT,
    (FileState.FINISHING, FileEvent.WRITTEN): FileState.COMPLETE,
    (FileState.FINISHING, FileEvent.CUT_SHORT): FileState.CUT,
}
"""An event that is missing for a state changes nothing."""
