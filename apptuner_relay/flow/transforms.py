"""Other forms of the messages of a log: inflated, deflated, in chunks. Pure.

A `Transform` is fed the wire bytes of one log, from its start, in pieces of any size, and yields
whole frames of the other form. Each step that it does is bounded, and so is what it keeps in
memory, whatever it is fed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from apptuner_relay.flow.framing import Framer
from apptuner_relay.wire.chunks import NotABundle, Rechunker, begins_bundle
from apptuner_relay.wire.deflate import Deflation, Inflation
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_INVALID_PAYLOAD,
    COMPRESSED,
    TEXT,
    Frame,
    FrameError,
)
from apptuner_relay.wire.server_frames import ServerFrames
from apptuner_relay.wire.text import TextChecker

_INFLATED_BYTES = 256 * 1024
"""How many bytes are inflated at once. Frames are views of them; half as many cost 3% more."""
_DEFLATED_BYTES = 64 * 1024
"""How many bytes are compressed at once."""
LEAST_DEFLATED_BYTES = 1024
"""A message of fewer bytes is not compressed."""
_HEAD_BYTES = 4096
"""How many bytes of a message are looked at to tell whether it is a bundle."""


class Made(NamedTuple):
    """A whole frame that a transform has made."""

    parts: Sequence[Frame]
    size: int
    """How many bytes the parts have together."""
    begins: bool
    """Whether it is the first of its message."""
    end: bool
    """Whether it is the last of its message."""


class Transform(Protocol):
    """See the top of this module."""

    def feed(self, data: bytes) -> Iterator[Made]:
        """Yield the frames that the next bytes of the log make. They have to be used up before the
        next call.

        :raises FrameError: 1007 or 1009: what was sent is bad; 1011: there is no such form of it.
        """


class _Frames:
    """The frames that framers have made, until they are taken."""

    def __init__(self) -> None:
        self._begins = False
        self._made: list[Made] = []

    def begin_message(self) -> None:
        self._begins = True

    def add(self, parts: Sequence[Frame], size: int, end: bool) -> None:
        self._made.append(Made(parts, size, self._begins, end))
        self._begins = False

    def take(self) -> list[Made]:
        made, self._made = self._made, []
        return made


class _Plain:
    """The payload of one message, inflated where it is compressed.

    :param limit: the most bytes that it may inflate to.
    """

    def __init__(self, opcode: int, limit: int) -> None:
        self.opcode = opcode & ~COMPRESSED
        self.inflation = Inflation(limit) if opcode & COMPRESSED else None
        self._text = TextChecker() if self.opcode == TEXT else None

    def feed(
        self, payload: bytes | memoryview, end: bool
    ) -> Iterator[tuple[bytes | memoryview, bool]]:
        """Yield its pieces, each with whether it is the last one.

        :raises FrameError: 1007: it is no deflate stream, or its text is not UTF-8; 1009: it is
            above the limit.
        """
        inflation = self.inflation
        if inflation is None:
            yield payload, end
            return
        inflation.feed(payload, end)
        data = inflation.read(_INFLATED_BYTES)
        while data or end:
            used_up = len(data) < _INFLATED_BYTES and inflation.is_used_up
            # Whether a piece is the last one has to be known when it is yielded, so the next one is
            # read before. That also tells whether the message is whole.
            ahead = inflation.read(_INFLATED_BYTES) if end or not used_up else b""
            last = end and not ahead
            self._check(data, last)
            yield data, last
            if not ahead:
                return
            data = ahead

    def _check(self, data: bytes, end: bool) -> None:
        text = self._text
        if text is None or (data.isascii() and not text.inside_character):
            return
        if not text.check(data, 0, len(data), end):
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8")


class _Form(ABC):
    """What the forms share.

    :param limit: the most bytes that a message may have, inflated.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames = _Frames()
        self._reader = ServerFrames()

    def feed(self, data: bytes) -> Iterator[Made]:
        """See `Transform.feed`."""
        for opcode, end, payload in self._reader.feed(memoryview(data)):
            if opcode:
                self._begin(opcode)
            for _ in self._take(payload, end):
                yield from self._frames.take()

    @abstractmethod
    def _begin(self, opcode: int) -> None:
        """A message begins."""

    @abstractmethod
    def _take(self, payload: bytes | memoryview, end: bool) -> Iterator[None]:
        """Take in the next piece of it, a bounded step each time."""

    def _framer(self, opcode: int) -> Framer:
        # Bytes that wait for more wait for the next piece: readers of a form have no use for a few
        # more kilobytes of a message while its sender pauses.
        return Framer(self._frames, opcode, self._limit)


class Inflated(_Form):
    """Compressed messages inflated, and checked to be UTF-8 where they are text; plain ones as they
    are."""

    def _begin(self, opcode: int) -> None:
        self._plain = _Plain(opcode, self._limit)
        self._to = self._framer(self._plain.opcode)

    def _take(self, payload: bytes | memoryview, end: bool) -> Iterator[None]:
        for data, last in self._plain.feed(payload, end):
            self._to.write(data, last)
            yield


class Deflated(_Form):
    """Plain messages compressed, each on its own; compressed ones, and those below
    `LEAST_DEFLATED_BYTES`, as they are."""

    def _begin(self, opcode: int) -> None:
        self._opcode = opcode
        self._deflation: Deflation | None = None
        self._head = b""
        self._to = self._framer(opcode) if opcode & COMPRESSED else None

    def _take(self, payload: bytes | memoryview, end: bool) -> Iterator[None]:
        if self._to is None:
            payload = self._head = self._head + payload
            if len(payload) < LEAST_DEFLATED_BYTES and not end:
                return
            if len(payload) < LEAST_DEFLATED_BYTES:
                self._to = self._framer(self._opcode)
            else:
                self._to = self._framer(self._opcode | COMPRESSED)
                self._deflation = Deflation()
            self._head = b""
        if self._deflation is None:
            self._to.write(payload, end)
            yield
            return
        for at in range(0, len(payload) or 1, _DEFLATED_BYTES):
            last = end and at + _DEFLATED_BYTES >= len(payload)
            piece = self._deflation.feed(payload[at : at + _DEFLATED_BYTES], last)
            if piece or last:
                self._to.write(piece, last)
            yield


class InChunks(_Form):
    """A ``bundle_update`` of the usual form as ``bundle_start`` and ``bundle_chunk`` messages;
    anything else inflated, and as it is.

    :param now_ms: the timestamp of ``bundle_start``.
    :param announced: how many payload bytes the first message of the log has, as it is sent, if
        that is known.
    """

    def __init__(self, now_ms: int, limit: int, announced: int | None) -> None:
        super().__init__(limit)
        self._now_ms = now_ms
        self._announced = announced

    def _begin(self, opcode: int) -> None:
        self._plain = _Plain(opcode, self._limit)
        self._head = b""
        self._rechunker: Rechunker | None = None
        self._to: Framer | None = None
        self._size, self._announced = self._announced, None
        if self._plain.opcode != TEXT:
            self._to = self._framer(self._plain.opcode)

    def _take(self, payload: bytes | memoryview, end: bool) -> Iterator[None]:
        for data, last in self._plain.feed(payload, end):
            if self._rechunker is None and self._to is None:
                data = self._head = self._head + data
                if begins_bundle(data):
                    self._rechunker = self._begin_chunks()
                elif len(data) >= _HEAD_BYTES or last:
                    self._to = self._framer(TEXT)
                else:
                    continue
                self._head = b""
            if self._rechunker is None:
                assert self._to is not None
                self._to.write(data, last)
            else:
                self._cut(self._rechunker, data, last)
            yield

    def _begin_chunks(self) -> Rechunker:
        inflation, size = self._plain.inflation, self._size
        if size is None:
            return Rechunker(self._now_ms, self._limit, False)
        if inflation is None:
            return Rechunker(self._now_ms, size, True)
        return Rechunker(self._now_ms, self._limit, False, lambda: inflation.expects(size))

    def _cut(self, rechunker: Rechunker, data: bytes | memoryview, last: bool) -> None:
        try:
            parts = rechunker.feed(data, last)
        except NotABundle as wrong:
            raise FrameError(CLOSE_INTERNAL_ERROR, str(wrong)) from None
        for part in parts:
            if part.first:
                self._to = self._framer(TEXT)
            assert self._to is not None
            self._to.write(part.text, part.last)
