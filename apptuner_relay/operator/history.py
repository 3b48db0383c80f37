"""`History`: the samples of the last hour, and of the last day in steps of five minutes. Pure.

Both begin where the relay began. The last step of the day is the one that is going on.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from apptuner_relay.support.median import median

HOUR_SAMPLES = 360
DAY_STEPS = 288
STEP_MS = 300_000
_MOST_TIMES = 1000
"""Of so many reloads of one step the median is exact; later ones don't count."""


class Sample(NamedTuple):
    """What a relay did in some seconds, ten or three hundred."""

    at_ms: int
    """Their end, in ms since the epoch."""
    sessions: int
    """The most that there were."""
    connections: int
    """The most that there were."""
    bytes_per_s: float
    """Sent to clients."""
    loop_lag_ms: float
    """The worst."""
    busy_share: float
    """See `Capacity.row`; the average."""
    bundles: int
    """Bundles that arrived whole."""
    reload_s: float | None
    """The median of the reload times; None where there were none."""
    failed: int
    """Phones that answered a bundle with an error."""

    def row(self) -> list[float | None]:
        """As JSON shows it: in the order of `COLUMNS`."""
        return [
            *(self.at_ms, self.sessions, self.connections, round(self.bytes_per_s)),
            *(self.loop_lag_ms, round(self.busy_share, 4), self.bundles),
            *(self.reload_s and round(self.reload_s, 3), self.failed),
        ]


COLUMNS = Sample._fields


class _Interval:
    """The samples of one step, so far."""

    def __init__(self, begins_ms: int) -> None:
        self.begins_ms = begins_ms
        self.samples: list[Sample] = []
        self.times_s: list[float] = []

    @property
    def sample(self) -> Sample:
        """Them all in one."""
        samples = self.samples
        count = len(samples)
        return Sample(
            samples[-1].at_ms,
            max(one.sessions for one in samples),
            max(one.connections for one in samples),
            sum(one.bytes_per_s for one in samples) / count,
            max(one.loop_lag_ms for one in samples),
            sum(one.busy_share for one in samples) / count,
            sum(one.bundles for one in samples),
            median(self.times_s) if self.times_s else None,
            sum(one.failed for one in samples),
        )


class History:
    """The samples of one relay."""

    def __init__(self) -> None:
        self._hour: deque[Sample] = deque(maxlen=HOUR_SAMPLES)
        self._day: deque[Sample] = deque(maxlen=DAY_STEPS)
        self._step: _Interval | None = None

    def add(self, sample: Sample, reload_times_s: Iterable[float]) -> None:
        """A sample was taken, of seconds in which reloads have taken these times."""
        now_ms = sample.at_ms
        # A chart's times only grow: samples from after a clock was set back are of no use to it.
        _drop_last(self._hour, lambda one: one.at_ms >= now_ms)
        self._hour.append(sample)
        step = self._step
        if step is not None and not step.begins_ms <= now_ms < step.begins_ms + STEP_MS:
            if step.begins_ms < now_ms:
                self._day.append(step.sample)
            step = None
        _drop_last(self._day, lambda one: one.at_ms >= now_ms)
        if step is None:
            step = self._step = _Interval(now_ms // STEP_MS * STEP_MS)
        step.samples = [one for one in step.samples if one.at_ms < now_ms]
        step.samples.append(sample)
        step.times_s += reload_times_s
        del step.times_s[_MOST_TIMES:]

    def hour(self) -> list[list[float | None]]:
        """The rows of the last hour, oldest first."""
        return [sample.row() for sample in self._hour]

    def day(self) -> list[list[float | None]]:
        """The rows of the last 24 hours, oldest first."""
        going_on = [] if self._step is None else [self._step.sample]
        return [sample.row() for sample in (*self._day, *going_on)][-DAY_STEPS:]

    @property
    def bytes_per_s(self) -> float:
        """What was sent, in the last sample."""
        return self._hour[-1].bytes_per_s if self._hour else 0.0


def _drop_last(samples: deque[Sample], is_wrong: Callable[[Sample], bool]) -> None:
    while samples and is_wrong(samples[-1]):
        samples.pop()
