"""Range requests (RFC 9110 §14): which bytes of a representation are requested. Pure."""

import re

_RANGE_SPEC = re.compile(r"([0-9]+)-([0-9]*)|-([0-9]+)")
_DIGITS = 18
"""The most digits of a position; a longer number is read as 10^18."""


class NotSatisfiable(ValueError):
    """A valid range that has no byte of the representation: status 416."""


def requested_range(field: str | None, size: int) -> range | None:
    """The positions that a ``Range`` field requests of ``size`` bytes, at least one; None for all.

    All bytes are sent for several ranges too, and for a field that is malformed or has another unit
    than bytes: §14.2 permits the first two and demands the last.

    :raises NotSatisfiable: no byte is in the range.
    """
    if field is None:
        return None
    unit, equals, specs = field.partition("=")
    members = list(filter(None, (spec.strip(" \t") for spec in specs.split(","))))
    if unit.strip(" \t").lower() != "bytes" or not equals or len(members) != 1:
        return None
    spec = _RANGE_SPEC.fullmatch(members[0])
    if spec is None:
        return None
    first, last, suffix = spec.groups()
    if suffix is not None:
        return _last_bytes(_number(suffix), size)
    start = _number(first)
    stop = _number(last) + 1 if last else max(size, start + 1)
    if stop <= start:
        return None
    if start >= size:
        raise NotSatisfiable(f"The range starts after the last of {size} bytes")
    return range(start, min(stop, size))


def _last_bytes(length: int, size: int) -> range | None:
    if not length:
        raise NotSatisfiable("The range is empty")
    # An empty representation has no range that Content-Range could name.
    return range(max(0, size - length), size) if size else None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    # int() takes more than linear time for longer ones, and raises an error for the longest.
    return int(significant or "0") if len(significant) <= _DIGITS else 10**_DIGITS
