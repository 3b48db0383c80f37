"""SIGHUP, SIGUSR1 and SIGUSR2, which by default end a process: none of them ends a relay.

SIGHUP reloads what can be reloaded. SIGUSR1 rotates the log where it is a file, as twistd's own
does, and is ignored where it isn't; SIGUSR2 is ignored. SIGTERM and SIGINT are not for here.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.logger import Logger

SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ignore_signals() -> None:
    """From now on none of `SIGNALS` ends this process; called before all that takes time."""
    for number in SIGNALS:
        signal.signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Nothing. ``SIG_IGN`` would be inherited by the programs that this process starts."""


class SignalCalls:
    """What `SIGNALS` call, in the reactor's thread; a signal that comes before the reactor runs is
    heeded once it does."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._reloads: list[tuple[str, Callable[[], None]]] = []
        self._rotate: Callable[[], None] | None = None

    def reload(self, what: str, call: Callable[[], None]) -> None:
        """Have SIGHUP call ``call``, which reloads ``what``, a word or two for the log."""
        self._reloads.append((what, call))

    def rotate(self, call: Callable[[], None]) -> None:
        """Have SIGUSR1 call ``call``, which begins a new log file."""
        self._rotate = call

    def install(self) -> None:
        """Heed the signals, for as long as the process lasts: a relay that drains must not die of
        one either. To be called in the main thread."""
        ignore_signals()
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._hang_up))
        signal.signal(signal.SIGUSR1, lambda *_: self._reactor.callFromThread(self._begin_new))

    def _begin_new(self) -> None:
        if self._rotate is not None:
            self._rotate()

    def _hang_up(self) -> None:
        if not self._reloads:
            self.log.info("SIGHUP: there is nothing to reload")
            return
        what = ", ".join(name for name, _ in self._reloads)
        self.log.info("SIGHUP: reloading {what}", what=what)
        for name, call in self._reloads:
            try:
                call()
            except Exception:  # whatever it is, the others are to be reloaded as well
                self.log.failure("reloading {what} has failed", what=name)
