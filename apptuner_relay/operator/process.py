"""How much CPU time, memory and how many file descriptors the process uses, and may use (Linux)."""

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

from apptuner_relay.operator.control_groups import memory_limit as group_memory_limit
from apptuner_relay.operator.cpu_use import CpuUse

_UNLIMITED_DESCRIPTORS = 1 << 30
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MOST_DESCRIPTORS = 1 << 20


def memory_bytes() -> int:
    """Resident memory now; 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def descriptors() -> int:
    """How many file descriptors are open; 0 where there is no /proc."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def descriptors_limit() -> int:
    """How many may be open (RLIMIT_NOFILE, the soft limit)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit if limit != resource.RLIM_INFINITY else _UNLIMITED_DESCRIPTORS


def raise_descriptors_limit() -> int:
    """Raise the soft limit to the hard limit, or to a million; returns what it is now.

    The soft limit is 1,024 by default, for programs that use ``select``, and would limit clients.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = _MOST_DESCRIPTORS if hard == unlimited else min(hard, _MOST_DESCRIPTORS)
    if soft != unlimited and soft < wanted:
        # A system call filter may forbid it.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return descriptors_limit()


class ProcessUse:
    """What this process used when it was last measured, and its limits.

    :param memory_limit: in bytes; 0 for none, None for that of the control group.
    :param seconds: the monotonic clock.
    """

    def __init__(self, memory_limit: int | None, seconds: Callable[[], float]) -> None:
        if memory_limit is None:
            memory_limit = group_memory_limit()
        self.memory_limit = memory_limit or None
        self.descriptors_limit = descriptors_limit()
        self.cpu = CpuUse(seconds)
        self.measure()

    def measure(self) -> None:
        """Ask the system anew."""
        self.memory_bytes = memory_bytes()
        self.descriptors = descriptors()
        self.cpu.measure()

    @staticmethod
    def memory_now() -> int:
        """Resident memory at this moment, in bytes."""
        return memory_bytes()
