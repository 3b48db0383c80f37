"""A program at a real terminal of a given size: what it draws, and what is typed."""

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.live.processes import REPOSITORY, Child, checkout_env, within_patience

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = "\x1b[H"
"""What a program begins to draw the whole screen with."""
TAKE_SCREEN, GIVE_SCREEN_BACK = "\x1b[?1049h", "\x1b[?1049l"


class TerminalProgram(Child):
    """A program whose standard input, output and errors are one terminal."""

    def __init__(self, argv: Sequence[str], width: int, height: int, **env: str) -> None:
        self.out = self.err = ""
        self.exit_code: int | None = None
        self.exit_signal: int | None = None
        self.is_over = False
        self._argv = argv
        self._on_line: Callable[[str], None] = lambda line: None
        self._pending = b""
        self._ends: list[Deferred[None]] = []
        self._waiters: list[Deferred[None]] = []
        ours, theirs = pty.openpty()
        # Twisted closes the other.
        self._theirs = os.dup(theirs)
        self.mode_after: list[Any] = []
        """How the terminal was set when the program had ended."""
        self.resize(width, height)
        self.process = reactor.spawnProcess(  # type: ignore[attr-defined]
            self,
            argv[0],
            argv,
            env=checkout_env(TERM="xterm-256color", **env),
            path=str(REPOSITORY),
            usePTY=(ours, theirs, os.ttyname(theirs)),
        )
        self.pid = self.process.pid

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, of which the program is told."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def mode(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._theirs)

    def typed(self, keys: str) -> None:
        """Somebody types."""
        self.process.write(keys.encode())

    @property
    def shown(self) -> list[str]:
        """The lines of the last frame."""
        frame = _CONTROL.sub("", self.out.rpartition(_HOME)[2])
        return [line.rstrip() for line in frame.replace("\r", "").split("\n")]

    async def shows(self, *words: str, height: int | None = None) -> list[str]:
        """The lines of the first frame, from now on, that has all of these words, and is so high.
        It may be drawn in part, up to the last of them."""
        while height not in (None, len(self.shown)) or not all(
            one in "\n".join(self.shown) for one in words
        ):
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: f"no {words!r}: {self!r}")
        return self.shown

    async def prints(self, words: str, times: int = 1) -> None:
        """Wait until these words have been written so often."""
        while self.out.count(words) < times:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: f"no {words!r}: {self!r}")

    async def until_stopped(self) -> None:
        """Wait until a signal has stopped it: the kernel tells that to nobody but its parent's
        waitpid(2), which is Twisted's."""
        stat = Path(f"/proc/{self.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]

    async def until_over(self) -> None:
        """Wait until it has ended."""
        await within_patience(self.over(), lambda: repr(self))

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def processExited(self, reason: Any) -> None:
        self.mode_after = self.mode()
        os.close(self._theirs)
