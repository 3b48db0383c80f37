"""The spool's directories: one for each relay that runs, below the one that the operator named.

A relay locks its directory while it runs. So what a crash has left can be told from what another
relay on the machine still needs. systemd-tmpfiles, which removes old files from /var/tmp, respects
such a lock, too.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from itertools import count
from pathlib import Path

PROBE_BYTES = 1024 * 1024
"""How many bytes are written to find out whether the disk works."""

_OURS = "relay-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SpoolDirectory:
    """This relay's own directory.

    :param parent: the directory that the operator named; made if it is missing.
    :raises OSError: it can't be made or written, or another user could change it.
    """

    def __init__(self, parent: Path) -> None:
        self._numbers = count(1)
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for state in (parent.lstat(), parent.stat()):
            if state.st_uid not in (0, os.getuid()):
                raise PermissionError(f"{parent} belongs to somebody else")
        if state.st_mode & stat.S_IWOTH:
            raise PermissionError(f"{parent} can be written by everybody")
        # This lock is held until the own directory is locked, so that of two relays that start
        # neither clears the other's.
        starting = os.open(parent, _FOLDER & ~os.O_NOFOLLOW)
        try:
            fcntl.flock(starting, fcntl.LOCK_EX)
            self.cleared = _clear(parent)
            """How many directories of killed relays were removed."""
            self.path = Path(tempfile.mkdtemp(prefix=f"{_OURS}{os.getpid()}-", dir=parent))
            self._lock = os.open(self.path, _FOLDER)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            os.close(starting)

    def create(self) -> tuple[Path, int]:
        """A new file: its path, and a descriptor to read and write it. For any thread.

        :raises OSError: it can't be made.
        """
        path = self.path / f"{next(self._numbers)}.frames"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        return path, os.open(path, flags, 0o600)

    def free_bytes(self) -> int:
        """How many bytes the file system has free for this user.

        :raises OSError: the file system can't be asked.
        """
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def probe(self) -> None:
        """Write a small file and remove it.

        :raises OSError: it can't be written.
        """
        path, fd = self.create()
        try:
            rest = memoryview(bytes(PROBE_BYTES))
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)
            path.unlink()

    def remove(self) -> None:
        """Remove the directory, with all that is in it, and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _clear(parent: Path) -> int:
    cleared = 0
    for path in parent.glob(f"{_OURS}*"):
        if path.is_symlink() or not path.is_dir():
            continue
        lock = os.open(path, _FOLDER)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            shutil.rmtree(path, ignore_errors=True)
            cleared += 1
        finally:
            os.close(lock)
    return cleared
