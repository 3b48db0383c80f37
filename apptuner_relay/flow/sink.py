"""What goes out to one member: small messages, each a whole frame, and the logs that it follows.

A sink sends one message after the other, in the order in which they began. What can't be sent yet
waits in its queue (`send_queue`), counted by source (`backlog`): a source is held while more than
the window of what it sent waits. A follower of a log holds no source: it costs an offset.

A control frame goes at the next frame boundary; what the relay itself says, between two messages.
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from apptuner_relay.flow.backlog import Backlog
from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.interleaved import Waiting
from apptuner_relay.flow.log_block import cut_out
from apptuner_relay.flow.outlet import Outlet
from apptuner_relay.flow.send_queue import SendQueue
from apptuner_relay.flow.sink_states import TRANSITIONS, SinkEvent, SinkState
from apptuner_relay.flow.slow_consumers import PATIENCE_S, SlowConsumers
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.frames import CLOSE_TRY_AGAIN_LATER, Frame

_MOST_LOGS = 8
"""How many logs of one source may wait in one sink, of long messages that are no bundles."""
_SEVERAL = object()
"""What the rest of frames is counted for when they are of several sources."""
# A global costs less than an attribute of an Enum, and these are looked at for each message.
_READY, _FULL, _CLOSED = SinkState.READY, SinkState.FULL, SinkState.CLOSED
_PILED_UP = "too slow: notices pile up unread"


@implementer(IPushProducer)
class Sink:
    """What goes out to one member: a producer for the member's transport.

    :param outlet: the transport's side.
    :param cut: called with a close code and a reason when this member can't be served any longer.
    :param window: how many bytes of one source may wait here, and how many of the relay's own
        notices.
    :param slow: watches this sink while it is full.
    """

    def __init__(
        self, outlet: Outlet, cut: Callable[[int, str], None], window: int, slow: SlowConsumers
    ) -> None:
        self._outlet = outlet
        self._cut = cut
        self._window = window
        self._slow = slow
        self.state = _READY
        self._fresh: list[Frame] = []
        """What the next `flush` sends: nothing waits in front of it."""
        self._rest: Waiting | None = None
        """The rest of frames of which the transport took a part."""
        # Nearly always empty: an empty list takes 56 bytes, an empty deque 624.
        self._controls: list[Waiting] = []
        self._queue = SendQueue()
        self._backlog = Backlog(window)
        self._is_pumping = False
        self._idle_call: Callable[[], None] | None = None
        self.patience_s = PATIENCE_S
        """See `slow_consumers.Consumer`."""
        self.written = 0
        """Bytes given to the transport so far."""
        self.drains = 0
        """How often there was room again after the transport was full: the peer reads."""

    # How it is

    @property
    def takes_parts(self) -> bool:
        """See `Outlet`."""
        return self._outlet.takes_parts

    @property
    def full(self) -> bool:
        """Whether the transport takes no more for now."""
        return self.state is _FULL

    @property
    def closed(self) -> bool:
        """Whether nothing is sent any more."""
        return self.state is _CLOSED

    @property
    def delivered(self) -> int:
        """Bytes that have reached the peer so far, as far as the transport can tell."""
        return self.written - self._outlet.unsent()

    @property
    def waiting(self) -> int:
        """How many bytes wait here in memory, overhead included."""
        return self._backlog.size

    @property
    def busy(self) -> bool:
        """Whether it has anything left to send, or is in the middle of a message."""
        return self.state is _FULL or self._queue.is_busy

    @property
    def expects_more(self) -> bool:
        """Whether it is in the middle of a log's messages, or is to send them."""
        return self._queue.expects_more

    @property
    def expects_control(self) -> bool:
        """Whether a control frame waits for room."""
        return bool(self._controls)

    @property
    def holding(self) -> set[Source]:
        """The sources that are held because of this sink."""
        return self._queue.held_sources | self._backlog.over

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call back once, when nothing is left to send; now, if that is so."""
        if self.busy:
            self._idle_call = call
        else:
            call()

    # What is sent

    def send(self, data: Frame, source: Source | None) -> None:
        """Send a message that is one frame, which is good until the source's flush."""
        if not self._queue and self.state is _READY:
            if source is not None and self not in source.fed:
                source.fed.append(self)
            self._fresh.append(data)
            return
        if self.state is _CLOSED:
            return
        follower = self._queue.follower_for(source)
        waiting = Waiting(bytes(data), source)
        self.count(waiting)
        if follower is not None:
            follower.add(waiting)
            if self._backlog.over or len(self._queue) > 1:
                self.pump()
        else:
            self._queue.append(waiting)

    def send_now(self, data: bytes, source: Source) -> None:
        """Send a message that is one frame, and do not wait for the source's flush."""
        if self._queue or self._fresh or self.state is not _READY:
            self.send(data, source)
            self.flush(source)
            return
        taken = self.offer((data,), len(data))
        if taken < len(data):
            self._keep_rest((data,), taken, source)

    def send_all(self, frames: Sequence[Frame], source: Source) -> None:
        """Send several messages that are one frame each."""
        if self._queue or self.state is not _READY:
            for data in frames:
                self.send(data, source)
            return
        if self not in source.fed:
            source.fed.append(self)
        self._fresh.extend(frames)

    def say(self, data: bytes, on_behalf_of: Source | None = None) -> None:
        """Send a message of the relay's own, as soon as there is a place between two others.

        ``on_behalf_of`` is the source whose request this answers: it is held while answers pile up.
        Other notices are bounded by the window; a sink of which more wait is cut.
        """
        if self.state is _CLOSED:
            return
        if not self._queue and self.state is _READY:
            self._fresh.append(data)
            self.flush(None)
            return
        waiting = Waiting(data, on_behalf_of)
        self.count(waiting)
        if self._backlog.size_of(None) > self._window:
            self.cut(CLOSE_TRY_AGAIN_LATER, _PILED_UP)
            return
        self._queue.add_notice(waiting)
        self.pump()

    def control(self, data: bytes, source: Source | None) -> None:
        """Send a control frame: at the next frame boundary, not behind messages that wait
        (RFC 6455 §5.5). ``source`` is whom it answers, and is held while answers pile up."""
        if self.state is _CLOSED:
            return
        front = self._queue.front
        if self.state is _FULL or (isinstance(front, Follower) and front.is_inside_frame):
            waiting = Waiting(data, source)
            self._controls.append(waiting)
            self.count(waiting)
        else:
            self._fresh.append(data)
            self.flush(source)

    def follow(self, follower: Follower, source: Source | None = None) -> None:
        """Send a log at the pace of the peer.

        :param source: whose log it is, where it may have many: the source is held while more than
            `_MOST_LOGS` of them wait.
        """
        if self.state is _CLOSED or follower.is_over:
            follower.stop()
            return
        if source is not None and self.busy:
            follower.counted_for = source
            self._count(source, self._window // _MOST_LOGS)
        self._queue.append(follower)
        self.pump()

    def flush(self, source: Source | None) -> None:
        """Offer what was sent to the transport. What it doesn't take is copied."""
        if not self._fresh or self.state is _CLOSED:
            return
        parts, self._fresh = self._fresh, []
        size = sum(map(len, parts))
        taken = self.offer(parts, size)
        if taken < size:
            self._keep_rest(parts, taken, source)

    def cut(self, code: int, reason: str) -> None:
        """Close this sink, and have the member's connection closed."""
        if self.state is not _CLOSED:
            self.close()
            self._cut(code, reason)

    def close(self) -> None:
        """Forget what waits and let every source go. Only a frame of which a part was sent still
        gets its rest, so that a Close can follow it."""
        if not self._happens(SinkEvent.CLOSED):
            return
        self._idle_call = None
        self._slow.discard(self)
        rest = self._queue.rest_of_frame(self._fresh) if self._rest is None else self._rest.data
        followers = self._queue.take_followers()
        for each in (self._fresh, self._controls, self._backlog):
            each.clear()
        self._rest = None
        for follower in followers:
            follower.stop()
        if rest is None:
            self._outlet.abort()
        elif rest:
            self._outlet.write(rest)
            self.written += len(rest)
        self._release()

    # What the transport calls

    def pauseProducing(self) -> None:
        """The transport has enough."""
        if self._happens(SinkEvent.FILLED_UP):
            self._slow.add(self)

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self.state is _CLOSED:
            return
        self._happens(SinkEvent.DRAINED)
        self.drains += 1
        self.pump()
        if self.state is not _FULL and not self._backlog.over:
            self._slow.discard(self)

    def stopProducing(self) -> None:
        """The transport is gone."""
        if self.state is not _CLOSED:
            # Nothing of it can be sent.
            for follower in self._queue.take_followers():
                follower.stop()
            self._fresh.clear()
            self._rest = None
        self.close()

    # What its followers call: `lane.Lane`

    def offer(self, parts: Sequence[Frame], size: int) -> int:
        """See `lane.Lane`."""
        if self._fresh:
            self.flush(None)
        if self.state is _FULL:
            return 0
        taken = self._outlet.offer(parts)
        self.written += taken
        if taken < size:
            self.pauseProducing()
        return taken

    def send_controls(self) -> bool:
        """See `lane.Lane`."""
        controls, self._controls = self._controls, []
        return self._send_small(controls)

    def send_waiting(self, waiting: Waiting) -> bool:
        """See `lane.Lane`."""
        return self._send_small([waiting])

    @property
    def has_others(self) -> bool:
        """See `lane.Lane`."""
        return len(self._queue) > 1

    def let_others_go(self, follower: Follower) -> bool:
        """See `lane.Lane`."""
        return self._queue.move_to_end(follower)

    def count(self, waiting: Waiting) -> None:
        """See `lane.Lane`."""
        self._count(waiting.source, waiting.cost)

    def pump(self) -> None:
        """See `lane.Lane`."""
        if self._is_pumping or self.state is _CLOSED:
            return
        self._is_pumping = True
        try:
            while self.state is _READY and self._send_next():
                pass
        finally:
            self._is_pumping = False
        if self.state is _CLOSED:
            return
        if self._backlog.over:
            self._release()
        if self._idle_call is not None and not self.busy:
            call, self._idle_call = self._idle_call, None
            call()

    def follower_ended(self, follower: Follower, left: Sequence[Waiting]) -> None:
        """See `lane.Lane`."""
        if self.state is _CLOSED:
            return
        if follower.counted_for is not None:
            self._count(follower.counted_for, -(self._window // _MOST_LOGS))
        # It has no place where it was over before it got one.
        if self._queue.replace(follower, left):
            self.pump()

    # Within

    def _happens(self, event: SinkEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _keep_rest(self, parts: Sequence[Frame], taken: int, source: Source | None) -> None:
        rest = b"".join(cut_out(parts, taken, sum(map(len, parts))))
        self._rest = Waiting(rest, _SEVERAL if source is None else source)
        self.count(self._rest)

    def _count(self, source: object, size: int) -> None:
        """Count ``size`` more bytes of ``source`` that wait; fewer, where that is negative."""
        if self._backlog.count(source, size) and isinstance(source, Source):
            self._slow.add(self)
            source.hold(self)

    def _send_small(self, several: Sequence[Waiting]) -> bool:
        """Send ``several`` that waited, and keep what the transport doesn't take. Returns whether
        there is room left."""
        parts = [waiting.data for waiting in several]
        for waiting in several:
            self._count(waiting.source, -waiting.cost)
        size = sum(map(len, parts))
        taken = self.offer(parts, size)
        if taken < size:
            self._keep_rest(parts, taken, None)
        return self.state is not _FULL

    def _send_next(self) -> bool:
        """Send what is next. Returns whether more may follow at once."""
        self.flush(None)
        if self.state is _FULL:
            return False
        if self._rest is not None:
            rest, self._rest = self._rest, None
            return self._send_small([rest])
        front = self._queue.front
        if isinstance(front, Follower):
            # It sends control frames itself, where it can send.
            if self._controls and not front.is_inside_frame and not self.send_controls():
                return False
            front.turn()
            return self._queue.front is not front
        controls, self._controls = self._controls, []
        several = controls + self._queue.take_frames()
        if several:
            self._send_small(several)
        return bool(self._queue)

    def _release(self) -> None:
        """Let those sources go of which no more than the window waits."""
        for source in self._backlog.take_released():
            source.let_go(self)
