"""What somebody types at standard input, as the reactor reads it: a line, or keys at once.

Twisted's own standard I/O makes the terminal non-blocking, for every other process at it too.
"""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from zope.interface import implementer

_MOST_BYTES = 1024


@implementer(IReadDescriptor)
class Keyboard:
    """A terminal's keyboard. `heed` is called with what is typed; with nothing at its end.

    :param descriptor: of a terminal.
    """

    def __init__(self, reactor: Any, descriptor: int, heed: Callable[[bytes], None]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._heed = heed
        self._before: list[Any] | None = None

    def start(self, *, keys: bool = False) -> None:
        """Listen.

        :param keys: to each key, which is not shown; otherwise to lines.
        """
        if keys:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Leave the terminal as it was. Harmless when that is done."""
        self._reactor.removeReader(self)
        before, self._before = self._before, None
        if before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)

    # As the reactor's reader.

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "keyboard"

    def doRead(self) -> Any:
        try:
            data = os.read(self._descriptor, _MOST_BYTES)
        except OSError:
            data = b""
        if not data:
            # The terminal is gone, or somebody has typed Ctrl-D.
            self._reactor.removeReader(self)
        self._heed(data)

    def connectionLost(self, reason: Any = CONNECTION_DONE) -> None:
        """The reactor ends, or can't read any more."""


def ask_line(reactor: Any, descriptor: int) -> Deferred[str]:
    """The next line that is typed, without its end; nothing where there comes none. Can be
    cancelled."""
    line: Deferred[str] = Deferred(lambda _: keyboard.stop())
    typed = bytearray()

    def heed(data: bytes) -> None:
        typed.extend(data)
        if not data or b"\n" in data:
            keyboard.stop()
            line.callback(typed.partition(b"\n")[0].decode("utf-8", "replace"))

    keyboard = Keyboard(reactor, descriptor, heed)
    keyboard.start()
    return line
