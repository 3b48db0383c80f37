"""Messages that pass through a link in one direction, frame by frame, as they are.

Messages to a phone are also inspected, as far as needed to know whether it is in the middle of a
bundle.
"""

from collections.abc import Iterable, Sequence

from apptuner_relay.flow.framing import FRAME_BYTES, Framer
from apptuner_relay.flow.series import SeriesReader
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.source import Source
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frame_runs import payloads
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    COMPRESSED,
    CONTINUATION,
    RUN,
    TEXT,
    TEXT_HEADERS,
    Frame,
    FrameError,
    Piece,
    Texts,
)

_BUNDLE = b"bundle_"
"""What each message of a bundle contains, in front of anything that may be long."""


class Stream:
    """Messages from one source to one sink. Only their framing may change.

    A message goes straight to the sink, in whole frames. There is one reader, and it needs nothing
    twice, so no log is kept: what the sink can't send waits there, and holds the source.

    :param longest: the most bytes that a message may have.
    """

    def __init__(self, source: Source, longest: int) -> None:
        self._source = source
        self._longest = longest
        self._sink: Sink | None = None
        self._framer: Framer | None = None
        self._has_sent = False
        """Whether part of the message in progress was sent."""

    def flow_to(self, sink: Sink) -> None:
        """Send messages that begin from now on to ``sink``."""
        self._sink = sink
        self._source.feeds = (sink,)

    def stop(self, reason: str) -> None:
        """Drop messages from now on. Whoever has got a part of one is closed."""
        sink, self._sink = self._sink, None
        is_cut = self._framer is not None and self._has_sent
        self._framer = None
        if is_cut and sink is not None:
            sink.cut(CLOSE_INTERNAL_ERROR, f"a message was cut short: {reason}")
        self._source.feeds = ()

    @property
    def in_message(self) -> bool:
        """Whether a message is in progress: its beginning was passed on, and its end was not."""
        return self._framer is not None

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
        if opcode == RUN:
            self._send_run(sink, view[begin:stop], end)
            return
        if opcode != CONTINUATION:
            if opcode & RUN or (end and stop - payload <= FRAME_BYTES):
                sink.send(view[begin:stop], self._source)
                return
            self._framer = Framer(self, opcode, self._longest)
        framer = self._framer
        if framer is not None:
            if framer.write(view[payload:stop], end):
                # It holds bytes that are few for a frame.
                self._source.when_paused(lambda: self._send_rest(framer))
            if end:
                self._framer = None

    def _send_run(self, sink: Sink, run: memoryview, end: bool) -> None:
        """Pass on frames that continue a message, or end it."""
        framer = self._framer
        if framer is not None:
            framer.send_held()
            self._has_sent = True
            sink.send(run, self._source)
            if end:
                self._framer = None

    # What the framer calls: `framing.Frames`

    def begin_message(self) -> None:
        """See `framing.Frames`."""
        self._has_sent = False

    def add(self, parts: Sequence[Frame], size: int, end: bool) -> None:
        """See `framing.Frames`."""
        self._has_sent = True
        sink = self._sink
        if sink is None:
            return
        if sink.busy:
            # A control frame must not get between the parts.
            sink.send(b"".join(parts), self._source)
        else:
            sink.send_all(parts, self._source)

    def _send_rest(self, framer: Framer) -> None:
        if framer is not self._framer:
            # The message has ended.
            return
        framer.release()
        if self._sink is not None:
            self._sink.flush(self._source)


class BundleStream(Stream):
    """Messages to a phone."""

    def __init__(self, source: Source, longest: int) -> None:
        super().__init__(source, longest)
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
        self._look_into(texts)

    def send_alone(self, text: bytearray) -> bool:
        """See `Stream`."""
        return _BUNDLE not in text and super().send_alone(text)

    def send(self, piece: Piece, view: memoryview) -> None:
        """See `Stream`."""
        opcode, end, begin, payload, stop = piece
        if opcode & RUN and opcode != RUN:
            super().send(piece, view)
            run = bytes(view[begin:stop])
            if _BUNDLE in run:
                self._look_into(payloads(run))
            return
        if opcode & ~RUN != CONTINUATION:
            self._opcode, self._head = opcode, b""
        missing = 0 if opcode == RUN else messages.HEAD_BYTES - len(self._head)
        if missing:
            self._head += view[payload : min(stop, payload + missing)]
        super().send(piece, view)
        if end and self._opcode & TEXT:
            # Whether the head is all of it matters only where it isn't JSON.
            self._passed(self._head, False)

    def _look_into(self, texts: Iterable[Frame]) -> None:
        for text in texts:
            if _BUNDLE in text:
                self._passed(bytes(text), True)

    def _passed(self, head: bytes, complete: bool) -> None:
        try:
            if self._opcode & COMPRESSED and not complete:
                head, complete = inflate_head(head, messages.HEAD_BYTES, False)
            kind = messages.sniff(head, complete).type
        except (FrameError, messages.NotAnObject):
            return
        if kind in messages.BUNDLE_TYPES:
            self._listener.passed(kind, head)
