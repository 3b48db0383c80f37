"""Frames: blocks in; control frames and unmasked, checked pieces of messages out (RFC 6455 §5).

A `FrameReader` works in place. It is given a block in a buffer that its owner uses again and again,
unmasks the payload where it lies, writes a server's header in front of each piece, over the
client's header or into the free room before the block, and yields where in the buffer the piece
is. A piece is a whole frame, ready to be sent: an intermediary may change the fragmentation of a
message (§5.4), and with every piece in its own frame the relay can close a connection cleanly in
mid-message. Of a stream the reader holds at most one frame header and one control frame.
"""

from collections.abc import Generator

from apptuner_relay.wire.masking import unmask, unmask_frames
from apptuner_relay.wire.text import TextChecker, is_text

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA
FIN = 0x80
"""Set in the first byte of a message's last frame."""
COMPRESSED = 0x40
"""RSV1: on a message's first frame, permessage-deflate (RFC 7692 §7.2.3)."""

CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_NO_STATUS = 1005
"""What a Close without a code counts as, and `CLOSE_ABNORMAL` a connection that was lost without
any; neither is ever sent (RFC 6455 §7.4.1)."""
CLOSE_ABNORMAL = 1006
CLOSE_INVALID_PAYLOAD = 1007
CLOSE_POLICY = 1008
CLOSE_TOO_BIG = 1009
CLOSE_INTERNAL_ERROR = 1011
CLOSE_SERVICE_RESTART = 1012
CLOSE_TRY_AGAIN_LATER = 1013

MAX_CONTROL_BYTES = 125
SMALL_BYTES = 512
"""Texts up to this come out of a `FrameReader` several at once, as `Texts`."""
_MOST_TEXTS = 256
_WHOLE_TEXT = FIN | TEXT
_LONGEST_SMALL_HEADER = 8
_LONGEST_HEADER = 10
HEADROOM = 256
"""Bytes that must be free in the buffer in front of a block."""

Piece = tuple[int, bool, int, int, int]
"""``(opcode, end, begin, payload, stop)``. ``buffer[begin:stop]`` is the frame and
``buffer[payload:stop]`` its payload, until the next block is read. ``opcode`` is `TEXT` or `BINARY`
for a message's first piece, with the bit `COMPRESSED` where it is, and `CONTINUATION` for its
others; ``end`` tells its last one. Control frames come whole."""


Texts = list[bytearray]
"""Whole text messages of at most `SMALL_BYTES` each."""


class FrameError(Exception):
    """What a peer sent breaks RFC 6455 or a limit; ``code`` is the close code that it asks for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(opcode: int, payload: bytes, end: bool = True) -> bytes:
    """A server's frame: unmasked, with the shortest length form (§5.2)."""
    length = len(payload)
    first = opcode | FIN if end else opcode
    if length < 126:
        return bytes((first, length)) + payload
    if length < 0x10000:
        return b"%c\x7e%b%b" % (first, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, length.to_bytes(8, "big"), payload)


def _write_header(buffer: bytearray, first: int, payload: int, stop: int) -> int:
    """Write a server's header in front of ``payload``; returns where it begins."""
    length = stop - payload
    if length < 126:
        buffer[payload - 2] = first
        buffer[payload - 1] = length
        return payload - 2
    if length < 0x10000:
        buffer[payload - 4 : payload] = bytes((first, 126, length >> 8, length & 0xFF))
        return payload - 4
    buffer[payload - 10 : payload] = b"%c\x7f%b" % (first, length.to_bytes(8, "big"))
    return payload - 10


TEXT_HEADERS = [frame(TEXT, bytes(length))[: -length or None] for length in range(SMALL_BYTES + 1)]
"""The headers of a server's frames with a whole text, by its length."""


class FrameReader:
    """Reads the frames of one client.

    :param max_message: the most payload bytes that a message may have, over all of its frames.
    :param deflate: whether permessage-deflate was negotiated. What is compressed is neither
        inflated nor checked to be UTF-8 here.
    """

    _mask_bytes = 4
    _checks_text = True

    def __init__(self, max_message: int, deflate: bool = False) -> None:
        self._max_message = max_message
        self._most_small = min(max_message, SMALL_BYTES)
        self._deflate = deflate
        self._held = b""
        self._mask = b""
        self._left = 0
        self._opcode = CONTINUATION
        self._next_opcode = CONTINUATION
        self._fin = False
        self.message_bytes = 0
        """How many payload bytes the frames of the message in progress have, up to now."""
        self.announced_bytes: int | None = None
        """How many payload bytes the message in progress has, where its first frame tells."""
        self._text = TextChecker()
        self._skipping = False
        self.stopped_at = HEADROOM
        """Up to where the last block has been read; all of it, unless `feed` was left early."""
        self.unreadable = False
        """Whether an error has left no way to tell where frames begin."""

    @property
    def between_messages(self) -> bool:
        """Whether what was read ends where a message ends, but for some of the next one's first
        header."""
        return self._opcode == CONTINUATION

    def skip_messages(self) -> None:
        """From now on pass over messages, whatever they are; only control frames come out."""
        self._skipping = True

    def feed(
        self, buffer: bytearray, start: int, stop: int
    ) -> Generator[Piece | Texts, None, None]:
        """Yield what is in ``buffer[start:stop]``, a block as it was received: pieces, and small
        messages by the list. ``start`` is at least `HEADROOM`, and what stands around the block
        is overwritten.

        Pieces in front of an error are yielded before it is raised. After it call
        `skip_messages` and feed on from `stopped_at`: where the error left the frames readable,
        the peer's Close still comes out.

        :raises FrameError: with the close code of RFC 6455 §7.4.1.
        """
        at = start
        if self.unreadable:
            self.stopped_at = stop
            return
        if self._held:
            at -= len(self._held)
            buffer[at:start] = self._held
            self._held = b""
        try:
            while at < stop:
                if self._left:
                    begin = at
                    at = min(stop, at + self._left)
                    all_of_it = begin == start and at == stop
                    piece = self._piece(buffer, begin, at, all_of_it)
                    if piece is not None:
                        yield piece
                    continue
                first = buffer[at]
                if first == _WHOLE_TEXT and self._opcode == CONTINUATION and not self._skipping:
                    texts, at = self._small_texts(buffer, at, stop)
                    if texts:
                        yield texts
                        continue
                header = self._header_bytes(buffer, at, stop)
                if not header or at + header > stop:
                    break
                begin = at + header
                if first & 0x08:
                    until = begin + (buffer[at + 1] & 0x7F)
                    if until > stop:
                        break
                    at = until
                    if self._mask_bytes:
                        unmask_frames(buffer, [(begin, until)])
                    yield (
                        first & 0x0F,
                        True,
                        _write_header(buffer, first, begin, until),
                        begin,
                        until,
                    )
                    continue
                at = begin
                self._begin(buffer, begin - header, begin)
                if self._fin and not self._left:
                    piece = self._piece(buffer, begin, begin)
                    if piece is not None:
                        yield piece
            if at < stop:
                self._held = bytes(buffer[at:stop])
                at = stop
        finally:
            self.stopped_at = at

    def _small_texts(self, buffer: bytearray, start: int, stop: int) -> tuple[Texts, int]:
        """The texts that follow each other from ``start`` on, each in one frame, there whole, UTF-8
        and of at most `SMALL_BYTES`; and where they end. Most messages are such, and this is the
        quick way through them: whatever it doesn't take is for the thorough one."""
        at = start
        spans: list[tuple[int, int]] = []
        last = stop - _LONGEST_SMALL_HEADER
        most = self._most_small
        while at <= last and buffer[at] == _WHOLE_TEXT and len(spans) < _MOST_TEXTS:
            length = buffer[at + 1]
            if length == 0xFE:
                length = buffer[at + 2] << 8 | buffer[at + 3]
                begin = at + 8
                if length < 126:
                    break
            else:
                length -= 0x80
                begin = at + 6
                if not 0 <= length < 126:
                    break
            until = begin + length
            if until > stop or length > most:
                break
            spans.append((begin, until))
            at = until
        unmask_frames(buffer, spans)
        texts = [buffer[begin:until] for begin, until in spans]
        for i, text in enumerate(texts):
            if not text.isascii() and not is_text(text):
                unmask_frames(buffer, spans[i:])
                return texts[:i], spans[i - 1][1] if i else start
        return texts, at

    def _header_bytes(self, buffer: bytearray, at: int, stop: int) -> int:
        """How long the header at ``at`` is, which is checked as far as it is there; 0 when that is
        too little to tell."""
        first = buffer[at]
        opcode = first & 0x0F
        if first & 0x70 and not (
            self._deflate and first & 0x70 == COMPRESSED and opcode in (TEXT, BINARY)
        ):
            raise self._violation("reserved bit set")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise self._violation(f"reserved opcode {opcode}")
            if not first & FIN:
                raise self._violation("fragmented control frame")
        elif opcode > BINARY:
            raise self._violation(f"reserved opcode {opcode}")
        elif (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise self._violation(
                "message inside of a message" if opcode else "continuation without a message"
            )
        if at + 1 >= stop:
            return 0
        second = buffer[at + 1]
        if bool(second & 0x80) != bool(self._mask_bytes):
            raise self._violation(
                "client frame without a mask" if self._mask_bytes else "frame with a mask"
            )
        length = second & 0x7F
        if length < 126:
            return 2 + self._mask_bytes
        if opcode >= CLOSE:
            raise self._violation(f"control frame above {MAX_CONTROL_BYTES} bytes")
        return (4 if length == 126 else 10) + self._mask_bytes

    def _violation(self, reason: str) -> FrameError:
        self.unreadable = True
        return FrameError(CLOSE_PROTOCOL_ERROR, reason)

    def _begin(self, buffer: bytearray, at: int, payload: int) -> None:
        """Take in the whole header of a data frame."""
        first = buffer[at]
        length = buffer[at + 1] & 0x7F
        if length >= 126:
            shortest = 126 if length == 126 else 0x10000
            length = int.from_bytes(buffer[at + 2 : payload - self._mask_bytes], "big")
            if length < shortest:
                raise self._violation("length not in its shortest form")
            if length >> 63:
                raise self._violation("length with its highest bit set")
        opcode = first & 0x0F
        if opcode != CONTINUATION:
            self._opcode = self._next_opcode = opcode | first & COMPRESSED
            self.announced_bytes = length if first > 0x7F else None
            self.message_bytes = 0
        self._fin = first > 0x7F
        self._mask = bytes(buffer[payload - self._mask_bytes : payload])
        self._left = length
        self.message_bytes += length
        if self.message_bytes > self._max_message and not self._skipping:
            raise FrameError(CLOSE_TOO_BIG, f"message above {self._max_message} bytes")

    def _piece(
        self, buffer: bytearray, payload: int, stop: int, all_of_it: bool = False
    ) -> Piece | None:
        """Unmask ``buffer[payload:stop]`` and make it a frame. None while skipping. ``all_of_it``
        tells that it is all of the block."""
        mask, message, opcode = self._mask, self._opcode, self._next_opcode
        length = stop - payload
        self._left -= length
        if self._left and length & 3:
            turn = length & 3
            self._mask = mask[turn:] + mask[:turn]
        end = self._fin and not self._left
        self._next_opcode = CONTINUATION
        if end:
            self._opcode = CONTINUATION
        if self._skipping:
            return None
        if length and mask:
            unmask(buffer, payload, stop, mask)
        if (
            message == TEXT
            and self._checks_text
            and not (all_of_it and self._is_ascii(buffer, payload, stop))
            and not self._text.check(buffer, payload, stop, end)
        ):
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8")
        first = opcode | FIN if end else opcode
        return opcode, end, _write_header(buffer, first, payload, stop), payload, stop

    def _is_ascii(self, buffer: bytearray, start: int, stop: int) -> bool:
        """Whether a big block of text is ASCII, and begins no earlier than a character does: seen
        from the whole buffer, which unlike a part of it can be asked without a copy."""
        if 2 * (stop - start) < len(buffer) or self._text.inside_character:
            return False
        buffer[start - _LONGEST_HEADER : start] = bytes(_LONGEST_HEADER)
        if buffer.isascii():
            return True
        # It may be what is left around the block from others. Not the next time.
        buffer[:start] = bytes(start)
        buffer[stop:] = bytes(len(buffer) - stop)
        return False


class PeerReader(FrameReader):
    """Reads what another relay sends: frames without masks, whose texts that one has checked.

    Masks (RFC 6455 §5.3) keep scripts in browsers from writing what a proxy takes for requests.
    Between relays there is neither, and both have agreed to leave them out.
    """

    _mask_bytes = 0
    _checks_text = False

    def _small_texts(self, buffer: bytearray, start: int, stop: int) -> tuple[Texts, int]:
        at = start
        texts: Texts = []
        most = self._most_small
        while at + 4 <= stop and buffer[at] == _WHOLE_TEXT and len(texts) < _MOST_TEXTS:
            length = buffer[at + 1]
            begin = at + 2
            if length == 126:
                length = buffer[at + 2] << 8 | buffer[at + 3]
                begin = at + 4
                if length < 126:
                    break
            elif length > 126:
                break
            until = begin + length
            if until > stop or length > most:
                break
            texts.append(buffer[begin:until])
            at = until
        return texts, at
