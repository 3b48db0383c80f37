"""Between a source and sinks that want a message in another form: inflated, deflated, in chunks.

A `Stage` takes the pieces of one message and sends what it makes of them. It is a source of its
own, so its sinks hold it like any other; and while it is held and has something left to do, it
holds the source that feeds it. What it keeps is bounded by what that source sends in one block.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from apptuner_relay.flow import Frame, Sink, Source
from apptuner_relay.passage import Way
from apptuner_relay.wire.chunks import NotABundle, Part, Rechunker
from apptuner_relay.wire.deflate import BombGuard, Deflation, Inflation
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_INVALID_PAYLOAD,
    COMPRESSED,
    CONTINUATION,
    FIN,
    TEXT,
    FrameError,
    frame,
)
from apptuner_relay.wire.text import TextChecker

SLICE_BYTES = 256 * 1024
"""The longest payload of a frame for those who get small ones."""
_DEFLATED_BYTES = 64 * 1024
"""How much is compressed at once."""

Refuse = Callable[[int, str], None]
"""Called with a close code and a reason when what the source sent turns out to be bad."""


class Place(NamedTuple):
    """Where a stage stands."""

    origin: Source
    """Where the message comes from."""
    refuse: Refuse
    """Ends the message's sender."""
    feeds: Sequence[Sink]
    """All of the message's sinks; who is slow is judged among them."""


class Guard:
    """A way that leads nowhere: the message is looked at before it goes its other ways."""

    def __init__(self, guard: BombGuard) -> None:
        self._guard = guard

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        self._guard.check(memoryview(data)[header:], end)

    def cut(self, reason: str) -> None:
        """See `Way`."""


class Slicer:
    """Cuts big frames into smaller ones of the same message, on the way to phones that cope badly
    with big ones."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        length = len(data) - header
        if length <= SLICE_BYTES:
            self._way.send(data, header, end)
            return
        opcode = data[0] & ~FIN
        for at in range(header, len(data), SLICE_BYTES):
            payload = bytes(data[at : at + SLICE_BYTES])
            last = end and at + SLICE_BYTES >= len(data)
            slice_ = frame(opcode, payload, last)
            self._way.send(slice_, len(slice_) - len(payload), last)
            opcode = CONTINUATION

    def cut(self, reason: str) -> None:
        """See `Way`."""
        self._way.cut(reason)


class Stage(ABC):
    """What the stages share. A subclass takes input in `_take` and sends output in `_step`.

    :param onwards: makes the way on from the stage, given the stage's own source.
    """

    def __init__(self, place: Place, onwards: Callable[[Source], Way], opcode: int) -> None:
        origin = place.origin
        self._origin = origin
        self._refuse = place.refuse
        self._opcode = opcode
        self._ended = False
        self._over = False
        self.source = Source(lambda: origin.hold(self), self._run, origin)
        self._way = onwards(self.source)
        self.source.feeds = place.feeds

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`. What is bad is refused through ``refuse``, as it may come to light later."""
        if not self._over:
            self._ended = end
            self._take(bytes(data[header:]), end)
            self._run()

    def cut(self, reason: str) -> None:
        """See `Way`."""
        if not self._over:
            self._finish()
            self._way.cut(reason)

    @abstractmethod
    def _take(self, payload: bytes, end: bool) -> None:
        """Take in the next piece."""

    @abstractmethod
    def _step(self) -> bool:
        """Send one frame, or call `_finish` at the end. False when there is nothing to send.

        :raises FrameError: what came is bad.
        """

    def _send(self, payload: bytes, end: bool) -> None:
        data = frame(self._opcode, payload, end)
        self._opcode = CONTINUATION
        self._way.send(data, len(data) - len(payload), end)

    def _finish(self) -> None:
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        """The origin may go on, unless it is the sinks that hold us."""
        if not self.source.held:
            self._origin.let_go(self)

    def _run(self) -> None:
        more = True
        try:
            while more and not self._over and not self.source.held:
                more = self._step()
                self.source.flush()
        except FrameError as error:
            self.cut(f"a message was cut short: {error.reason}")
            self._refuse(error.code, error.reason)
            return
        if more and not self._over:
            self._origin.hold(self)
        else:
            self._let_go()


class Inflater(Stage):
    """Inflates a compressed message, for those that did not negotiate compression.

    :param opcode: the message's, without `COMPRESSED`.
    :param limit: the most bytes that it may inflate to.
    """

    def __init__(
        self, place: Place, onwards: Callable[[Source], Way], opcode: int, limit: int
    ) -> None:
        super().__init__(place, onwards, opcode)
        self._inflation = Inflation(limit)
        self._text = TextChecker() if opcode == TEXT else None
        self._ahead = b""

    def expects(self, payload_bytes: int) -> int:
        """See `Inflation.expects`."""
        return self._inflation.expects(payload_bytes)

    def _take(self, payload: bytes, end: bool) -> None:
        self._inflation.feed(payload, end)

    def _step(self) -> bool:
        data = self._ahead or self._inflation.read()
        if not data and not self._ended:
            return False
        self._ahead = self._inflation.read() if self._ended and data else b""
        end = self._ended and not self._ahead
        if self._text is not None and not self._text.check(data, 0, len(data), end):
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8")
        self._send(data, end)
        if end:
            self._finish()
        return not end


class Deflater(Stage):
    """Compresses a plain message once, for several that negotiated it. What comes out does not
    depend on the pieces in which it came, so somebody else can go on with it anywhere."""

    def __init__(self, place: Place, onwards: Callable[[Source], Way], opcode: int) -> None:
        super().__init__(place, onwards, opcode | COMPRESSED)
        self.source.deflated = True
        self._deflation = Deflation()
        self._rest = b""
        self._pieces: deque[tuple[bytes, bool]] = deque()

    def _take(self, payload: bytes, end: bool) -> None:
        text = self._rest + payload
        until = len(text) if end else len(text) // _DEFLATED_BYTES * _DEFLATED_BYTES
        stops = range(_DEFLATED_BYTES, until, _DEFLATED_BYTES)
        start = 0
        for stop in stops:
            self._pieces.append((text[start:stop], False))
            start = stop
        if end or until > start:
            self._pieces.append((text[start:until], end))
        self._rest = text[until:]

    def _step(self) -> bool:
        if not self._pieces:
            return False
        payload, end = self._pieces.popleft()
        data = self._deflation.feed(payload, end)
        if data or end:
            self._send(data, end)
        if end:
            self._finish()
        return bool(self._pieces)


class Chunker(Stage):
    """Makes ``bundle_start`` and ``bundle_chunk`` messages of a plain ``bundle_update``."""

    def __init__(
        self,
        place: Place,
        onwards: Callable[[Source], Way],
        sinks: Sequence[Sink],
        rechunker: Rechunker,
    ) -> None:
        super().__init__(place, onwards, TEXT)
        self._sinks = sinks
        self._rechunker = rechunker
        self._parts: deque[Part] = deque()

    def _take(self, payload: bytes, end: bool) -> None:
        try:
            self._parts.extend(self._rechunker.feed(payload, end))
        except NotABundle as wrong:
            self._finish()
            for sink in self._sinks:
                sink.cut(CLOSE_INTERNAL_ERROR, f"a message was cut short: {wrong}")
        self.source.plan = self._rechunker.plan

    def _step(self) -> bool:
        if not self._parts:
            return False
        text, first, last = self._parts.popleft()
        data = frame(TEXT if first else CONTINUATION, text, last)
        end = self._ended and not self._parts
        self._way.send(data, 0, end)
        if end:
            self._finish()
        return bool(self._parts)
