"""Limits how often a line is logged that clients can cause: now and then one with a count, so that
nobody can fill the disk. Pure.
"""

from collections import Counter
from collections.abc import Callable

INTERVAL_S = 10.0


class LogThrottle:
    """Counts the events of one kind.

    :param seconds: the monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._count = 0
        self._logged_s: float | None = None

    def count(self) -> int | None:
        """Count one more event. Returns how many there were since the last line, this one included,
        if a line is due; else None."""
        self._count += 1
        now_s = self._seconds()
        if self._logged_s is not None and now_s - self._logged_s < INTERVAL_S:
            return None
        count, self._count, self._logged_s = self._count, 0, now_s
        return count


class LogQuota:
    """Lets so many lines pass in each `INTERVAL_S`, and counts the others.

    :param seconds: the monotonic clock.
    :param most_each: how many lines of one key pass.
    :param most: how many lines of all keys pass.
    """

    def __init__(self, seconds: Callable[[], float], most_each: int, most: int) -> None:
        self._seconds = seconds
        self._most_each = most_each
        self._most = most
        self._passed: Counter[str] = Counter()
        self._passed_of_all = 0
        self._skipped: Counter[str] = Counter()
        self._began_s: float | None = None

    def take(self, key: str) -> bool:
        """Whether a line of ``key`` may be logged now. Otherwise it is counted."""
        now_s = self._seconds()
        if self._began_s is None or now_s - self._began_s >= INTERVAL_S:
            self._passed.clear()
            self._passed_of_all = 0
            self._began_s = now_s
        if self._passed[key] >= self._most_each or self._passed_of_all >= self._most:
            self._skipped[key] += 1
            return False
        self._passed[key] += 1
        self._passed_of_all += 1
        return True

    def take_skipped(self) -> Counter[str]:
        """How many lines of each key were not logged since this was called last."""
        skipped, self._skipped = self._skipped, Counter()
        return skipped
