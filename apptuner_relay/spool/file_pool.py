"""Provides files to write bundles to: spare files, and new ones that were made ahead.

The reactor's thread rarely makes a file itself: that may take long on some disks, and longer on one
that is stuck.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.spool.disk import ThreadedDisk, open_file
from apptuner_relay.spool.spool_directory import SpoolDirectory

_LEAST_READY = 16
"""So many bundles may begin while the disk is busy for a moment, as on a busy machine. Nobody opens
these files before they are needed, and they are empty."""
_BUSY_S = 0.05
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class OpenFile(NamedTuple):
    """A file to write to."""

    path: Path
    fd: int
    size: int
    """How many bytes of an earlier bundle are in it."""


class FilePool:
    """Gives out files.

    :param fail: called with the error when no file can be made.
    """

    log = Logger()

    def __init__(self, disk: ThreadedDisk, fail: Callable[[OSError], None]) -> None:
        self._disk = disk
        self._fail = fail
        self._is_making = False
        self._complained = False

    def take(self, directory: SpoolDirectory, label: str) -> OpenFile | None:
        """A file, or None where there is none now.

        :param label: how log lines name the session that it is for.
        """
        spare = self._disk.spares.take()
        self.make_ready(directory)
        try:
            if spare is not None:
                file = OpenFile(spare.path, open_file(spare.path), spare.size)
            elif self._disk.busy_s() > _BUSY_S:
                # Many bundles have begun at once. This may be called for each block of a message,
                # so it is logged once.
                if not self._complained:
                    self._complained = True
                    self.log.warn(
                        "session {session}: a bundle is not cached: the disk is busy", session=label
                    )
                return None
            else:
                file = OpenFile(*directory.create(), 0)
        except OSError as error:
            # No descriptor is left, or the directory was removed.
            if spare is not None:
                self._disk.discard(None, spare.path, ())
            self._not_made(error)
            return None
        self._complained = False
        return file

    def make_ready(self, directory: SpoolDirectory) -> None:
        """Have some files made ahead, in the thread that writes."""
        spares = self._disk.spares
        least = min(_LEAST_READY, spares.most_files)
        if self._is_making or len(spares) >= least:
            return

        def make() -> None:
            for _ in range(least - len(spares)):
                path, fd = directory.create()
                spares.put(path, fd)

        def done(_: object) -> None:
            self._is_making = False

        def failed(failure: Failure) -> None:
            failure.trap(OSError)
            assert isinstance(failure.value, OSError)
            self._not_made(failure.value)

        self._is_making = True
        self._disk.run(make).addErrback(failed).addBoth(done)

    def _not_made(self, error: OSError) -> None:
        if error.errno not in _OUT_OF_DESCRIPTORS:
            self._fail(error)
        elif not self._complained:
            self._complained = True
            self.log.warn("bundles are not cached while there are no file descriptors left")
