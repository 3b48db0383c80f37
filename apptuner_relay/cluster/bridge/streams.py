"""Messages that pass through a link in one direction, frame by frame, as they are.

Messages to a phone are also inspected, as far as needed to know whether it is in the middle of a
bundle.
"""

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.intake import SHORT_BYTES, AssemblingIntake, Intake, WholeLogIntake
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.series import SeriesReader
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.source import Source
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    COMPRESSED,
    CONTINUATION,
    TEXT,
    TEXT_HEADERS,
    Frame,
    FrameError,
    Piece,
    Texts,
    frame,
)

_BUNDLE = b"bundle_"
"""What each message of a bundle contains, in front of anything that may be long."""


class Stream:
    """Messages from one source to one sink. Only their framing may change.

    :param longest: the most bytes that a message may have.
    :param window: how many bytes of a message may wait.
    """

    def __init__(self, source: Source, longest: int, window: int) -> None:
        self._source = source
        self._longest = longest
        self._window = window
        self._sink: Sink | None = None
        self._intake: Intake | None = None

    def flow_to(self, sink: Sink) -> None:
        """Send messages that begin from now on to ``sink``."""
        self._sink = sink
        self._source.feeds = (sink,)

    def stop(self, reason: str) -> None:
        """Drop messages from now on. One in progress is cut short."""
        self._sink = None
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.cut(reason)
        self._source.feeds = ()

    @property
    def in_message(self) -> bool:
        """Whether a message is in progress: its beginning was passed on, and its end was not."""
        return self._intake is not None

    def send_texts(self, texts: Texts) -> None:
        """Pass on small text messages that have arrived whole."""
        if self._sink is not None:
            frames: list[Frame] = [TEXT_HEADERS[len(text)] + text for text in texts]
            self._sink.send_all(frames, self._source)

    def send_alone(self, text: bytearray) -> bool:
        """Pass on a small text message at once that came alone. Returns False where it is left for
        `send_texts`."""
        if self._sink is None:
            return False
        self._sink.send_now(TEXT_HEADERS[len(text)] + text, self._source)
        return True

    def send(self, piece: Piece, view: memoryview) -> None:
        """Pass on the next piece of a message."""
        opcode, end, begin, payload, stop = piece
        sink = self._sink
        if sink is None:
            return
        if opcode != CONTINUATION:
            if end and stop - payload <= SHORT_BYTES:
                sink.send(view[begin:stop], self._source)
                return
            self._intake = self._open(sink, opcode)
        if self._intake is not None:
            self._intake.write(view[payload:stop], end)
            if end:
                self._intake = None

    def _open(self, sink: Sink, opcode: int) -> Intake:
        def send(payload: bytes) -> None:
            sink.send(frame(opcode, payload), self._source)

        def follow() -> Intake:
            log = Log(self._source, self._window)
            sink.follow(Follower(sink, log))
            return WholeLogIntake(self._source, log, opcode, self._longest)

        return AssemblingIntake(send, follow)


class BundleStream(Stream):
    """Messages to a phone."""

    def __init__(self, source: Source, longest: int, window: int) -> None:
        super().__init__(source, longest, window)
        self._listener = SeriesReader()
        self._opcode = TEXT
        self._head = b""

    @property
    def in_bundle(self) -> bool:
        """Whether a bundle has begun, and more messages of it are to come."""
        return self._listener.inside

    def send_texts(self, texts: Texts) -> None:
        """See `Stream`."""
        super().send_texts(texts)
        for text in texts:
            if _BUNDLE in text:
                self._passed(bytes(text), True)

    def send_alone(self, text: bytearray) -> bool:
        """See `Stream`."""
        return _BUNDLE not in text and super().send_alone(text)

    def send(self, piece: Piece, view: memoryview) -> None:
        """See `Stream`."""
        opcode, end, _, payload, stop = piece
        if opcode != CONTINUATION:
            self._opcode, self._head = opcode, b""
        missing = messages.HEAD_BYTES - len(self._head)
        if missing:
            self._head += view[payload : min(stop, payload + missing)]
        super().send(piece, view)
        if end and self._opcode & TEXT:
            # Whether the head is all of it matters only where it isn't JSON.
            self._passed(self._head, False)

    def _passed(self, head: bytes, complete: bool) -> None:
        try:
            if self._opcode & COMPRESSED and not complete:
                head, complete = inflate_head(head, messages.HEAD_BYTES, False)
            kind = messages.sniff(head, complete).type
        except (FrameError, messages.NotAnObject):
            return
        if kind in messages.BUNDLE_TYPES:
            self._listener.passed(kind, head)
