"""Daily metrics: a `Day` for each UTC day, and the `Days` that are kept. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta

from apptuner_relay.operator.reload_times import ReloadTimes
from apptuner_relay.support.clocks import in_ms

DAY_S = 86_400
_PUT_BACK_S = 3600
"""A clock that is set back by less doesn't begin the day again."""
KEPT_DAYS = 400
SHOWN_DAYS = 30


@dataclass
class Day:
    """One day's metrics; the peaks are the most that there were at once."""

    date: str
    """As ``2026-11-23``, in UTC."""
    peak_sessions: int = 0
    peak_connections: int = 0
    bundles: int = 0
    bundle_bytes: int = 0
    bytes_out: int = 0
    connections: int = 0
    """How many clients connected."""
    reloads: int = 0
    """How many bundles a live phone has acknowledged."""
    failed: int = 0
    """How many phones have answered a bundle with an error."""
    reload_median_ms: int = 0
    """Of the `ReloadTimes`, as the next one; 0 where there were none."""
    reload_p95_ms: int = 0

    def __post_init__(self) -> None:
        self._times = ReloadTimes()
        """Of this day, as long as it is today."""

    def add_reload(self, seconds: float) -> None:
        """A bundle has been acknowledged after so long."""
        self._times.add(seconds)
        self.reloads += 1
        self._sum_up()

    def merge(self, more: "Day") -> None:
        """Add what another one has, which is of the same day."""
        for name in _COUNTS:
            ours, theirs = getattr(self, name), getattr(more, name)
            total = max(ours, theirs) if name in _HIGHEST else ours + theirs
            setattr(self, name, total)
        self._times.merge(more._times)
        self._sum_up()

    def _sum_up(self) -> None:
        median_s, p95_s = self._times.quantile_s(0.5), self._times.quantile_s(0.95)
        if median_s is not None and p95_s is not None:
            self.reload_median_ms, self.reload_p95_ms = in_ms(median_s), in_ms(p95_s)

    def row(self) -> dict[str, object]:
        """As JSON shows it."""
        return asdict(self)

    def saved(self) -> dict[str, object]:
        """As the day file has it."""
        return self.row() | ({_TIMES: self._times.text()} if self._times.count else {})

    @classmethod
    def read(cls, key: object, row: object) -> "Day | None":
        """The day that `saved` has given, or that of another version; None for something else."""
        if not isinstance(key, str) or not isinstance(row, Mapping):
            return None
        try:
            day = cls(date.fromisoformat(key).isoformat())
        except ValueError:
            return None
        for name in _COUNTS:
            value = row.get(name, 0)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                return None
            setattr(day, name, value)
        # Without them, what is added later is all that its quantiles are of.
        day._times = ReloadTimes.read(row.get(_TIMES)) or ReloadTimes()
        return day


_TIMES = "reload_times"
_COUNTS = tuple(field.name for field in fields(Day) if field.name != "date")
_HIGHEST = frozenset(("peak_sessions", "peak_connections", "reload_median_ms", "reload_p95_ms"))
"""The others are added up."""


def date_of(wall_s: float) -> str:
    """The UTC date, such as ``2026-11-23``, of a time in seconds since the epoch."""
    return datetime.fromtimestamp(wall_s, UTC).date().isoformat()


class Days:
    """Today and the days before, up to `KEPT_DAYS` of them.

    :param wall_s: the time, in seconds since the epoch.
    """

    def __init__(self, wall_s: float) -> None:
        self._begin(wall_s)
        self._past: dict[str, Day] = {}

    def _begin(self, wall_s: float) -> None:
        self.today = Day(date_of(wall_s))
        self._begins_s = wall_s // DAY_S * DAY_S

    def is_over(self, wall_s: float) -> bool:
        """Whether ``wall_s`` is after `today`, or so long before it that the clock must have been
        wrong when the day began."""
        return not self._begins_s - _PUT_BACK_S <= wall_s < self._begins_s + DAY_S

    def turn(self, wall_s: float) -> Day | None:
        """Begin the day of ``wall_s``, or go on with it.

        Days in the future came from a clock that was wrong: the metrics of the last of them are
        added to today's.

        :return: the day that is over; None where there is none.
        """
        over = self.today
        is_past = wall_s >= self._begins_s
        if is_past:
            self._past[over.date] = over
        self._begin(wall_s)
        date = self.today.date
        for day in (self._past.pop(date, None), None if is_past else over):
            if day is not None:
                self.today.merge(day)
        self._past = {day: metrics for day, metrics in self._past.items() if day < date}
        self._forget()
        return over if is_past else None

    def month(self) -> list[Day]:
        """The last `SHOWN_DAYS` days on which the relay ran, oldest first, today last."""
        return [*reversed(self.past(SHOWN_DAYS - 1)), self.today]

    def past(self, most: int = SHOWN_DAYS) -> list[Day]:
        """The days before today, newest first, without those on which the relay didn't run."""
        return [self._past[day] for day in sorted(self._past, reverse=True)[:most]]

    def rows(self) -> dict[str, dict[str, object]]:
        """Every day that is kept, by date, as `merge` reads it."""
        # Of days that are over the times are summed up, so that the file stays small.
        kept = {day.date: day.row() for day in self._past.values()}
        kept[self.today.date] = self.today.saved()
        return dict(sorted(kept.items()))

    def merge(self, rows: object) -> int:
        """Take over the days that an earlier run has saved; its part of today is added to today.

        :return: how many malformed entries were ignored.
        """
        if not isinstance(rows, Mapping):
            return 0 if rows is None else 1
        wrong = 0
        for key, row in rows.items():
            day = Day.read(key, row)
            if day is None:
                wrong += 1
            elif day.date == self.today.date:
                self.today.merge(day)
            elif day.date < self.today.date:
                self._past[day.date] = day
            # A day in the future came from a clock that was wrong, and would stay the newest.
        self._forget()
        return wrong

    def _forget(self) -> None:
        oldest = (date.fromisoformat(self.today.date) - timedelta(days=KEPT_DAYS)).isoformat()
        for day in [day for day in self._past if day < oldest]:
            del self._past[day]
