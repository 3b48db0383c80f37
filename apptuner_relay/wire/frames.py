"""Frames: bytes in; control frames and unmasked, checked pieces of messages out (RFC 6455 §5).

A `FrameReader` holds at most one frame header and one control frame; the payload of data frames
leaves it as it arrives. A piece is ready to be sent as a frame of its own: an intermediary may
change the fragmentation of a message (§5.4), and with every piece in its own frame the relay can
close a connection cleanly in mid-message.
"""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA

CLOSE_PROTOCOL_ERROR = 1002
CLOSE_INVALID_PAYLOAD = 1007
CLOSE_TOO_BIG = 1009

MAX_CONTROL_BYTES = 125
_BIG_MASK_BYTES = 1024

_new_decoder = codecs.getincrementaldecoder("utf-8")


class FrameError(Exception):
    """What a peer sent breaks RFC 6455 or a limit; ``code`` is the close code that it asks for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Piece(NamedTuple):
    """A piece of a message, or a whole control frame; ready to be sent as one frame."""

    opcode: int
    """`TEXT` or `BINARY` for a message's first piece, `CONTINUATION` for its others."""
    end: bool
    """Whether the message ends with this piece."""
    payload: bytes
    """Unmasked."""


def frame(opcode: int, payload: bytes, end: bool = True) -> bytes:
    """A server's frame: unmasked, with the shortest length form (§5.2)."""
    length = len(payload)
    first = opcode | 0x80 if end else opcode
    if length < 126:
        return bytes((first, length)) + payload
    if length < 0x10000:
        return b"%c\x7e%b%b" % (first, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, length.to_bytes(8, "big"), payload)


def _unmask(mask: bytes, payload: bytes) -> bytes:
    length = len(payload)
    if length >= _BIG_MASK_BYTES:
        masked: bytes = create_xor_masker(mask, length).process(payload)
        return masked
    key = (mask * (length // 4 + 1))[:length]
    unmasked = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return unmasked.to_bytes(length, "little")


class FrameReader:
    """Reads the frames of one client.

    :param max_message: the most payload bytes that a message may have, over all of its frames.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._held = b""
        self._mask = b""
        self._left = 0
        self._opcode = CONTINUATION
        self._next_opcode = CONTINUATION
        self._fin = False
        self._message_bytes = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._skipping = False
        self._unreadable = False

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._opcode != CONTINUATION

    def skip_messages(self) -> None:
        """From now on pass over messages, whatever they are; only control frames come out."""
        self._skipping = True

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield the pieces in ``data``, a block as it was received.

        Pieces in front of an error are yielded before it is raised. After it call
        `skip_messages` and feed on: where the error left the frames readable, the peer's Close
        still comes out.

        :raises FrameError: with the close code of RFC 6455 §7.4.1.
        """
        if self._unreadable:
            return
        if self._held:
            data = self._held + data
            self._held = b""
        at, end = 0, len(data)
        try:
            while at < end:
                if self._left:
                    masked = data[at : at + self._left]
                    at += len(masked)
                    piece = self._piece(masked)
                    if not self._skipping:
                        yield piece
                    continue
                header = self._header_bytes(data, at)
                if not header or at + header > end:
                    break
                if data[at] & 0x08:
                    begin = at + header
                    until = begin + (data[at + 1] & 0x7F)
                    if until > end:
                        break
                    opcode, mask = data[at] & 0x0F, data[begin - 4 : begin]
                    at = until
                    yield Piece(opcode, True, _unmask(mask, data[begin:until]))
                    continue
                begin = at
                at += header
                self._begin(data, begin, header)
                if self._fin and not self._left:
                    piece = self._piece(b"")
                    if not self._skipping:
                        yield piece
        finally:
            self._held = data[at:]

    def _header_bytes(self, data: bytes, at: int) -> int:
        """How long the header at ``at`` is, which is checked as far as it is there; 0 when that is
        too little to tell."""
        first = data[at]
        opcode = first & 0x0F
        if first & 0x70:
            raise self._violation("reserved bit set")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise self._violation(f"reserved opcode {opcode}")
            if not first & 0x80:
                raise self._violation("fragmented control frame")
        elif opcode > BINARY:
            raise self._violation(f"reserved opcode {opcode}")
        elif (opcode == CONTINUATION) != self.in_message:
            raise self._violation(
                "message inside of a message" if opcode else "continuation without a message"
            )
        if at + 1 >= len(data):
            return 0
        second = data[at + 1]
        if not second & 0x80:
            raise self._violation("client frame without a mask")
        length = second & 0x7F
        if length < 126:
            return 6
        if opcode >= CLOSE:
            raise self._violation(f"control frame above {MAX_CONTROL_BYTES} bytes")
        return 8 if length == 126 else 14

    def _violation(self, reason: str) -> FrameError:
        self._unreadable = True
        return FrameError(CLOSE_PROTOCOL_ERROR, reason)

    def _begin(self, data: bytes, at: int, header: int) -> None:
        """Take in the whole header of a data frame."""
        opcode = data[at] & 0x0F
        length = data[at + 1] & 0x7F
        if length >= 126:
            length = int.from_bytes(data[at + 2 : at + header - 4], "big")
            if length < (126 if header == 8 else 0x10000):
                raise self._violation("length not in its shortest form")
            if length >> 63:
                raise self._violation("length with its highest bit set")
        if opcode != CONTINUATION:
            self._opcode = self._next_opcode = opcode
            self._message_bytes = 0
            self._decoder = None
        self._fin = bool(data[at] & 0x80)
        self._mask = data[at + header - 4 : at + header]
        self._left = length
        self._message_bytes += length
        if self._message_bytes > self._max_message and not self._skipping:
            raise FrameError(CLOSE_TOO_BIG, f"message above {self._max_message} bytes")

    def _piece(self, masked: bytes) -> Piece:
        length = len(masked)
        mask = self._mask
        if turn := length & 3:
            self._mask = mask[turn:] + mask[:turn]
        self._left -= length
        end = self._fin and not self._left
        message, opcode = self._opcode, self._next_opcode
        self._next_opcode = CONTINUATION
        if end:
            self._opcode = CONTINUATION
        if self._skipping:
            return Piece(opcode, end, b"")
        payload = _unmask(mask, masked)
        if message == TEXT:
            self._check_text(payload, end)
        return Piece(opcode, end, payload)

    def _check_text(self, payload: bytes, end: bool) -> None:
        if self._decoder is None:
            if payload.isascii():
                return
            self._decoder = _new_decoder()
        try:
            self._decoder.decode(payload, end)
        except UnicodeDecodeError:
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8") from None
        if not self._decoder.getstate()[0]:
            self._decoder = None
