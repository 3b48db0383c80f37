"""Says when to log what anybody could cause again and again: now and then, with a count, so that
nobody can fill the disk. Pure.
"""

from collections.abc import Callable

INTERVAL_S = 10.0


class Seldom:
    """Counts one kind of thing.

    :param seconds: the monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._count = 0
        self._logged_s: float | None = None

    def count(self) -> int | None:
        """It has happened once more. How often since the last line, this time included, if a line
        is due; None if not."""
        self._count += 1
        now_s = self._seconds()
        if self._logged_s is not None and now_s - self._logged_s < INTERVAL_S:
            return None
        count, self._count, self._logged_s = self._count, 0, now_s
        return count
