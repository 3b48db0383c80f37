"""A text of a log line that is made when the line is written, and not before. Pure."""

from apptuner_relay.support.units import show_duration

_SHORT_S = 10.0
"""Below this, tenths of a second are of interest."""


class LazyText:
    """A base class of such texts; `str` makes them. A log that programs read has no field for one:
    what it is made of are fields of their own."""

    __slots__ = ()

    def __str__(self) -> str:
        raise NotImplementedError


class Lasted(LazyText):
    """How long something has lasted, in seconds; see `show_duration`. None:
    nobody knows."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def __str__(self) -> str:
        seconds = self._seconds
        if seconds is None:
            return "an unknown time"
        return f"{seconds:.1f} s" if seconds < _SHORT_S else show_duration(seconds)
