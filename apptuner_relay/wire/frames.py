"""Reads frames (RFC 6455 §5): takes blocks of bytes, yields control frames and pieces of messages.

A `FrameReader` works in place. Its owner passes each block in a buffer that it uses again and
again. The reader unmasks the payload where it lies. It writes a server's header in front of each
piece, over the client's header or into the free room in front of the block, and yields where in the
buffer the piece is. A piece is a whole frame, ready to be sent: an intermediary may change the
fragmentation of a message (§5.4), and with every piece in a frame of its own the relay can close a
connection cleanly in the middle of a message. The reader holds at most one frame header and one
control frame of a stream.
"""

from collections.abc import Generator

from apptuner_relay.wire.frame_runs import SMALL_BYTES, end_of_run
from apptuner_relay.wire.header_in_place import write_header
from apptuner_relay.wire.masking import unmask, unmask_frame, unmask_frames
from apptuner_relay.wire.text import TextChecker, is_text

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA
RUN = 0x100  # A piece of whole frames, unread: with `TEXT`, small texts; else of one message.
FIN = 0x80
"""Set in the first byte of a message's last frame."""
COMPRESSED = 0x40
"""RSV1: on a message's first frame, permessage-deflate (RFC 7692 §7.2.3)."""

CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_NO_STATUS = 1005
"""Stands for a Close frame without a code, and `CLOSE_ABNORMAL` for a connection that was lost
without a Close frame. Neither is ever sent (RFC 6455 §7.4.1)."""
CLOSE_ABNORMAL = 1006
CLOSE_INVALID_PAYLOAD = 1007
CLOSE_POLICY = 1008
CLOSE_TOO_BIG = 1009
CLOSE_INTERNAL_ERROR = 1011
CLOSE_SERVICE_RESTART = 1012
CLOSE_TRY_AGAIN_LATER = 1013

MAX_CONTROL_BYTES = 125
LONE_BYTES = SMALL_BYTES + 8
"""The most bytes that a block has of which `FrameReader.lone_text` makes a text."""
_MOST_TEXTS = 256
_MOST_SKIPPED = 1024
"""How many frames are skipped at once."""
WHOLE_TEXT = FIN | TEXT
_LONGEST_SMALL_HEADER = 8
_LONGEST_HEADER = 10
HEADROOM = 256
"""Bytes that must be free in the buffer in front of a block."""

Piece = tuple[int, bool, int, int, int]
"""``(opcode, end, begin, payload, stop)``. ``buffer[begin:stop]`` is the frame and
``buffer[payload:stop]`` its payload, until the next block is read. ``opcode`` is `TEXT` or `BINARY`
for a message's first piece, with the bit `COMPRESSED` if it is compressed, and `CONTINUATION` for
the others. ``end`` is true for its last one. Control frames are never split."""


Frame = bytes | bytearray | memoryview
"""A frame, or a part of one."""

Texts = list[bytearray]
"""Whole text messages of at most `SMALL_BYTES` each."""


class FrameError(Exception):
    """A peer has broken RFC 6455 or exceeded a limit. ``code`` is the close code for that."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(opcode: int, payload: bytes, end: bool = True) -> bytes:
    """A server's frame: unmasked, with the shortest length form (§5.2)."""
    return frame_header(opcode, len(payload), end) + payload


def frame_header(opcode: int, length: int, end: bool) -> bytes:
    """The header of a server's frame whose payload has ``length`` bytes."""
    first = opcode | FIN if end else opcode
    if length < 126:
        return bytes((first, length))
    if length < 0x10000:
        return b"%c\x7e%b" % (first, length.to_bytes(2, "big"))
    return b"%c\x7f%b" % (first, length.to_bytes(8, "big"))


TEXT_HEADERS = [frame(TEXT, bytes(length))[: -length or None] for length in range(SMALL_BYTES + 1)]
"""The header of a server's frame with a whole text message, by the length of the text."""


class FrameReader:
    """Reads the frames of one client.

    :param max_message: the most payload bytes that a message may have, over all of its frames.
    :param deflate: whether messages may be compressed. Those are neither inflated nor checked.
    """

    __slots__ = (
        "_deflate", "_fin", "_held", "_left", "_mask", "_max_message", "_most_small",
        "_next_opcode", "_opcode", "_skipping", "_text", "announced_bytes", "message_bytes",
        "most_texts", "passes_on", "stopped_at", "unreadable",
    )  # fmt: skip

    _mask_bytes = 4
    _checks_text = True

    def __init__(self, max_message: int, deflate: bool = False) -> None:
        self._max_message = max_message
        self._most_small = min(max_message, SMALL_BYTES)
        self.most_texts = _MOST_TEXTS
        """How many small texts are yielded at once: the caller can stop between two lists only."""
        self.passes_on = False
        """Whether nobody looks into messages: then frames may be yielded in runs, as they came."""
        self._deflate = deflate
        self._held = b""
        self._mask = b""
        self._left = 0
        self._opcode = CONTINUATION
        self._next_opcode = CONTINUATION
        self._fin = False
        self.message_bytes = 0
        """How many payload bytes the frames of the current message have so far, by their
        headers."""
        self.announced_bytes: int | None = None
        """How many payload bytes the current message has, if it is a single frame; else None."""
        self._text = TextChecker()
        self._skipping = False
        self.stopped_at = HEADROOM
        """Up to where the last block was read: its end, unless the caller left `feed` early."""
        self.unreadable = False
        """Whether it is no longer known where frames begin, after an error."""

    @property
    def between_messages(self) -> bool:
        """Whether no message is incomplete; a part of the next one's first header may have been
        read."""
        return self._opcode == CONTINUATION

    def skip_messages(self) -> None:
        """From now on skip messages without checking them, and yield control frames only."""
        self._skipping = True

    def feed(
        self, buffer: bytearray, start: int, stop: int
    ) -> Generator[Piece | Texts, None, None]:
        """Yield the pieces that are in ``buffer[start:stop]``, a block as it was received, and the
        small messages as lists. ``start`` is at least `HEADROOM`. The buffer around the block is
        overwritten.

        Pieces in front of an error are yielded before it is raised. To read the peer's Close after
        an error, call `skip_messages` and `feed` from `stopped_at` on; that has no effect if the
        reader is `unreadable`. While messages are skipped, many frames take several calls.

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
        skipped = 0
        try:
            while at < stop:
                if self._skipping and (skipped := skipped + 1) > _MOST_SKIPPED:
                    return
                if self._left:
                    begin = at
                    at = min(stop, at + self._left)
                    all_of_it = begin == start and at == stop
                    piece = self._piece(buffer, begin, at, all_of_it)
                    if piece is not None:
                        yield piece
                    continue
                first = buffer[at]
                if first == WHOLE_TEXT and self._opcode == CONTINUATION and not self._skipping:
                    if self.passes_on:
                        until = end_of_run(buffer, at, stop, self._mask_bytes > 0)
                        small: Piece | Texts = (
                            (RUN | TEXT, True, at, at, until) if until > at else []
                        )
                    else:
                        small, until = self._small_texts(buffer, at, stop)
                    at = until
                    if small:
                        yield small
                        continue
                if self.passes_on and not first & 0x7F:
                    begin, at = at, self._take_rest(buffer, at, stop)
                    if at > begin:
                        yield RUN, not self._opcode, begin, begin, at
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
                        write_header(buffer, first, begin, until),
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

    def lone_text(self, buffer: bytearray, start: int, stop: int) -> bytearray | None:
        """What `feed` would yield of a block that is one small text, whole and between others:
        that text, for a fraction of the time. Most blocks are such where messages come one at a
        time. None for any other block, which is left for `feed`."""
        if (
            buffer[start] != WHOLE_TEXT
            or self._opcode != CONTINUATION
            or self._held
            or self._skipping
            or self.unreadable
        ):
            return None
        begin = start + 6
        length = buffer[start + 1] - 0x80
        if length == 126:
            begin = start + 8
            length = buffer[start + 2] << 8 | buffer[start + 3]
            if length < 126:
                return None
        elif not 0 <= length < 126:
            return None
        if begin + length != stop or length > self._most_small:
            return None
        unmask_frame(buffer, begin, stop)
        text = buffer[begin:stop]
        if text.isascii() or is_text(text):
            self.stopped_at = stop
            return text
        unmask_frame(buffer, begin, stop)
        return None

    def _small_texts(self, buffer: bytearray, start: int, stop: int) -> tuple[Texts, int]:
        """The small texts that follow each other from ``start`` on, and where they end: each is one
        whole frame of UTF-8 with at most `SMALL_BYTES`. This is the fast path, as most messages are
        such; all others are left for the general path in `feed`."""
        at = start
        spans: list[tuple[int, int]] = []
        last = stop - _LONGEST_SMALL_HEADER
        most, most_texts = self._most_small, self.most_texts
        while at <= last and buffer[at] == WHOLE_TEXT and len(spans) < most_texts:
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
        """How many bytes the header at ``at`` has; 0 if too little of it is there to tell. What is
        there is checked."""
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
        """Begin a data frame, of which the whole header is there."""
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

    def _take_rest(self, buffer: bytearray, start: int, stop: int) -> int:
        """Take in whole frames that go on with a message, unread: where they end."""
        return start

    def _piece(
        self, buffer: bytearray, payload: int, stop: int, all_of_it: bool = False
    ) -> Piece | None:
        """Unmask ``buffer[payload:stop]`` and make it a frame; None while messages are skipped.

        :param all_of_it: whether it is all of the block.
        """
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
        return opcode, end, write_header(buffer, first, payload, stop), payload, stop

    def _is_ascii(self, buffer: bytearray, start: int, stop: int) -> bool:
        """Whether a big block of text is ASCII and begins with a whole character. The whole buffer
        is tested, because testing a part of it would need a copy. False if that is not known."""
        if 2 * (stop - start) < len(buffer) or self._text.inside_character:
            return False
        buffer[start - _LONGEST_HEADER : start] = bytes(_LONGEST_HEADER)
        if buffer.isascii():
            return True
        # Perhaps only the rests of other blocks around it are not. They are cleared for next time.
        buffer[:start] = bytes(start)
        buffer[stop:] = bytes(len(buffer) - stop)
        return False
