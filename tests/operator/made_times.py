"""CPU time that passes by a clock."""

from twisted.internet.task import Clock

from apptuner_relay.operator.cpu_use import CpuTimes, CpuUse


class MadeTimes:
    """CPU times that a test sets; the relay may use two cores."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.now = CpuTimes(5.0, 4.0, 1.0)
        self.use = CpuUse(self.clock.seconds, lambda: self.now, cores=2.0)

    def passes(
        self, seconds: float, loop: float, threads: float = 0.0, workers: float = 0.0
    ) -> None:
        """So much time passes, of which so much is taken."""
        self.clock.advance(seconds)
        self.now = CpuTimes(
            self.now.process_s + (loop + threads) * seconds,
            self.now.loop_s + loop * seconds,
            self.now.workers_s + workers * seconds,
        )
        self.use.measure()
