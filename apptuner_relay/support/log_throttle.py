"""Limits how often a line is logged that clients can cause: now and then one with a count, so that
nobody can fill the disk. Pure.
"""

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
