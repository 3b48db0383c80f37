"""Unmasking in place (RFC 6455 §5.3), with Autobahn's native masker called on the buffer itself.

Where Autobahn was built without its native parts, integers of any length do the XOR instead:
correct, and slower.
"""

from typing import Any

try:
    from _nvx_xormasker import ffi, lib  # type: ignore[import-not-found]
except ImportError:  # pragma: no cover (Autobahn's wheels have it on every common platform)
    ffi = lib = None

NATIVE = lib is not None

_last: tuple[bytearray, Any] = (bytearray(), None)


def _native(buffer: bytearray, start: int, stop: int, mask: bytes) -> None:
    global _last
    known, base = _last
    if known is not buffer:
        base = ffi.from_buffer(buffer)
        _last = buffer, base
    masker = lib.nvx_xormask_new(mask)
    lib.nvx_xormask_process(masker, base + start, stop - start)
    lib.nvx_xormask_free(masker)


def xor_with_integers(buffer: bytearray, start: int, stop: int, mask: bytes) -> None:
    """The way without native code. As `unmask`."""
    length = stop - start
    key = (mask * (length // 4 + 1))[:length]
    value = int.from_bytes(buffer[start:stop], "little") ^ int.from_bytes(key, "little")
    buffer[start:stop] = value.to_bytes(length, "little")


unmask = _native if NATIVE else xor_with_integers
"""``unmask(buffer, start, stop, mask)``: XOR ``buffer[start:stop]`` with the 4 bytes of ``mask``
over and over. The buffer must not change its size any more."""
