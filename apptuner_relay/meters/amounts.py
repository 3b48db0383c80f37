"""Bytes and times as people read them. Pure."""

_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def show_bytes(count: int) -> str:
    """In decimal units, with a digit after the point where there is a unit: ``15.4 MB``."""
    for unit, size in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


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
