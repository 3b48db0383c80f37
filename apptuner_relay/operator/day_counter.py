"""`DayCounter`: adds what the counters have counted to the UTC day on which it happened."""

from collections.abc import Callable

from apptuner_relay.operator.counters import Counters
from apptuner_relay.operator.day_book import Day, Days
from apptuner_relay.support.clocks import WallClock


class DayCounter:
    """Keeps `Days` up to date.

    :param session_count: how many sessions there are now.
    :param wall_s: the time of day.
    """

    def __init__(
        self, counters: Counters, session_count: Callable[[], int], wall_s: WallClock
    ) -> None:
        self.book = Days(wall_s())
        self._counters = counters
        self._session_count = session_count
        self._wall_s = wall_s
        self._added = counters.totals
        """The totals up to which the days have everything."""
        self._finished: list[Day] = []

    def count_connected(self) -> None:
        """A client has connected to this relay, and has been counted."""
        self.book.today.connections += 1
        self._raise_peaks()

    def count_reload(self, seconds: float) -> None:
        """All live phones of a bundle have acknowledged it, after so long."""
        self.turn()
        self.book.today.add_reload(seconds)

    def count_failed(self) -> None:
        """A phone has answered a bundle with an error."""
        self.turn()
        self.book.today.failed += 1

    def turn(self) -> None:
        """Begin a new day where the old one is over."""
        wall_s = self._wall_s()
        if not self.book.is_over(wall_s):
            return
        self._add()
        finished = self.book.turn(wall_s)
        if finished is not None:
            self._finished.append(finished)
        self._raise_peaks()

    def today(self) -> Day:
        """The current day, up to now."""
        self.turn()
        self._add()
        return self.book.today

    def take_finished(self) -> list[Day]:
        """The days that have ended since the last call."""
        self.turn()
        finished, self._finished = self._finished, []
        return finished

    def _add(self) -> None:
        today, before, now = self.book.today, self._added, self._counters.totals
        today.bundles += now.bundles - before.bundles
        today.bundle_bytes += now.bundle_bytes - before.bundle_bytes
        today.bytes_out += max(0, now.bytes_out - before.bytes_out)
        self._added = now

    def _raise_peaks(self) -> None:
        today = self.book.today
        today.peak_sessions = max(today.peak_sessions, self._session_count())
        today.peak_connections = max(today.peak_connections, self._counters.connection_count)
