"""The limits of the control groups that this process is in (Linux, cgroup v2 and v1)."""

from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a number near the largest that there is."""


def memory_limit(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> int | None:
    """The lowest memory limit of all groups, in bytes; None for none. Reads ``memory.max`` (v2) and
    ``memory.limit_in_bytes`` (v1)."""
    limits = [
        int(text)
        for group, is_v2 in _groups(membership, root, "memory")
        if (text := _read(group / ("memory.max" if is_v2 else "memory.limit_in_bytes"))).isdigit()
    ]
    return min((limit for limit in limits if limit < _NO_LIMIT_BYTES), default=None)


def cpu_limit(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> float | None:
    """The lowest CPU limit of all groups, in cores; None for none. Reads ``cpu.max`` (v2), and
    ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` (v1)."""
    limits = []
    for group, is_v2 in _groups(membership, root, "cpu"):
        if is_v2:
            quota, _, period = _read(group / "cpu.max").partition(" ")
        else:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        # No quota is "max", or -1.
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _groups(membership: Path, root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """The group that this process is in for a controller, and its parents; each with whether it is
    of version 2. In a container the path may be the host's, of which only the top group is
    visible."""
    for line in _read(membership).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            yield folder, not controllers
            if folder == top:
                break


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
