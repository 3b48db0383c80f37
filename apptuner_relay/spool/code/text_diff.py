"""Finds the edits that make one text of another one, in bounded time. Pure.

It is made for two builds of one program, which have nearly everything in common, in the same order.
Equal text is skipped at the speed of memory. At a difference, the nearest line is looked for that
both texts have, a little ahead first; then pieces of text far ahead that one of them has once.

The texts are UTF-8, and edits begin and end between characters. An edit's offsets are in bytes.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple, Protocol, overload

from apptuner_relay.wire.bundle_patch import MOST_EDITS

MOST_DIFF_S = 0.25
"""How long it may take, in seconds."""
MOST_INSERTED = 1 / 8
"""How much of the new text may be inserted."""

_LEAST_COMPARED_BYTES, _MOST_COMPARED_BYTES = 256, 64 * 1024
_LINE_WINDOWS_BYTES = (512, 4 * 1024, 32 * 1024, 128 * 1024)
"""How far ahead equal lines are looked for."""
_ANCHOR_BYTES = 32
"""How much of a line, and of what follows it, has to be equal."""
_PROBE_WINDOW_BYTES = 4 * 1024 * 1024
_PROBE_BYTES = 64
_PROBES_AT_BYTES = (0, 256, 4 * 1024, 64 * 1024)
"""How far ahead the pieces are taken that are looked for in the other text."""
_LEAST_EQUAL_BYTES = 16
"""Equal text between two edits is sent along where it is shorter than an edit's brackets are."""
_REPEATED = -1
"""Stands for an anchor's place where it has several."""


class TooDifferent(Exception):
    """There are too many edits, or too large ones, or it takes too long to find them."""


class Text(Protocol):
    """A text: ``bytes``, or a file in memory (`mmap`)."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...


class ByteEdit(NamedTuple):
    """``new[new_start:new_end]`` is in the place of ``old[start:end]``."""

    start: int
    end: int
    new_start: int
    new_end: int


class _Equal(NamedTuple):
    """``old[start:start + length]`` is ``new[new_start:new_start + length]``."""

    start: int
    new_start: int
    length: int


def diff(old: Text, new: Text, seconds: Callable[[], float]) -> list[ByteEdit]:
    """The edits that make ``new`` of ``old``, in their order. They don't overlap.

    :param seconds: a monotonic clock.
    :raises TooDifferent: there are more than `MOST_EDITS`, they insert more than `MOST_INSERTED` of
        ``new``, or it takes longer than `MOST_DIFF_S`.
    """
    deadline_s = seconds() + MOST_DIFF_S
    most_bytes = int(len(new) * MOST_INSERTED)
    edits: list[ByteEdit] = []
    at, new_at, inserted = 0, 0, 0
    end = _Equal(len(old), len(new), 0)
    for start, new_start, length in chain(_usable(old, _runs(old, new)), [end]):
        if start > at or new_start > new_at:
            edits.append(ByteEdit(at, start, new_at, new_start))
            inserted += new_start - new_at
            if inserted > most_bytes or len(edits) > MOST_EDITS or seconds() > deadline_s:
                raise TooDifferent
        at, new_at = start + length, new_start + length
    return edits


def _usable(old: Text, runs: Iterator[_Equal]) -> Iterator[_Equal]:
    """Of ``runs`` what is whole characters, and either long enough or at an end of the text, where
    it has an edit on one side only."""
    for start, new_start, length in runs:
        end = start + length
        while start < end and _is_inside_character(old[start]):
            start += 1
            new_start += 1
        while start < end < len(old) and _is_inside_character(old[end]):
            end -= 1
        if end - start >= _LEAST_EQUAL_BYTES or not start or end == len(old):
            yield _Equal(start, new_start, end - start)


def _is_inside_character(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def _runs(old: Text, new: Text) -> Iterator[_Equal]:
    """What is equal in both, in order."""
    tail = _common_end(old, len(old), new, len(new), min(len(old), len(new)))
    stop, new_stop = len(old) - tail, len(new) - tail
    at = new_at = 0
    while True:
        length = _common_start(old, at, new, new_at, min(stop - at, new_stop - new_at))
        yield _Equal(at, new_at, length)
        at, new_at = at + length, new_at + length
        if at == stop or new_at == new_stop:
            break
        found = _common_line(old, at, stop, new, new_at, new_stop) or _common_piece(
            old, at, stop, new, new_at, new_stop
        )
        if found is None:
            break
        most = min(found[0] - at, found[1] - new_at)
        back = _common_end(old, found[0], new, found[1], most)
        at, new_at = found[0] - back, found[1] - back
    yield _Equal(stop, new_stop, tail)


def _common_start(old: Text, at: int, new: Text, new_at: int, most: int) -> int:
    """How many bytes are equal behind these places; ``most`` at most."""
    equal, size = 0, _LEAST_COMPARED_BYTES
    while equal < most:
        size = min(size, most - equal)
        start, new_start = at + equal, new_at + equal
        if old[start : start + size] != new[new_start : new_start + size]:
            break
        equal += size
        size = min(2 * size, _MOST_COMPARED_BYTES)
    else:
        return equal
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        start, new_start = at + equal, new_at + equal
        if old[start + low : start + middle] == new[new_start + low : new_start + middle]:
            low = middle
        else:
            high = middle
    return equal + low


def _common_end(old: Text, stop: int, new: Text, new_stop: int, most: int) -> int:
    """How many bytes are equal before these places; ``most`` at most."""
    equal, size = 0, _LEAST_COMPARED_BYTES
    while equal < most:
        size = min(size, most - equal)
        end, new_end = stop - equal, new_stop - equal
        if old[end - size : end] != new[new_end - size : new_end]:
            break
        equal += size
        size = min(2 * size, _MOST_COMPARED_BYTES)
    else:
        return equal
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        end, new_end = stop - equal, new_stop - equal
        if old[end - middle : end - low] == new[new_end - middle : new_end - low]:
            low = middle
        else:
            high = middle
    return equal + low


def _common_line(
    old: Text, at: int, stop: int, new: Text, new_at: int, new_stop: int
) -> tuple[int, int] | None:
    """The nearest line that begins in both texts behind these places, and is in each of them once
    as far as it was looked for."""
    for window in _LINE_WINDOWS_BYTES:
        size = window + _ANCHOR_BYTES
        places: dict[bytes, int] = {}
        for place, anchor in _anchors(old[at : min(at + size, stop)]):
            places[anchor] = _REPEATED if anchor in places else place
        nearest: tuple[int, int] | None = None
        least = 2 * size
        for new_place, anchor in _anchors(new[new_at : min(new_at + size, new_stop)]):
            if new_place >= least:
                break
            place = places.get(anchor, _REPEATED)
            if place != _REPEATED and place + new_place < least:
                least = place + new_place
                nearest = (at + place, new_at + new_place)
        if nearest is not None:
            return nearest
        if at + size >= stop and new_at + size >= new_stop:
            break
    return None


def _anchors(window: bytes) -> Iterator[tuple[int, bytes]]:
    """The places at which lines begin, and what stands there."""
    place = window.find(b"\n") + 1
    while place and place + _ANCHOR_BYTES <= len(window):
        yield place, window[place : place + _ANCHOR_BYTES]
        place = window.find(b"\n", place) + 1


def _common_piece(
    old: Text, at: int, stop: int, new: Text, new_at: int, new_stop: int
) -> tuple[int, int] | None:
    """Where a piece of one text is, behind these places, that the other one has once."""
    window = old[at : min(at + _PROBE_WINDOW_BYTES, stop)]
    new_window = new[new_at : min(new_at + _PROBE_WINDOW_BYTES, new_stop)]
    for ahead in _PROBES_AT_BYTES:
        place = _only_place(new_window, window[ahead : ahead + _PROBE_BYTES])
        if place is not None:
            return at + ahead, new_at + place
        place = _only_place(window, new_window[ahead : ahead + _PROBE_BYTES])
        if place is not None:
            return at + place, new_at + ahead
    return None


def _only_place(window: bytes, probe: bytes) -> int | None:
    """Where ``probe`` is; None where it is too short, or isn't there exactly once."""
    if len(probe) < _PROBE_BYTES:
        return None
    place = window.find(probe)
    return place if place >= 0 and window.find(probe, place + 1) < 0 else None
