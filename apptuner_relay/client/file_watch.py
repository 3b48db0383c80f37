"""Watches a file for changes: looks at it again and again, and reads it once it rests.

Not here: what is done with what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.saved_file import Look, NotAFileError, Save, read_bytes
from apptuner_relay.client.screen import Screen

QUIET_LOOKS = 2
"""How many looks in a row a file has to rest for, after the one that saw it change. Who writes it
in pieces may be between two of them."""
TROUBLE_SECONDS = 2.0
"""How long there may be no file to read until that is said. Builds delete files for a moment."""

InThread = Callable[..., Deferred[Any]]
"""Calls a function with its arguments off the reactor's thread."""


class FileWatch:
    """A file that is looked at every `interval_seconds`. `changed` is told each `Save`.

    `seen` is what the file looked like when it was read last, if it was. An empty file is none:
    most who write one begin by emptying it.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path,
        seen: Look | None,
        interval_seconds: float,
        changed: Callable[[Save], None],
        clock: IReactorTime,
        screen: Screen,
        *,
        in_thread: InThread = deferToThread,
    ) -> None:
        self._path = path
        self._read: Look | None = seen
        """What it looked like when it was read last."""
        self._seen = seen
        self._quiet = 0
        """How many looks ago it changed."""
        self._interval = interval_seconds
        self._changed = changed
        self._clock = clock
        self._screen = screen
        self._in_thread = in_thread
        self._call: IDelayedCall | None = None
        self._stopped = False
        self._trouble: str | None = None
        """Why there is nothing to read."""
        self._trouble_since = 0.0
        self._trouble_said = False

    def start(self) -> None:
        """Begin to look."""
        self._call = self._clock.callLater(self._interval, self._look)

    def stop(self) -> None:
        """Look no more. What is being read is not told any more."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        trouble = self._trouble_now()
        self._heed(trouble)
        if trouble is not None or self._seen == self._read:
            self.start()
            return
        reading = self._in_thread(_read_save, self._path)
        reading.addCallbacks(self._was_read, self._was_not_read)
        reading.addErrback(lambda failure: self._log.failure("watching a file", failure))
        reading.addBoth(lambda _: None if self._stopped else self.start())

    def _trouble_now(self) -> str | None:
        """Look at the file. Returns why it is not to be read now, or None."""
        before, self._seen = self._seen, None
        try:
            self._seen = Look.at(self._path)
        except FileNotFoundError:
            return "it is gone; waiting for it to come back"
        except NotAFileError:
            return "it is no regular file; waiting for one"
        except OSError as error:
            return f"{error.strerror or error}; waiting"
        self._quiet = self._quiet + 1 if self._seen == before else 0
        if self._seen == self._read:
            return None
        if not self._seen.size:
            return "it is empty; waiting for more"
        if self._quiet < QUIET_LOOKS:
            return "it is being written to; waiting for the end of that"
        return None

    def _heed(self, trouble: str | None) -> None:
        now = self._clock.seconds()
        if trouble != self._trouble:
            self._trouble, self._trouble_since, self._trouble_said = trouble, now, False
            return
        lasted = now - self._trouble_since >= TROUBLE_SECONDS
        if trouble is not None and lasted and not self._trouble_said:
            self._trouble_said = True
            self._screen.complain(f"{self._path}: {trouble}")

    def _was_read(self, found: tuple[Look, Save | str] | None) -> None:
        if self._stopped or found is None:
            return  # It has changed meanwhile, and so does the next look.
        self._read, save = found
        self._seen = self._read
        if isinstance(save, str):
            self._screen.complain(f"{self._path}: {save}")
        else:
            self._changed(save)

    def _was_not_read(self, failure: Failure) -> None:
        # The next look says so too, unless it has passed by then.
        failure.trap(OSError, NotAFileError)
        self._seen = None


def _read_save(path: Path) -> tuple[Look, Save | str] | None:
    """What a file looks like, and its content, or what is wrong with that; see `read_bytes`."""
    found = read_bytes(path)
    if found is None:
        return None
    look, code = found
    try:
        return look, Save.of(code)
    except UnicodeDecodeError as error:
        return look, f"it is not UTF-8 (at byte {error.start:,}), and is not sent"
