"""Reads frames that the relay itself has written, from the cached bundles (RFC 6455 §5). Pure.

Frames of clients are masked and read in place: that is `frames.FrameReader`.
"""

from collections.abc import Iterator
from typing import TypeVar

from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, FIN

MOST_MESSAGE_BYTES = 50 * 1024 * 1024
"""The most bytes that a message may have by default, inflated: the wire's own limit."""

_Data = TypeVar("_Data", bytes, memoryview)

_RESERVED_BITS = 0x30
_MASKED = 0x80
_SHORTEST = {126: 126, 127: 0x10000}
_LENGTH_BYTES = {126: 2, 127: 8}


class ServerFrames:
    """Reads one message after another from bytes in pieces of any size. It holds at most a frame's
    header of them.

    After a `ValueError` it can't be used any more, as it is not known where the next frame begins.
    """

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._fin = False
        self._inside = False
        self._next_opcode = CONTINUATION

    @property
    def whole(self) -> bool:
        """Whether what was fed so far ends with the end of a message."""
        return not self._inside and not self._header

    def feed(self, data: _Data) -> Iterator[tuple[int, bool, _Data]]:
        """Yield ``(opcode, end, payload)`` for each piece of a message that is in ``data``. Exhaust
        the iterator before the next call.

        ``opcode`` is `TEXT` or `BINARY` for a message's first piece, with the bit `COMPRESSED` if
        it is compressed, and `CONTINUATION` for the others. ``end`` is true for its last piece, the
        only one that may be empty. A frame that continues behind the end of ``data`` is yielded in
        pieces. A compressed message is yielded compressed. The pieces of a view are views.

        :raises ValueError: for what the relay never writes: a control frame, a masked one, a
            reserved bit or opcode, a message inside another, a length not in its shortest form.
        """
        at, stop = 0, len(data)
        if self._header:
            stop += len(self._header)
            joined = b"".join((self._header, data))
            data = joined if isinstance(data, bytes) else memoryview(joined)
            self._header = b""
        while at < stop:
            if not self._left:
                payload = self._begin(data, at)
                if payload is None:
                    self._header = bytes(data[at:])
                    return
                at = payload
            until = min(stop, at + self._left)
            piece = data[at:until]
            self._left -= until - at
            at = until
            end = self._fin and not self._left
            if piece or end:
                opcode, self._next_opcode = self._next_opcode, CONTINUATION
                self._inside = not end
                yield opcode, end, piece

    def _begin(self, data: bytes | memoryview, at: int) -> int | None:
        """Read the header at ``at``; returns where the payload begins, or None if the header is not
        complete."""
        first = data[at]
        opcode = first & 0x0F
        if first & _RESERVED_BITS or opcode > BINARY:
            raise ValueError(f"no frame of a message begins with 0x{first:02x}")
        if (opcode == CONTINUATION) != self._inside:
            raise ValueError(
                "message inside of a message" if opcode else "continuation without a message"
            )
        if first & COMPRESSED and not opcode:
            raise ValueError("continuation that says it is compressed")
        if at + 1 >= len(data):
            return None
        length = data[at + 1]
        if length & _MASKED:
            raise ValueError("masked frame")
        payload = at + 2
        if length in _LENGTH_BYTES:
            payload += _LENGTH_BYTES[length]
            if payload > len(data):
                return None
            shortest = _SHORTEST[length]
            length = int.from_bytes(data[at + 2 : payload], "big")
            if length < shortest:
                raise ValueError("length not in its shortest form")
            if length >> 63:
                raise ValueError("length with its highest bit set")
        self._fin = first & FIN != 0
        self._left = length
        self._inside = True
        if opcode != CONTINUATION:
            self._next_opcode = opcode | first & COMPRESSED
        return payload
