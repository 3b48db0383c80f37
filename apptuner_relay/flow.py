"""One source, several sinks: bounded windows, pause and resume. Every member goes through here.

A `Source` is what comes in from a member, a `Sink` what goes out to one; a `passage.Passage` is
one message of several pieces on its way between them. What goes to a sink are whole frames, so a
connection can be closed cleanly between any two of them.

- A sink takes one message after the other, in the order in which they began. What can't go out yet
  waits in the message's lane; messages that wait take their turn whole.
- A source is held (paused) while a sink that it feeds is full, or has more than its window of that
  source's waiting behind messages of others. What waits is counted by source: a message at the
  front must never be held for what waits behind it, or neither would ever go on.
- A sink that is too slow for the others is found by `slow.SlowSinks`: it leaves them for the spool
  where it can, and is cut where not. How long a source has stopped in mid-message is told by
  `Source.stalled`.

Frames that come from a source may be views of the buffer that its connection receives into. They
are good until `Source.flush`, which the connection calls when it has taken in a block: what a sink
didn't get rid of by then, it has copied.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from apptuner_relay.rests import Frame as Frame
from apptuner_relay.rests import Rest, keep_what_is_left
from apptuner_relay.slow import SlowSinks
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR, CLOSE_TRY_AGAIN_LATER, FIN

if TYPE_CHECKING:
    from apptuner_relay.bundles.spooled import SpooledBundle
    from apptuner_relay.passage import Passage
    from apptuner_relay.wire.chunks import Plan

_OVERHEAD_BYTES = 200
"""What a frame that waits costs beside its bytes; else a window could be filled with thousands of
times its size in empty frames."""
_GATHER_BYTES = 128 * 1024
"""How much of what waits is offered to the transport at once."""
_PILED_UP = "too slow: notices pile up unread"


class Outlet(Protocol):
    """Where a sink sends to."""

    def offer(self, parts: Sequence[Frame]) -> int:
        """Send as much of ``parts`` as can be sent now; returns how many bytes that was. When it
        wasn't all, the sink's ``resumeProducing`` is called once there is room again."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``, whatever there is room for."""

    def unsent(self) -> int:
        """How many bytes the system holds that haven't reached the peer; 0 if it can't be told."""


class Source:
    """What comes in from one member.

    :param pause, resume: stop and start reading from the member's transport.
    :param origin: the source that feeds this one, where that is so.
    """

    def __init__(
        self,
        pause: Callable[[], None],
        resume: Callable[[], None],
        origin: "Source | None" = None,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._origin = origin
        self._gone = False
        self._holders: set[object] = set()
        self._waiting_since_s: float | None = None
        self.feeds: Sequence[Sink] = ()
        """The sinks of the message that is passing, or of the last one."""
        self.fed: list[Sink] = []
        """Sinks that have frames of this source to `flush`."""
        self.bundle: SpooledBundle | None = None
        """The bundle that is kept of what comes from here; the last one, once it is complete."""
        self.deflated = False
        """Whether this source compresses what its origin sent plain."""
        self.plan: Plan | None = None
        """How this source cuts what its origin sends in one message, where it does."""

    @property
    def root(self) -> "Source":
        """The source that all of this comes from."""
        return self if self._origin is None else self._origin.root

    @property
    def gone(self) -> bool:
        """Whether the member has gone; what it sent whole is still on its way."""
        return self._gone or (self._origin is not None and self._origin.gone)

    @gone.setter
    def gone(self, gone: bool) -> None:
        self._gone = gone

    @property
    def held(self) -> bool:
        """Whether reading is stopped."""
        return bool(self._holders)

    def held_by(self, holder: object) -> bool:
        """Whether ``holder`` is one of those for whom reading is stopped."""
        return holder in self._holders

    def hold(self, holder: object) -> None:
        """Stop reading, until ``holder`` lets go."""
        if not self._holders:
            self._pause()
        self._holders.add(holder)

    def let_go(self, holder: object) -> None:
        """Read on, once nobody else holds this source either."""
        if holder in self._holders:
            self._holders.discard(holder)
            if not self._holders:
                self._resume()

    def flush(self) -> None:
        """A block has been taken in: send what it brought."""
        fed = self.fed
        for sink in fed:
            sink.flush(self, keep=False)
        keep_what_is_left(fed)
        fed.clear()
        self._waiting_since_s = None

    def stalled(self, now_s: float) -> float:
        """For how many seconds a message in progress has waited for its next block.

        Call it at intervals: the time is counted from the first call that finds it waiting.
        """
        if self.held:
            self._waiting_since_s = None
            return 0.0
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s


class Lane:
    """One message's place in a sink's queue, with those of its frames that wait.

    ``separable`` is a lane of several messages, between which notices may go; those that came in
    the middle of one wait in ``notices``.
    """

    __slots__ = (
        "begun",
        "ended",
        "frames",
        "inside",
        "notice_bytes",
        "notices",
        "passage",
        "separable",
        "source",
    )

    def __init__(self, source: Source | None, separable: bool = False) -> None:
        self.source = source
        self.separable = separable
        self.frames: list[bytes] = []
        self.begun = False
        self.ended = False
        self.inside = False
        """Whether what was sent of it ends in the middle of a message."""
        self.notices: list[tuple[bytes, Source | None]] = []
        self.notice_bytes = 0
        self.passage: Passage | None = None
        """What fills it."""


@implementer(IPushProducer)
class Sink:
    """What goes out to one member: a producer for the member's transport.

    :param outlet: the transport's side.
    :param slow: watches this sink while it is full.
    :param cut: called with a close code and a reason when this member can't be served any longer.
    :param leave: called when this sink is too slow for others; whether it holds them up no longer.
    :param window: how many bytes of one source may wait here behind messages of others, and how
        many of the relay's own notices.
    """

    def __init__(
        self,
        outlet: Outlet,
        cut: Callable[[int, str], None],
        window: int,
        slow: SlowSinks,
        leave: Callable[[], bool] = lambda: False,
    ) -> None:
        self.leave = leave
        self._outlet = outlet
        self._cut = cut
        self._window = window
        self._slow = slow
        self._fresh: list[Frame] = []
        self.left: Rest | None = None
        """What the transport didn't take, while that may be of a receive buffer: until `keep`."""
        self._rest: list[Frame] = []
        """What it didn't take, for good."""
        self._controls: deque[tuple[bytes, Source | None]] = deque()
        self._queue: deque[Lane] = deque()
        self._waiting: dict[Source | None, int] = {}
        self._notice_bytes = 0
        self._full = False
        self._closed = False
        self._idle_call: Callable[[], None] | None = None
        self._holding: set[Source] = set()
        self.written = 0
        """Bytes given to the transport so far."""
        self.drains = 0
        """How often there was room again after the transport was full: the peer reads."""

    @property
    def full(self) -> bool:
        """Whether the transport takes no more for now."""
        return self._full

    @property
    def closed(self) -> bool:
        """Whether nothing is sent any more."""
        return self._closed

    @property
    def delivered(self) -> int:
        """Bytes that have reached the peer so far, as far as the transport can tell."""
        return self.written - self._outlet.unsent()

    @property
    def waiting(self) -> int:
        """How many bytes wait here, overhead included."""
        return sum(map(len, self._rest)) + sum(self._waiting.values())

    @property
    def busy(self) -> bool:
        """Whether it has anything left to send."""
        return self._full or bool(self._queue)

    @property
    def expects_more(self) -> bool:
        """Whether it is in the middle of a message, or waits for one that has begun."""
        return any(not lane.ended for lane in self._queue)

    @property
    def expects_control(self) -> bool:
        """Whether a control frame waits for room."""
        return bool(self._controls)

    @property
    def over_window(self) -> bool:
        """Whether more waits here than may wait of one source."""
        return self.waiting > self._window

    @property
    def holding(self) -> frozenset[Source]:
        """The sources that are paused because of this sink."""
        return frozenset(self._holding)

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call back once, when nothing is left to send; now, if that is so."""
        if self.busy:
            self._idle_call = call
        else:
            call()

    def say(self, data: bytes, on_behalf_of: Source | None = None) -> None:
        """Send a frame of the relay's own, between messages.

        ``on_behalf_of`` is whose request this answers: it is held while answers pile up. Other
        notices are bounded by the window; a sink that lets more pile up is cut.
        """
        if self._queue and self._queue[0].separable and not self._notice_bytes:
            front = self._queue[0]
            if front.inside and not self._closed:
                front.notices.append((data, on_behalf_of))
                self._add(data, on_behalf_of)
            else:
                self.control(data, on_behalf_of)
            if self._waiting.get(None, 0) > self._window:
                self.cut(CLOSE_TRY_AGAIN_LATER, _PILED_UP)
            return
        lane = self.send(data, on_behalf_of)
        if on_behalf_of is not None:
            return
        self.flush(None)
        if lane is not None:
            lane.notice_bytes = len(data)
            self._notice_bytes += len(data)
            if self._notice_bytes > self._window:
                self.cut(CLOSE_TRY_AGAIN_LATER, _PILED_UP)

    def control(self, data: bytes, source: Source | None) -> None:
        """Send a control frame: at the next frame boundary, not behind messages that wait
        (RFC 6455 §5.5). ``source`` is whom it answers, and is held while answers pile up."""
        if self._closed:
            return
        if self._full:
            self._controls.append((data, source))
            self._add(data, source)
        else:
            self._fresh.append(data)
            self.flush(source)

    def send(self, data: Frame, source: Source | None) -> Lane | None:
        """Send a message that is one frame. Returns its place in the queue, if it has to wait."""
        if self._closed:
            return None
        if not self._queue and not self._full:
            self._put(data, source)
            return None
        lane = self.open_lane(source)
        lane.ended = True
        self._wait(lane, bytes(data))
        return lane

    def send_all(self, frames: Sequence[Frame], source: Source) -> None:
        """Send several messages that are one frame each."""
        if self._closed:
            return
        if self._queue or self._full:
            for data in frames:
                self.send(data, source)
            return
        self._fed_by(source)
        self._fresh.extend(frames)

    def open_lane(self, source: Source | None, separable: bool = False) -> Lane:
        """Take a place in the queue for a message of several frames; or, ``separable``, for
        several messages."""
        lane = Lane(source, separable)
        self._queue.append(lane)
        return lane

    def pass_on(self, lane: Lane, data: Frame, end: bool) -> None:
        """Send one more frame of a message; ``end`` says that it is the last one."""
        if self._closed:
            return
        lane.ended = end
        if self._full or lane.frames or self._queue[0] is not lane:
            self._wait(lane, bytes(data))
            return
        lane.begun = True
        self._put(data, lane.source)
        if lane.separable:
            self._fresh.extend(self._notices_behind(lane, data))
        if end:
            self._queue.popleft()
            if self._queue:
                self.flush(lane.source)
                self._pump()

    def end(self, lane: Lane) -> None:
        """Nothing more comes in ``lane``, whose last frame was the end of a message."""
        if self._closed or lane.ended:
            return
        lane.ended = True
        if not self._full:
            self._pump()

    def hand_over(self, lane: Lane, source: Source) -> None:
        """From now on ``source`` fills ``lane``, with more messages behind the one in progress, and
        is held for what waits in it."""
        if not lane.separable:
            lane.separable = True
            lane.inside = lane.begun
        if self._closed or lane.source is source:
            return
        for data in lane.frames:
            self._subtract(data, lane.source)
        lane.source = source
        for data in lane.frames:
            self._add(data, source)
        if self._full:
            self._hold(source)

    def let_go(self, root: Source) -> None:
        """Hold up ``root``, and what is made of it, no longer for what waits here."""
        for source in [one for one in self._holding if one.root is root]:
            self._holding.discard(source)
            source.let_go(self)

    def open_lane_of(self, root: Source) -> Lane | None:
        """The lane of the message from ``root`` that is in progress here."""
        for lane in self._queue:
            if not lane.ended and lane.source is not None and lane.source.root is root:
                return lane
        return None

    def abandon(self, lane: Lane, reason: str) -> None:
        """The message of ``lane`` will have no end. One that nothing was sent of just vanishes;
        any other can only be ended by closing the connection."""
        if self._closed or lane.ended:
            return
        if lane.begun:
            self.cut(CLOSE_INTERNAL_ERROR, reason)
            return
        lane.ended = True
        for data in lane.frames:
            self._subtract(data, lane.source)
        self._queue.remove(lane)
        if not self._full:
            self._pump()

    def flush(self, source: Source | None, keep: bool = True) -> None:
        """Offer what has been put to the transport; ``source`` is where it came from. What is left
        is copied, unless who calls does that with `keep`."""
        if self._fresh:
            parts, self._fresh = self._fresh, []
            self.left = self._offer(parts)
            if keep and self.left is not None:
                self.keep(self.left.copy())
        if self._full and not self._closed and source is not None:
            self._hold(source)

    def keep(self, rest: Frame) -> None:
        """Keep ``rest`` of what was `left`, of which nobody writes over the bytes."""
        self.left = None
        if not self._closed:
            self._rest = [rest]

    def cut(self, code: int, reason: str) -> None:
        """Give this member up."""
        if not self._closed:
            self.close()
            self._cut(code, reason)

    def close(self) -> None:
        """Forget what waits and let every source go. Only a frame that is partly sent still gets
        its rest, so that a Close can follow it."""
        if self._closed:
            return
        self._closed = True
        self._idle_call = None
        self._slow.discard(self)
        left = self._rest if self.left is None else self.left.views()
        rest = b"".join([*left, *self._fresh])
        self._rest = []
        self.left = None
        self._fresh.clear()
        self._controls.clear()
        self._queue.clear()
        self._waiting.clear()
        if rest:
            self._outlet.write(rest)
            self.written += len(rest)
        self._release()

    def pauseProducing(self) -> None:
        """The transport has enough."""
        if not self._full and not self._closed:
            self._full = True
            self._slow.add(self)

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self._closed:
            return
        self._full = False
        self.drains += 1
        self._pump()
        self._off_trial()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self._rest = []
        self.left = None
        self._fresh.clear()
        self.close()

    def _put(self, data: Frame, source: Source | None) -> None:
        """``data`` is next; the transport wasn't full when last asked."""
        self._fed_by(source)
        self._fresh.append(data)

    def _fed_by(self, source: Source | None) -> None:
        if source is not None and self not in source.fed:
            source.fed.append(self)

    def _wait(self, lane: Lane, data: bytes) -> None:
        lane.frames.append(data)
        self._add(data, lane.source)

    def _add(self, data: bytes, source: Source | None) -> None:
        waiting = self._waiting.get(source, 0) + len(data) + _OVERHEAD_BYTES
        self._waiting[source] = waiting
        if source is not None and (self._full or waiting > self._window):
            self._hold(source)

    def _subtract(self, data: bytes, source: Source | None) -> None:
        waiting = self._waiting[source] - len(data) - _OVERHEAD_BYTES
        if waiting:
            self._waiting[source] = waiting
        else:
            del self._waiting[source]

    def _hold(self, source: Source) -> None:
        self._holding.add(source)
        self._slow.add(self)
        source.hold(self)

    def _offer(self, parts: Sequence[Frame]) -> Rest | None:
        """Send what can be sent now; returns what can't."""
        size = sum(map(len, parts))
        taken = self._outlet.offer(parts)
        self.written += taken
        if taken == size:
            return None
        self.pauseProducing()
        return Rest(parts, taken)

    def _pump(self) -> None:
        """Send what waits, as far as there is room."""
        self.flush(None)
        while not self._full and (parts := self._gather()):
            left = self._offer(parts)
            self._rest = [] if left is None else left.views()
        if self._holding and not self._full:
            self._release()
        if self._idle_call is not None and not self.busy:
            call, self._idle_call = self._idle_call, None
            call()

    def _gather(self) -> list[Frame]:
        """Take what is next out of what waits: the rest of a frame, then control frames, then
        messages in their order, up to one that hasn't come further."""
        parts, self._rest = self._rest, []
        size = sum(map(len, parts))
        while self._controls:
            data, source = self._controls.popleft()
            self._subtract(data, source)
            parts.append(data)
        while self._queue and size < _GATHER_BYTES:
            lane = self._queue[0]
            if lane.frames:
                data = lane.frames.pop(0)
                lane.begun = True
                self._subtract(data, lane.source)
                size += len(data)
                parts.append(data)
                if lane.separable:
                    parts += self._notices_behind(lane, data)
            elif lane.ended:
                self._queue.popleft()
                self._notice_bytes -= lane.notice_bytes
            else:
                break
        return parts

    def _notices_behind(self, lane: Lane, data: Frame) -> list[bytes]:
        """What of the relay's own may go behind a frame of ``lane``."""
        lane.inside = not data[0] & FIN
        if lane.inside or not lane.notices:
            return []
        notices, lane.notices = lane.notices, []
        for data, source in notices:
            self._subtract(data, source)
        return [data for data, _ in notices]

    def _release(self) -> None:
        """Let those go that have no more than the window waiting."""
        over = {one for one in self._holding if self._waiting.get(one, 0) > self._window}
        holding, self._holding = self._holding, over
        for source in holding - over:
            source.let_go(self)
        self._off_trial()

    def _off_trial(self) -> None:
        if not self._full and not self._holding:
            self._slow.discard(self)
