"""The spool's place on disk: one folder for each relay that runs, below the one the operator named.

The folder is locked for as long as its relay lives, so what a crash left behind can be told from
what another relay on the machine still needs. systemd-tmpfiles, which ages /var/tmp, heeds such a
lock, too.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

_OURS = "relay-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def default_directory() -> Path:
    """Where the spool is if nobody said otherwise: on disk, and of this user alone."""
    return Path(f"/var/tmp/apptuner_relay_{os.getuid()}")


class SpoolDirectory:
    """This relay's own folder.

    :param parent: the folder that the operator named; made if it is missing.
    :raises OSError: it can't be had, or belongs to somebody else.
    """

    def __init__(self, parent: Path) -> None:
        self._count = 0
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for state in (parent.lstat(), parent.stat()):
            if state.st_uid not in (0, os.getuid()):
                raise PermissionError(f"{parent} belongs to somebody else")
        if state.st_mode & stat.S_IWOTH:
            raise PermissionError(f"{parent} can be written by everybody")
        # Held until the own lock is, so that of two relays that start none clears the other's.
        starting = os.open(parent, _FOLDER & ~os.O_NOFOLLOW)
        try:
            fcntl.flock(starting, fcntl.LOCK_EX)
            self.cleared = _clear(parent)
            """How many folders were left over from relays that ended badly."""
            self.path = Path(tempfile.mkdtemp(prefix=f"{_OURS}{os.getpid()}-", dir=parent))
            self._lock = os.open(self.path, _FOLDER)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            os.close(starting)

    def create(self) -> tuple[Path, int]:
        """A new file: its path, and a descriptor to read and write it.

        :raises OSError: it can't be made.
        """
        self._count += 1
        path = self.path / f"{self._count}.frames"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        return path, os.open(path, flags, 0o600)

    def free_bytes(self) -> int:
        """How much the file system still takes."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def remove(self) -> None:
        """The relay ends: take the folder away, with all that is in it."""
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
