"""Messages that cross a bridge in one direction: frame by frame, as they are.

What a phone gets that way is looked at as well, as far as is needed to tell whether it is in the
middle of a bundle.
"""

from apptuner_relay.flow import Frame, Sink, Source
from apptuner_relay.passage import Joined, Passage, Way
from apptuner_relay.series import Listener
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    COMPRESSED,
    CONTINUATION,
    TEXT,
    TEXT_HEADERS,
    FrameError,
    Piece,
    Texts,
)

_BUNDLE = b"bundle_"
"""What is in every message of a bundle, in front of all else that may be long."""


class Stream:
    """Messages from one source to one sink, as they are but for their frames.

    :param longest: the most bytes that a message may have.
    """

    def __init__(self, source: Source, longest: int) -> None:
        self._source = source
        self._longest = longest
        self._sink: Sink | None = None
        self._way: Way | None = None

    def flow_to(self, sink: Sink) -> None:
        """What begins from now on goes to ``sink``."""
        self._sink = sink
        self._source.feeds = (sink,)

    def stop(self, reason: str) -> None:
        """What comes from now on goes nowhere; a message in progress is cut short."""
        self._sink = None
        way, self._way = self._way, None
        if way is not None:
            way.cut(reason)
        self._source.feeds = ()

    @property
    def in_message(self) -> bool:
        """Whether part of a message was passed on, and its end was not."""
        return self._way is not None

    def send_texts(self, texts: Texts) -> None:
        """Pass on small text messages, each of them whole."""
        if self._sink is not None:
            frames: list[Frame] = [TEXT_HEADERS[len(text)] + text for text in texts]
            self._sink.send_all(frames, self._source)

    def send(self, piece: Piece, view: memoryview) -> None:
        """Pass on the next piece of a message."""
        opcode, end, begin, payload, stop = piece
        sink = self._sink
        if sink is None:
            return
        if opcode != CONTINUATION:
            if end:
                sink.send(view[begin:stop], self._source)
                return
            self._way = Joined(Passage(self._source, (sink,)), self._longest)
        if self._way is not None:
            self._way.send(view[begin:stop], payload - begin, end)
            if end:
                self._way = None


class BundleStream(Stream):
    """Those that go to a phone."""

    def __init__(self, source: Source, longest: int) -> None:
        super().__init__(source, longest)
        self._listener = Listener()
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
            # That the head is all of it matters only to what isn't JSON.
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
