"""How much memory and how many file descriptors the process uses, and may use (Linux)."""

import contextlib
import os
import resource
from pathlib import Path

_UNLIMITED_DESCRIPTORS = 1 << 30
_CGROUPS = Path("/sys/fs/cgroup")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MOST_DESCRIPTORS = 1 << 20
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a number near the largest that there is."""


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


def cgroup_memory_limit(
    membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS
) -> int | None:
    """The lowest memory limit of the control groups that this process is in, in bytes; None for
    none. Reads cgroup v2 (``memory.max``) and v1 (``memory.limit_in_bytes``)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits: list[int] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            limits += _limits(root, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits(top: Path, path: str, name: str) -> list[int]:
    """The limits of a group and of its parents. In a container the path may be the host's, of
    which only the top group is visible."""
    limits = []
    group = top / path.strip("/")
    for folder in (group, *group.parents):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            text = ""
        if text.isdigit() and int(text) < _NO_LIMIT_BYTES:
            limits.append(int(text))
        if folder == top:
            break
    return limits


class ProcessUse:
    """What this process used when it was last measured, and its limits.

    :param memory_limit: in bytes; 0 for none, None for that of the control group.
    """

    def __init__(self, memory_limit: int | None) -> None:
        if memory_limit is None:
            memory_limit = cgroup_memory_limit()
        self.memory_limit = memory_limit or None
        self.descriptors_limit = descriptors_limit()
        self.measure()

    def measure(self) -> None:
        """Ask the system anew."""
        self.memory_bytes = memory_bytes()
        self.descriptors = descriptors()

    @staticmethod
    def memory_now() -> int:
        """Resident memory at this moment, in bytes."""
        return memory_bytes()
