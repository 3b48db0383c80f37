"""SIGHUP, SIGUSR1 and SIGUSR2, which by default end a process: none of them ends a relay.

SIGHUP reloads what can be reloaded. SIGUSR1 rotates the log if that is a file, as twistd's own log
does, and is ignored if it isn't. SIGUSR2 has the log show everything for a while, and back. `tap`
handles SIGTERM and SIGINT.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.logger import Logger

SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ignore_signals() -> None:
    """Have none of `SIGNALS` end this process. To be called first of all."""
    for number in SIGNALS:
        signal.signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing. Programs that this process starts would inherit ``SIG_IGN``."""


class SignalCalls:
    """Calls functions in the reactor's thread on `SIGNALS`. A signal that arrives before the
    reactor runs is handled once it does."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._reloads: list[tuple[str, Callable[[], None]]] = []
        self._rotate: Callable[[], None] | None = None
        self._toggle: Callable[[], None] | None = None

    def reload(self, what: str, call: Callable[[], None]) -> None:
        """Have SIGHUP call ``call``, which reloads ``what``, a word or two for the log."""
        self._reloads.append((what, call))

    def rotate(self, call: Callable[[], None]) -> None:
        """Have SIGUSR1 call ``call``, which begins a new log file."""
        self._rotate = call

    def toggle(self, call: Callable[[], None]) -> None:
        """Have SIGUSR2 call ``call``, which has the log show everything, or not any more."""
        self._toggle = call

    def install(self) -> None:
        """Handle the signals until the process ends: they must not end a relay that drains either.
        To be called in the main thread."""
        ignore_signals()
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._hang_up))
        signal.signal(signal.SIGUSR1, lambda *_: self._reactor.callFromThread(self._begin_new))
        signal.signal(signal.SIGUSR2, lambda *_: self._reactor.callFromThread(self._show_all))

    def _begin_new(self) -> None:
        if self._rotate is not None:
            self._rotate()

    def _show_all(self) -> None:
        if self._toggle is not None:
            self._toggle()

    def _hang_up(self) -> None:
        if not self._reloads:
            self.log.info("SIGHUP: there is nothing to reload")
            return
        what = ", ".join(name for name, _ in self._reloads)
        self.log.info("SIGHUP: reloading {what}", what=what)
        for name, call in self._reloads:
            try:
                call()
            except Exception:  # whatever it raises, the others are to be reloaded as well
                self.log.failure("reloading {what} has failed", what=name)
