"""Bytes and times as people read them. Pure.

Traffic counts in powers of ten, as providers bill it; memory and disks in powers of two, as they
are limited.
"""

_TRAFFIC_UNITS = ("kB", "MB", "GB", "TB")
_MEMORY_UNITS = ("KiB", "MiB", "GiB", "TiB")


def show_bytes(count: int) -> str:
    """Traffic, with a digit after the point where there is a unit: ``15.4 MB``."""
    return _scaled(count, 1000, _TRAFFIC_UNITS)


def show_memory(count: int) -> str:
    """Memory, or room on a disk, likewise: ``62.1 MiB``."""
    return _scaled(count, 1024, _MEMORY_UNITS)


def _scaled(count: int, step: int, units: tuple[str, ...]) -> str:
    if count < step:
        return f"{count} B"
    value, power = count / step, 0
    # What would be shown as 1000.0 of a unit is one of the next.
    while value >= step - 0.05 and power < len(units) - 1:
        value, power = value / step, power + 1
    return f"{value:.1f} {units[power]}"


def show_duration(seconds: float) -> str:
    """In the two largest units that there are: ``3 d 4 h``, ``12 min 0 s``, ``5 s``."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or parts or unit == "s":
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def show_count(count: int, one: str, many: str | None = None) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
