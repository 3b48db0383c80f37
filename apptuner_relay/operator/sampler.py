"""`Sampler`: a sample of the counters every ten seconds, for charts and for what the last minute
has brought.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.operator.counters import Counters, Totals
from apptuner_relay.operator.loop_lag import LoopLag
from apptuner_relay.support.clocks import WallClock, in_ms

SAMPLE_INTERVAL_S = 10.0
"""How often `Sampler.sample` is to be called."""
_HOUR_SAMPLES = 360
_MINUTE_S = 60.0


class Sampler:
    """Keeps the samples of the last hour.

    :param session_count: how many sessions there are now.
    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(
        self,
        counters: Counters,
        session_count: Callable[[], int],
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self.lag = LoopLag(clock)
        self._counters = counters
        self._session_count = session_count
        self._wall_s = wall_s
        self._lag_s = 0.0
        self._hour: deque[list[float]] = deque(maxlen=_HOUR_SAMPLES)
        self._minute: deque[Totals] = deque([counters.totals])

    def sample(self) -> None:
        """Take a sample of the last `SAMPLE_INTERVAL_S`."""
        before, now = self._minute[-1], self._counters.totals
        now_ms = in_ms(self._wall_s())
        # A chart's times only grow: samples from after a clock was set back are of no use to it.
        while self._hour and self._hour[-1][0] >= now_ms:
            self._hour.pop()
        self._minute.append(now)
        while len(self._minute) > 1 and self._minute[1].at_s <= now.at_s - _MINUTE_S:
            self._minute.popleft()
        self._lag_s = self.lag.take()
        lasted_s = now.at_s - before.at_s
        rate = max(0, now.bytes_out - before.bytes_out) / lasted_s if lasted_s > 0 else 0.0
        self._hour.append(
            [
                now_ms,
                self._session_count(),
                self._counters.connection_count,
                round(rate),
                self.loop_lag_ms,
            ]
        )

    @property
    def loop_lag_ms(self) -> float:
        """The worst lag of the event loop in the last ten seconds or so."""
        return round(1000 * max(self._lag_s, self.lag.worst_s), 1)

    def hour(self) -> list[list[float]]:
        """The samples of the last hour, oldest first: time in ms since the epoch, sessions,
        connections, bytes sent per second, loop lag in ms."""
        return [list(row) for row in self._hour]

    def last_minute(self, now: Totals) -> Totals:
        """How much of ``now`` has passed in the last minute, or since the start."""
        before = self._minute[0]
        return Totals(
            now.at_s,
            now.bundles - before.bundles,
            now.bundle_bytes - before.bundle_bytes,
            max(0, now.bytes_out - before.bytes_out),
        )
