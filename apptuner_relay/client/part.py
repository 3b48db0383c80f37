"""The file of a download under way: FILE.part, and FILE.part.json, which says what it is part of.

It holds a representation as it came over the wire, coded or not. Without a FILE to become, it has
no name and is gone with the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from apptuner_relay.client.replacing import write_whole
from apptuner_relay.client.representation import Mark

_MAX_MARK_BYTES = 4096


class PartFile:
    """What has come of a download so far. One program at a time has it.

    With `resume` it goes on with what an earlier run left; otherwise, and where that makes no
    sense, it is empty. Raises `OSError` if there can be none.
    """

    def __init__(self, target: Path | None, *, resume: bool) -> None:
        self.mark: Mark | None = None
        """What it is a part of, once that is known."""
        self._target = target
        self._file: IO[bytes]
        if target is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        else:
            self._name = target.with_name(f"{target.name}.part")
            self._mark_name = target.with_name(f"{target.name}.part.json")
            self._file = _opened(self._name)
        self.size = os.fstat(self._file.fileno()).st_size
        """Bytes that are there."""
        if target is not None and resume:
            self.mark = self._left_mark()
        if self.mark is None:
            self.clear()

    def begin(self, mark: Mark) -> None:
        """Start from nothing with another representation. Raises `OSError`."""
        self.clear()
        self.mark = mark
        if self._target is None:
            return
        if mark.resumable:
            write_whole(self._mark_name, mark.to_json().encode())
        else:
            self._mark_name.unlink(missing_ok=True)

    def append(self, data: bytes) -> None:
        """Raises `OSError`; what was written until then counts."""
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            self.size += written
            rest = rest[written:]

    def clear(self) -> None:
        """Empty it. Raises `OSError`."""
        self.mark = None
        self._file.truncate(0)
        self._file.seek(0)
        self.size = 0

    def reader(self) -> IO[bytes]:
        """Its content from the start, for somebody else, who closes it. Nothing must be appended
        meanwhile."""
        self._file.seek(0)
        return os.fdopen(os.dup(self._file.fileno()), "rb")

    def publish(self) -> None:
        """Make it the FILE that it was a part of. Raises `OSError`."""
        assert self._target is not None, "a part without a name becomes nothing"
        self._name.replace(self._target)

    def close(self, *, keep: bool) -> bool:
        """Let go of it. Returns whether it stays for a later run: that takes `keep`, and sense."""
        stays = bool(
            keep and self._target is not None and self.size and self.mark and self.mark.resumable
        )
        if self._target is not None:
            if not stays:
                self._unlink()
            # A reader may have the file open for a little longer, and with it would have the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()
        return stays

    def _unlink(self) -> None:
        with contextlib.suppress(OSError):
            # It may have become the FILE, and another's part may have its name by now.
            if os.path.samestat(os.stat(self._name), os.fstat(self._file.fileno())):
                self._name.unlink()
        with contextlib.suppress(OSError):
            self._mark_name.unlink()

    def _left_mark(self) -> Mark | None:
        try:
            with self._mark_name.open("rb") as file:
                mark = Mark.from_json(file.read(_MAX_MARK_BYTES).decode())
        except (OSError, UnicodeDecodeError):
            return None
        if mark is not None and mark.length is not None and self.size > mark.length:
            return None
        return mark


def _opened(name: Path) -> IO[bytes]:
    """Open a part, or make one, for this process alone. No link is followed: who may write to the
    directory might have put one there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        file = os.fdopen(os.open(name, flags, 0o666), "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it until now may have renamed it or deleted it.
            if os.path.samestat(os.stat(name), os.fstat(file.fileno())):
                return file
        except FileNotFoundError:
            pass
        except BlockingIOError:
            file.close()
            busy = f"another program downloads to {name.name}"
            raise OSError(errno.EBUSY, busy, str(name)) from None
        except OSError:
            file.close()
            raise
        file.close()
