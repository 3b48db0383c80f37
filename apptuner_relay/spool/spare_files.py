"""Spare files: nobody needs what is in them, and they may be written over."""

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import NamedTuple


class Spare(NamedTuple):
    """A file that may be written over from its start."""

    path: Path
    size: int
    """How many bytes it has."""


class Spares:
    """A pool of spare files. Their pages are in memory, so that writing over them takes less than
    half of the time of writing a new file. For any thread.

    :param most_bytes: how many bytes they may have together.
    :param most_files: how many there may be. None of them is open: descriptors are for clients.
    """

    def __init__(self, most_bytes: int, most_files: int = 32) -> None:
        self.most_bytes = most_bytes
        self.most_files = most_files
        self.is_wanted = True
        """Whether files are to be put here at all."""
        self.size = 0
        """How many bytes they have together."""
        self._files: list[Spare] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._files)

    def put(self, path: Path, fd: int | None = None) -> None:
        """Add a file, or remove it where there is no room. It is closed where it is open as ``fd``.
        May wait for the disk.

        :raises OSError: it can't be closed, or isn't there.
        """
        if fd is not None:
            os.close(fd)
        spare = Spare(path, path.stat().st_size)
        surplus = [spare]
        with self._lock:
            if self.is_wanted and self.size + spare.size <= self.most_bytes:
                # An empty file is the last to be taken, and the first to be removed.
                self._files.insert(len(self._files) if spare.size else 0, spare)
                surplus = self._files[: max(0, len(self._files) - self.most_files)]
                del self._files[: len(surplus)]
                self.size += spare.size - sum(one.size for one in surplus)
        for one in surplus:
            remove(one.path)

    def take(self) -> Spare | None:
        """Take the file that was written last, as most of it is still in memory; None for none."""
        with self._lock:
            if not self._files:
                return None
            spare = self._files.pop()
            self.size -= spare.size
            return spare

    def drop(self) -> None:
        """Remove them all. May wait for the disk."""
        while spare := self.take():
            remove(spare.path)


def remove(path: Path) -> None:
    """Remove a file. Errors are ignored: nothing else can be done where the disk fails."""
    with contextlib.suppress(OSError):
        path.unlink()
