"""Which lines get into the log: those of a level and above. It can be changed while the relay
runs, and then goes back by itself.
"""

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import LogEvent, LogLevel

LEVELS = ("debug", "info", "warn")
"""What may be asked for."""
TOGGLE_S = 600.0
"""For how long a signal has the log show everything."""

_ORDER = {level: n for n, level in enumerate(LogLevel.iterconstants())}


class LogThreshold:
    """The threshold of one log.

    :param level: of `LEVELS`: that of the options.
    """

    def __init__(self, level: str, clock: IReactorTime) -> None:
        self._usual = self._now = level
        self._least = _ORDER[LogLevel.lookupByName(level)]
        self._clock = clock
        self._call: IDelayedCall | None = None

    @property
    def level(self) -> str:
        """The level now."""
        return self._now

    @property
    def usual(self) -> str:
        """The level of the options, to which it goes back."""
        return self._usual

    @property
    def left_s(self) -> float | None:
        """In how many seconds it goes back; None where it doesn't."""
        if self._call is None:
            return None
        return max(0.0, self._call.getTime() - self._clock.seconds())

    def passes(self, event: LogEvent) -> bool:
        """Whether an event gets into the log. One without a level is twisted.python.log's."""
        level: Any = event.get("log_level")
        return _ORDER.get(level, _ORDER[LogLevel.info]) >= self._least

    def set(self, level: str, for_s: float | None = None) -> None:
        """Log at ``level`` from now on, for ``for_s`` seconds or until it is set again."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._apply(level)
        if for_s is not None and level != self._usual:
            self._call = self._clock.callLater(for_s, self._go_back)

    def set_usual(self, level: str) -> None:
        """The options have another level now. One that was set for a time lasts for that time."""
        self._usual = level
        if self._call is None:
            self._apply(level)

    def toggle(self) -> None:
        """Log everything for `TOGGLE_S`; where it is doing that, go back."""
        if self._now == "debug":
            self.set(self._usual)
        else:
            self.set("debug", TOGGLE_S)

    def _go_back(self) -> None:
        self._call = None
        self._apply(self._usual)

    def _apply(self, level: str) -> None:
        self._now = level
        self._least = _ORDER[LogLevel.lookupByName(level)]
