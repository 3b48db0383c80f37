"""Unmasks payloads in place (RFC 6455 §5.3), by calling Autobahn's native masker on the buffer
itself.

If Autobahn was built without its native parts, Python's integers do the XOR: slower, with the same
result.
"""

from collections.abc import Sequence
from typing import Any

try:
    from _nvx_xormasker import ffi, lib  # type: ignore[import-not-found]
except ImportError:  # pragma: no cover (Autobahn's wheels have it on every common platform)
    ffi = lib = None

NATIVE = lib is not None

_last: tuple[bytearray, Any] = (bytearray(), None)
"""The buffer that was used last, and its address. The next buffer is nearly always the same one."""

if NATIVE:
    _new = lib.nvx_xormask_new
    _process = lib.nvx_xormask_process
    _free = lib.nvx_xormask_free


def _address(buffer: bytearray) -> Any:
    global _last
    known, base = _last
    if known is not buffer:
        base = ffi.from_buffer(buffer)
        _last = buffer, base
    return base


def _native(buffer: bytearray, start: int, stop: int, mask: bytes) -> None:
    masker = _new(mask)
    _process(masker, _address(buffer) + start, stop - start)
    _free(masker)


def _native_frame(buffer: bytearray, start: int, stop: int) -> None:
    payload = _address(buffer) + start
    masker = _new(payload - 4)
    _process(masker, payload, stop - start)
    _free(masker)


def _native_frames(buffer: bytearray, spans: Sequence[tuple[int, int]]) -> None:
    address = _address(buffer)
    for start, stop in spans:
        payload = address + start
        masker = _new(payload - 4)
        _process(masker, payload, stop - start)
        _free(masker)


def xor_with_integers(buffer: bytearray, start: int, stop: int, mask: bytes) -> None:
    """`unmask` without native code."""
    length = stop - start
    key = (mask * (length // 4 + 1))[:length]
    value = int.from_bytes(buffer[start:stop], "little") ^ int.from_bytes(key, "little")
    buffer[start:stop] = value.to_bytes(length, "little")


def _frame_with_integers(buffer: bytearray, start: int, stop: int) -> None:
    xor_with_integers(buffer, start, stop, bytes(buffer[start - 4 : start]))


def _frames_with_integers(buffer: bytearray, spans: Sequence[tuple[int, int]]) -> None:
    for start, stop in spans:
        _frame_with_integers(buffer, start, stop)


unmask = _native if NATIVE else xor_with_integers
"""``unmask(buffer, start, stop, mask)``: XOR ``buffer[start:stop]`` with the 4 bytes of ``mask``
over and over. The buffer must never change its size afterwards, as its address is kept."""

unmask_frame = _native_frame if NATIVE else _frame_with_integers
"""``unmask_frame(buffer, start, stop)``: as `unmask`, with the mask that stands right before
``start``."""

unmask_frames = _native_frames if NATIVE else _frames_with_integers
"""``unmask_frames(buffer, spans)``: `unmask_frame` for each ``(start, stop)`` of ``spans``."""
