"""Records the bundles of one sender, beside their way to the phones.

A `Tape` is told of every message that may be part of a bundle, and is one more way for it. What it
takes are views of the buffer that the sender's connection receives into; at the end of a block that
buffer is lent to the thread that writes, and the connections go on with another.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from apptuner_relay.bundles.spooled import Cut, Form, SpooledBundle, State
from apptuner_relay.flow import Frame, Source
from apptuner_relay.series import Series
from apptuner_relay.ways import Parcel

_LEND_BYTES = 64 * 1024
"""From how much on in one block the buffer is lent, rather than the bytes copied."""
MOST_BACKLOG_BYTES = 8 * 1024 * 1024
"""A sender is held while more than this waits to be written, of all senders together."""


class Lender(Protocol):
    """The buffer that connections receive into: `transport.ReceiveBuffer`."""

    def lend(self) -> Callable[[], None] | None:
        """Give away what was received into, and go on with another buffer. What is returned gives
        it back, in any thread; None when there is no other."""


class Recorder(Protocol):
    """Where bundles are recorded: `store.Store`."""

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be written."""

    def record(self, session_hash: str, form: Form) -> SpooledBundle | None:
        """Begin a bundle; None when nothing is kept."""

    def when_written(self, call: Callable[[], None]) -> None:
        """Call back when what waits now has been written."""


class _Segment(NamedTuple):
    """What a block brought of one bundle."""

    bundle: SpooledBundle
    parts: list[Frame]


class Tape:
    """What is recorded of one sender. For the messages that it takes it is a `passage.Way`.

    :param source: the sender; held while the disk is behind.
    """

    def __init__(
        self, recorder: Recorder, session_hash: str, source: Source, buffer: Lender
    ) -> None:
        self._recorder = recorder
        self._session_hash = session_hash
        self._source = source
        self._buffer = buffer
        self._segments: list[_Segment] = []
        self._block_bytes = 0
        self.bundle: SpooledBundle | None = None
        """The bundle that is being recorded."""

    @property
    def recording(self) -> bool:
        """Whether more is to come of the bundle that is being recorded."""
        return self.bundle is not None and self.bundle.state is State.GROWING

    def begin(self, message: Parcel, series: Series) -> bool:
        """A bundle begins; whether to give its messages to this tape."""
        self._stop(Cut.SUPERSEDED)
        if series.endless:
            return False
        form = Form(series, message.size, message.now_ms)
        self.bundle = self._recorder.record(self._session_hash, form)
        self._source.bundle = self.bundle
        return self.bundle is not None

    def records(self, series: Series) -> bool:
        """Whether to give it a chunk of ``series``."""
        bundle = self.bundle
        return bundle is not None and self.recording and bundle.form.series is series

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `passage.Way`."""
        bundle = self.bundle
        if bundle is None or bundle.state is not State.GROWING:
            return
        if not self._segments or self._segments[-1].bundle is not bundle:
            self._segments.append(_Segment(bundle, []))
        self._segments[-1].parts.append(data)
        self._block_bytes += len(data)
        bundle.size += len(data)
        if end:
            bundle.whole = bundle.size
            if bundle.form.series.complete:
                bundle.finish()
                self.bundle = None

    def cut(self, reason: str) -> None:
        """See `passage.Way`."""
        self.stop()

    def stop(self) -> None:
        """Give up what has been begun and isn't complete."""
        self._stop(Cut.SENDER)

    def _stop(self, why: Cut) -> None:
        bundle, self.bundle = self.bundle, None
        if bundle is not None:
            bundle.cut(why)

    def flush(self) -> None:
        """A block has been taken in: have what it brought written."""
        if not self._segments:
            return
        segments, self._segments = self._segments, []
        give_back = self._buffer.lend() if self._block_bytes >= _LEND_BYTES else None
        self._block_bytes = 0
        if give_back is None:
            for bundle, parts in segments:
                bundle.append([bytes(part) for part in parts])
        else:
            # One that was cut takes nothing, and would give back what others still need.
            taking = [one for one in segments if one.bundle.state is State.GROWING]
            for bundle, parts in taking:
                bundle.append_lent(parts, give_back if bundle is taking[-1].bundle else None)
            if not taking:
                give_back()
        if self._recorder.backlog_bytes > MOST_BACKLOG_BYTES:
            self._source.hold(self)
            self._recorder.when_written(lambda: self._source.let_go(self))
