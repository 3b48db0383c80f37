"""The day file: daily metrics that outlive the process. All of its I/O blocks.

``days.json`` is ``{"days":{"2026-11-23":{…}},"run":{"started_ms":…,"last_minute_line":"…",
"clean":false}}``, written to a new file that then replaces it. One relay at a time uses a
directory: it locks a file in it, and the lock ends with the process, however that ends.
"""

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

DAYS_FILE = "days.json"
LOCK_FILE = "lock"
_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_MOST_BYTES = 4 * 1024 * 1024
"""400 days are some 70 kB: the relay never writes a file that is bigger."""


class StateError(Exception):
    """A state directory can't be used; the text says which, and why."""


class StateTaken(StateError):
    """Another relay has the directory."""


def default_directory(environment: Mapping[str, str]) -> Path | None:
    """The directory of ``--state-dir auto``: systemd's ``StateDirectory=``, else that of the XDG
    Base Directory Specification. None for a user without a home."""
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    # The specification has relative paths ignored.
    base = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = environment.get("HOME") or os.path.expanduser("~")
        base = os.path.join(home, ".local", "state")
        if not os.path.isabs(home):
            return None
    return Path(base) / "apptuner-relay"


def find_directory(setting: str, environment: Mapping[str, str]) -> Path | None:
    """The directory that ``--state-dir`` names; None for no directory."""
    if setting == "off":
        return None
    return default_directory(environment) if setting == "auto" else Path(setting)


class StateDirectory:
    """A directory that this process has locked, and its day file.

    :raises StateTaken: another relay has it.
    :raises StateError: the directory can't be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()
        try:
            path.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._lock = os.open(
                path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE
            )
        except OSError as wrong:
            raise StateError(f"{path}: {wrong.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateTaken(f"{path}: another relay has it (give this one its own)") from None
        except OSError as wrong:
            os.close(self._lock)
            raise StateError(f"{path}: {wrong.strerror}") from None
        if not os.access(path, os.W_OK | os.X_OK):
            # The lock may be there already, but files are replaced by new ones.
            os.close(self._lock)
            raise StateError(f"{path}: no new file can be written in it")

    def read(self) -> dict[str, object]:
        """The object that was written last; an empty one if there is none.

        :raises StateError: the file can't be read, or is no JSON object. In the second case it is
            renamed to ``days.json.bad``, so that the next `write` doesn't replace it.
        """
        file = self.path / DAYS_FILE
        try:
            with file.open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as wrong:
            raise StateError(f"{file}: {wrong.strerror}") from None
        try:
            value = json.loads(data) if len(data) <= _MOST_BYTES else None
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        bad = file.with_name(f"{DAYS_FILE}.bad")
        try:
            file.replace(bad)
        except OSError as wrong:
            raise StateError(f"{file}: not a day file, and {wrong.strerror}") from None
        raise StateError(f"{file}: not a day file; it is now called {bad.name}")

    def write(self, value: Mapping[str, object]) -> None:
        """Replace the day file. May be called in any thread.

        :raises StateError: it can't be written; the old file is still there.
        """
        file = self.path / DAYS_FILE
        new = file.with_name(f"{DAYS_FILE}.new")
        data = json.dumps(value, indent=1).encode()
        with self._writing:
            try:
                descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
                with open(descriptor, "wb") as opened:
                    opened.write(data)
                    opened.flush()
                    os.fsync(opened.fileno())
                new.replace(file)
            except OSError as wrong:
                raise StateError(f"{file}: {wrong.strerror}") from None

    def close(self) -> None:
        """Unlock the directory."""
        os.close(self._lock)
