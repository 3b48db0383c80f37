"""Sends a bundle out of its file to one phone, at the phone's own pace, while the file may still
grow.

To the phone's sink a follower is a source like any other. It reads a block only when the sink has
room, and fills a lane that stands where the bundle belongs among the phone's other messages.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.bundles.disk import Disk
from apptuner_relay.bundles.spooled import SpooledBundle, State
from apptuner_relay.flow import Frame, Lane, Sink, Source
from apptuner_relay.passage import Way
from apptuner_relay.series import Reception
from apptuner_relay.ways import Parcel, Recipient, make_way
from apptuner_relay.wire import messages
from apptuner_relay.wire.chunks import Plan
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    COMPRESSED,
    CONTINUATION,
    TEXT,
    FrameError,
    frame,
)
from apptuner_relay.wire.server_frames import ServerFrames

BLOCK_BYTES = 128 * 1024
"""How much is read at once."""
LOST = "a message was cut short: the relay can't keep it"
CUT = "a message was cut short: its sender has gone"


class Phone(Recipient, Protocol):
    """A phone that gets bundles."""

    reception: Reception


class Start(NamedTuple):
    """Where to begin: with the message at ``offset`` in the bundle's file, without the first
    ``skip`` payload bytes of what the phone gets of it."""

    offset: int = 0
    skip: int = 0
    deflate: bool = False
    """Whether the phone was being sent it compressed, though it came plain."""
    plan: Plan | None = None
    """How it was being cut into chunks for the phone, where it was."""


FROM_THE_START = Start()


class End(Enum):
    """How following a bundle ended."""

    WHOLE = "whole"
    SUPERSEDED = "superseded"
    CUT = "cut"


class Follower:
    """One phone on its way through one bundle. Begin with `play`.

    :param lane: where what it reads goes; ended with the bundle.
    :param over: called once, at the end, unless it is ended by `stop`.
    """

    log = Logger()

    def __init__(
        self,
        bundle: SpooledBundle,
        phone: Phone,
        disk: Disk,
        max_message: int,
        over: Callable[["Follower", End], None],
        lane: Lane | None = None,
        start: Start = FROM_THE_START,
    ) -> None:
        self.bundle = bundle
        self.source = Source(lambda: None, self._go_on)
        self._phone = phone
        self._sink: Sink = phone.sink
        self._disk = disk
        self._max_message = max_message
        self._tell_over = over
        self._offset = start.offset
        self._skip = start.skip
        self._deflate = start.deflate
        self._plan = start.plan
        self._inside = start.skip > 0
        self._frames = ServerFrames()
        self._opcode = TEXT
        self._head: bytes | None = None
        self._way: Way | None = None
        self._pieces: Iterator[tuple[int, bool, bytes]] = iter(())
        self._playing = False
        self._busy = False
        self._reading = False
        self._stopping = False
        self._over = False
        self._lane = lane or self._sink.open_lane(self.source, separable=True)
        self._sink.hand_over(self._lane, self.source)
        self.source.feeds = (self._sink,)
        bundle.retain()

    def play(self) -> None:
        """Begin to read."""
        self._playing = True
        self._go_on()

    def supersede(self) -> None:
        """A newer bundle has begun: end after the message in progress, or at once if there is
        none."""
        self._stopping = True
        if not self._playing:
            self._finish(End.SUPERSEDED)
        self._go_on()

    def say_instead(self, message: bytes) -> None:
        """Send one message in the bundle's place, unless it has ended."""
        if self._over:
            return
        self._sink.pass_on(self._lane, frame(TEXT, message), False)
        self.source.flush()
        self._finish(End.WHOLE)

    def stop(self) -> None:
        """The phone has gone."""
        self._end()

    def _go_on(self) -> None:
        """Send as long as the sink takes it; called again when it takes more."""
        if self._busy or self._reading or self._over or not self._playing:
            return
        self._busy = True
        try:
            self._send_block()
        except (ValueError, FrameError) as error:
            self._unreadable(str(error))
        finally:
            self._busy = False
        if self.source.held or self._over:
            return
        if self._stopping and not self._inside:
            bundle = self.bundle
            whole = (
                bundle.state is State.COMPLETE
                and self._offset == bundle.whole
                and not any(self._pieces)
            )
            self._finish(End.WHOLE if whole else End.SUPERSEDED)
        else:
            self._read()

    def _send_block(self) -> None:
        """Send of the block what the sink takes; one message after the other, as they share a
        lane: what a stage still has of one holds this source."""
        while not (self.source.held or self._over or (self._stopping and not self._inside)):
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._send(*piece)
        self.source.flush()

    def _read(self) -> None:
        """Read the next block, or find out that there is none."""
        bundle = self.bundle
        until = bundle.written
        if bundle.state is State.CUT:
            until = min(until, bundle.whole)
        if self._offset < until:
            self._read_block(min(until - self._offset, BLOCK_BYTES))
        elif bundle.state is State.GROWING:
            bundle.watch(self._go_on)
        elif bundle.state is State.COMPLETE:
            self._finish(End.WHOLE)
        elif bundle.lost:
            # Its sender goes on, and the phone would miss the rest.
            self._end()
            self._sink.cut(CLOSE_INTERNAL_ERROR, LOST)
        elif self._inside:
            self._abandon(CUT)
        else:
            self._finish(End.CUT)

    def _read_block(self, length: int) -> None:
        try:
            fd = self.bundle.fd
        except OSError as error:
            self._unreadable(str(error))
            return
        self._reading = True
        reading = self._disk.read(fd, self._offset, length)
        reading.addCallbacks(self._take, self._failed)

    def _take(self, data: bytes) -> None:
        self._reading = False
        if self._over:
            self.bundle.release()
        elif not data:
            self._unreadable("its file has been cut off")
        else:
            self._offset += len(data)
            self._pieces = self._frames.feed(data)
            self._go_on()

    def _failed(self, failure: Failure) -> None:
        failure.trap(OSError)
        self._reading = False
        if self._over:
            self.bundle.release()
        else:
            self._unreadable(failure.getErrorMessage())

    def _unreadable(self, why: str) -> None:
        self.log.error(
            "session {session}: its bundle can't be read from the spool: {why}",
            session=self.bundle.label,
            why=why,
        )
        self.bundle.unreadable()
        self._abandon("a message was cut short: the relay can't read it any more")

    def _send(self, opcode: int, end: bool, payload: bytes) -> None:
        if opcode != CONTINUATION:
            self._opcode, self._head = opcode, b""
        if self._head is not None:
            payload = self._head + payload
            if len(payload) < messages.HEAD_BYTES and not end:
                self._head = payload
                return
            self._head = None
            opcode = self._opcode
            self._begin(payload, end)
        assert self._way is not None
        self._inside = True
        data = frame(opcode, payload, end)
        self._way.send(data, len(data) - len(payload), end)
        if end:
            self._way = None
            self._inside = False
            if not self.bundle.form.series.single:
                self._phone.reception.begun(self.bundle)

    def _begin(self, payload: bytes, end: bool) -> None:
        head = payload[: messages.HEAD_BYTES]
        complete = end and len(payload) <= messages.HEAD_BYTES
        if self._opcode & COMPRESSED:
            head, complete = inflate_head(payload, messages.HEAD_BYTES, end)
        form = self.bundle.form
        parcel = Parcel(
            self._opcode,
            messages.sniff(head, complete).type,
            head,
            form.size,
            self._max_message,
            thorough=False,
            now_ms=form.began_ms,
        )
        deflate, self._deflate = self._deflate, False
        plan, self._plan = self._plan, None
        self._way = make_way(
            parcel, self.source, (self._phone,), self._refuse, self._open, deflate, plan
        )

    def _open(self, origin: Source, sinks: Sequence[Sink], separable: bool = False) -> Way:
        self._sink.hand_over(self._lane, origin)
        skip, self._skip = self._skip, 0
        return _InLane(self._sink, self._lane, skip, separable)

    def _refuse(self, code: int, reason: str) -> None:
        self._abandon(f"a message was cut short: {reason}")

    def _abandon(self, reason: str) -> None:
        if not self._over:
            self._end()
            self._sink.abandon(self._lane, reason)
            self._tell_over(self, End.CUT)

    def _finish(self, how: End) -> None:
        if not self._over:
            self._end()
            if how is End.WHOLE:
                self._phone.reception.ended(self.bundle)
            self._sink.end(self._lane)
            self._tell_over(self, how)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self.source.gone = True
        self.bundle.unwatch(self._go_on)
        if not self._reading:
            self.bundle.release()


class _InLane:
    """The last part of a message's way, into a lane that stays open behind it.

    :param skip: how many of its payload bytes the phone has.
    :param separable: whether each frame is a message of its own.
    """

    def __init__(self, sink: Sink, lane: Lane, skip: int, separable: bool) -> None:
        self._sink = sink
        self._lane = lane
        self._skip = skip
        self._separable = separable

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `passage.Way`."""
        if self._skip:
            payload = bytes(data[header:])
            skipped = min(self._skip, len(payload))
            self._skip -= skipped
            if skipped == len(payload) and (self._separable or not end):
                return
            data = frame(CONTINUATION, payload[skipped:], end)
        self._sink.pass_on(self._lane, data, False)

    def cut(self, reason: str) -> None:
        """See `passage.Way`."""
        self._sink.abandon(self._lane, reason)
