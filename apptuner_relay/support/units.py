"""Formats sizes, durations and counts for people. Pure.

Traffic is in powers of ten, as providers bill it; memory and disk space in powers of two, as limits
on them are set.
"""

_TRAFFIC_UNITS = ("kB", "MB", "GB", "TB")
_MEMORY_UNITS = ("KiB", "MiB", "GiB", "TiB")


def show_bytes(count: int) -> str:
    """Traffic: ``15.4 MB``; below 1 kB, ``512 B``."""
    return _scaled(count, 1000, _TRAFFIC_UNITS)


def show_memory(count: int) -> str:
    """Memory or disk space: ``62.1 MiB``; below 1 KiB, ``512 B``."""
    return _scaled(count, 1024, _MEMORY_UNITS)


def _scaled(count: int, step: int, units: tuple[str, ...]) -> str:
    if count < step:
        return f"{count} B"
    value, power = count / step, 0
    # 999.97 kB would be shown as 1000.0 kB: it is 1.0 MB.
    while value >= step - 0.05 and power < len(units) - 1:
        value, power = value / step, power + 1
    return f"{value:.1f} {units[power]}"


def show_duration(seconds: float) -> str:
    """A duration in its two largest units: ``3 d 4 h``, ``12 min 0 s``, ``5 s``."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or parts or unit == "s":
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def show_count(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 session``, ``2 sessions``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
