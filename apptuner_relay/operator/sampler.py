"""`Sampler`: a sample of the counters every ten seconds, for charts and for what the last minute
has brought.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.operator.counters import Counters, Totals
from apptuner_relay.operator.cpu_use import CpuUse
from apptuner_relay.operator.history import History, Sample
from apptuner_relay.operator.loop_lag import LoopLag
from apptuner_relay.support.clocks import WallClock, in_ms
from apptuner_relay.support.median import median

SAMPLE_INTERVAL_S = 10.0
"""How often `Sampler.sample` is to be called."""
_MINUTE_S = 60.0


class Sampler:
    """Takes the samples of a relay.

    :param session_count: how many sessions there are now.
    :param cpu: read anew for each sample.
    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(
        self,
        counters: Counters,
        session_count: Callable[[], int],
        cpu: CpuUse,
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self.lag = LoopLag(clock)
        self._counters = counters
        self._session_count = session_count
        self._cpu = cpu
        self._cpu_times = cpu.read()
        self._wall_s = wall_s
        self._lag_s = 0.0
        self.history = History()
        self._reload_times_s: list[float] = []
        self._failed = 0
        self._minute: deque[Totals] = deque([counters.totals])

    def sample(self) -> None:
        """Take a sample of the last `SAMPLE_INTERVAL_S`."""
        before, now = self._minute[-1], self._counters.totals
        self._minute.append(now)
        while len(self._minute) > 1 and self._minute[1].at_s <= now.at_s - _MINUTE_S:
            self._minute.popleft()
        self._lag_s = self.lag.take()
        lasted_s = now.at_s - before.at_s
        rate = max(0, now.bytes_out - before.bytes_out) / lasted_s if lasted_s > 0 else 0.0
        times_s, self._reload_times_s = self._reload_times_s, []
        failed, self._failed = self._failed, 0
        sample = Sample(
            in_ms(self._wall_s()),
            self._session_count(),
            self._counters.connection_count,
            rate,
            self.loop_lag_ms,
            self._take_busy_share(lasted_s),
            now.bundles - before.bundles,
            median(times_s) if times_s else None,
            failed,
        )
        self.history.add(sample, times_s)

    def _take_busy_share(self, lasted_s: float) -> float:
        """See `CpuUse.busy`, of the last ``lasted_s``."""
        before, now = self._cpu_times, self._cpu.read()
        self._cpu_times = now
        if lasted_s <= 0:
            return 0.0
        process, loop, workers = (
            max(0.0, after - first) for first, after in zip(before, now, strict=True)
        )
        return max(loop, (process + workers) / self._cpu.cores) / lasted_s

    def count_reload(self, seconds: float) -> None:
        """All live phones of a bundle have acknowledged it, after so long."""
        self._reload_times_s.append(seconds)

    def count_failed(self) -> None:
        """A phone has answered a bundle with an error."""
        self._failed += 1

    @property
    def loop_lag_ms(self) -> float:
        """The worst lag of the event loop in the last ten seconds or so."""
        return round(1000 * max(self._lag_s, self.lag.worst_s), 1)

    def last_minute(self, now: Totals) -> Totals:
        """How much of ``now`` has passed in the last minute, or since the start."""
        before = self._minute[0]
        return Totals(
            now.at_s,
            now.bundles - before.bundles,
            now.bundle_bytes - before.bundle_bytes,
            max(0, now.bytes_out - before.bytes_out),
        )
