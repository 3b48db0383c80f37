"""`CpuUse`: how much CPU time the relay takes, measured over the last minute.

A relay has three parts that take CPU time. Its event loop is one thread, so that a core is the most
that it can take: the loop is what limits how much one relay carries. Its other threads compress,
inflate and write files. The bundle worker is a process of its own. All of them share the cores that
the process may use.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from apptuner_relay.operator.control_groups import cpu_limit

MINUTE_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TASKS = Path("/proc/self/task")


class CpuTimes(NamedTuple):
    """CPU time, of the user and of the system, since the start, in seconds."""

    process_s: float
    """Of all threads of this process."""
    loop_s: float
    """Of the thread of the event loop."""
    workers_s: float
    """Of the processes that this one has started, be they running or over."""


class CpuShares(NamedTuple):
    """CPU time over time that has passed: 1.0 is one core."""

    process: float
    loop: float
    workers: float


def read_cpu_times() -> CpuTimes:
    """The times now. To be called in the thread of the event loop."""
    return CpuTimes(time.process_time(), time.thread_time(), _workers_s())


def usable_cores() -> float:
    """How many cores this process may use, by its affinity and its control groups."""
    cores = float(len(os.sched_getaffinity(0)))
    limit = cpu_limit()
    return cores if limit is None else min(cores, limit)


def _workers_s() -> float:
    own = os.times()
    return own.children_user + own.children_system + sum(map(_cpu_s, _children()))


def _children() -> set[str]:
    """The ids of the processes that this one has started; none where the kernel lists none."""
    found: set[str] = set()
    with suppress(OSError):
        for task in _TASKS.iterdir():
            # A thread may end meanwhile.
            with suppress(OSError):
                found.update((task / "children").read_text().split())
    return found


def _cpu_s(pid: str) -> float:
    """The CPU time of a process; 0.0 where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The name of its program, which comes before, may have spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class CpuUse:
    """Measures the last minute.

    :param seconds: the monotonic clock.
    :param read: reads the times.
    :param cores: how many cores the relay may use; None to ask the system.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        read: Callable[[], CpuTimes] = read_cpu_times,
        cores: float | None = None,
    ) -> None:
        self.cores = usable_cores() if cores is None else cores
        self.read = read
        self._seconds = seconds
        self._measured: deque[tuple[float, CpuTimes]] = deque([(seconds(), read())])

    def measure(self) -> None:
        """Read the times anew."""
        now_s, times = self._seconds(), self.read()
        if times.process_s < self._measured[-1][1].process_s:
            # twistd has made another process of this one, whose times begin anew.
            self._measured.clear()
        self._measured.append((now_s, times))
        while len(self._measured) > 1 and self._measured[1][0] <= now_s - MINUTE_S:
            self._measured.popleft()

    @property
    def has_a_minute(self) -> bool:
        """Whether a whole minute has been measured."""
        return self._measured[-1][0] - self._measured[0][0] >= MINUTE_S

    @property
    def shares(self) -> CpuShares:
        """What the relay has taken in the last minute, or since the start."""
        (before_s, before), (now_s, now) = self._measured[0], self._measured[-1]
        lasted_s = now_s - before_s
        if lasted_s <= 0:
            return CpuShares(0.0, 0.0, 0.0)
        # A worker that ends is counted a moment after it is no longer running.
        gone = (max(0.0, after - first) for first, after in zip(before, now, strict=True))
        return CpuShares(*(spent_s / lasted_s for spent_s in gone))

    @property
    def busy(self) -> float:
        """The share of what the relay can take at most: of one core for its event loop, or of
        `cores` for all of it, whichever share is greater."""
        shares = self.shares
        return max(shares.loop, (shares.process + shares.workers) / self.cores)
