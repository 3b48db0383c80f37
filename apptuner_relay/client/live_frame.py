"""A terminal's whole screen, drawn over and over, with keys that act at once.

Needs `rich`, as `screen` does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from apptuner_relay.client.keyboard import Keyboard


class LiveFrame:
    """The screen, from `start` to `stop`; what was there before is there again then.

    :param heed: called with each key.
    :param resized: called when it has another size, or has to be drawn anew.
    """

    def __init__(
        self,
        console: Console,
        reactor: Any,
        heed: Callable[[str], None],
        resized: Callable[[], None],
    ) -> None:
        self._console = console
        self._reactor = reactor
        self._resized = resized
        self._live: Live | None = None
        self._keyboard: Keyboard | None = None
        self._heed = heed
        self._handlers: dict[int, Any] = {}

    @property
    def width(self) -> int:
        """In columns."""
        return self._console.width

    @property
    def height(self) -> int:
        """In lines."""
        return self._console.height

    def start(self) -> None:
        """Take the screen."""
        self._take()
        for number, act in ((signal.SIGWINCH, self._resized), (signal.SIGTSTP, self._suspend)):
            self._handlers[number] = signal.signal(number, self._later(act))

    def draw(self, lines: Iterable[tuple[str, str]]) -> None:
        """Show these lines, each with its style, as many as there is room for. Their texts must
        have been through `printable`. Raises `OSError` when nobody sees it."""
        if self._live is not None:
            drawn = Text("\n").join(Text(text, style) for text, style in lines)
            self._live.update(drawn, refresh=True)

    def stop(self) -> None:
        """Give the screen back. Harmless when that is done."""
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        self._give_back()

    def _take(self) -> None:
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        if sys.stdin is not None and sys.stdin.isatty():
            self._keyboard = Keyboard(self._reactor, sys.stdin.fileno(), self._typed)
            self._keyboard.start(keys=True)

    def _give_back(self) -> None:
        live, self._live = self._live, None
        keyboard, self._keyboard = self._keyboard, None
        if keyboard is not None:
            keyboard.stop()
        if live is not None:
            live.stop()

    def _typed(self, data: bytes) -> None:
        for key in data.decode("ascii", "ignore"):
            self._heed(key)

    def _later(self, act: Callable[[], None]) -> Any:
        return lambda number, frame: self._reactor.callFromThread(act)

    def _suspend(self) -> None:
        """Ctrl-Z: the shell gets its screen back until it says `fg`."""
        if self._live is None:
            return
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._resized()
