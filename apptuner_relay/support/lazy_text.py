"""A text of a log line that is made when the line is written, and not before. Pure."""

from apptuner_relay.support.units import show_duration


class LazyText:
    """A base class of such texts; `str` makes them. A log that programs read has no field for one:
    what it is made of are fields of their own."""

    __slots__ = ()

    def __str__(self) -> str:
        raise NotImplementedError


class Lasted(LazyText):
    """How long something has lasted, in seconds; see `show_duration`. None: nobody knows."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def __str__(self) -> str:
        return "an unknown time" if self._seconds is None else show_duration(self._seconds)
