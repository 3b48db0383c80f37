"""Sends one log to one sink, at the pace of the sink.

A follower has a place in its sink's queue. At the front of the queue the sink gives it turns; at
the head of the log the log gives it each block as it comes. What it waits for is one of the states
of `follower_states`; how far it is, an offset in the log.

Small frames may go between the messages of the log: see `interleaved`.
"""

from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from apptuner_relay.flow.follower_states import (
    TRANSITIONS,
    FollowerEnd,
    FollowerEvent,
    FollowerState,
)
from apptuner_relay.flow.interleaved import Interleaved, Waiting
from apptuner_relay.flow.lane import Lane
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_interfaces import Root
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR, Frame

BLOCK_BYTES = 256 * 1024
"""About how many bytes a follower that is behind reads and offers at once."""


class Follower:
    """One sink's reader of ``log``, from the log's start on. To be given to `sink.Sink.follow`.

    :param over: called once, with how it ended; not when it is ended by `stop`.
    :param is_ready: whether it may send. Otherwise it is held, until `release`.
    :param begun: called when it has sent its first bytes, unless that has ended it.
    """

    __slots__ = (
        "_begun",
        "_between",
        "_goes_by_turns",
        "_is_stopping",
        "_log",
        "_over",
        "_sink",
        "counted_for",
        "offset",
        "state",
    )

    def __init__(
        self,
        sink: Lane["Follower"],
        log: Log,
        over: Callable[["Follower", FollowerEnd], None] | None = None,
        is_ready: bool = True,
        begun: Callable[[], None] | None = None,
    ) -> None:
        self.state = FollowerState.QUEUED if is_ready else FollowerState.HELD
        self.offset = 0
        self.counted_for: object = None
        """The source for which its place in the queue is counted, where that is counted."""
        self._sink = sink
        self._log = log
        self._over = over
        self._begun = begun
        self._is_stopping = False
        self._goes_by_turns = begun is not None
        """Whether what comes next doesn't go straight to the sink, as something is to be done
        before it or after it."""
        self._between = Interleaved()
        log.attach(self)

    @property
    def log(self) -> Log:
        """The log that it sends."""
        return self._log

    @property
    def is_inside_frame(self) -> bool:
        """Whether part of a frame has been sent."""
        return not self._log.index.ends_frame(self.offset)

    @property
    def is_due(self) -> bool:
        """Whether a turn would have it send something, or end."""
        log = self._log
        if self.state is FollowerState.HELD:
            return False
        if self._is_stopping or self.offset < log.size or log.has_ended:
            return True
        return bool(self._between) and self._between.has_due(log.index.count_messages(self.offset))

    @property
    def is_open(self) -> bool:
        """Whether more messages of its log may come."""
        return not self._log.has_ended

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state is FollowerState.OVER

    @property
    def has_sent_begun(self) -> bool:
        """Whether it has sent all messages of its log that have begun."""
        return self._log.last_begun <= self._log.index.count_messages(self.offset)

    @property
    def is_idle(self) -> bool:
        """Whether it has sent all that its log has, and that is whole messages."""
        # A log that is made of another one may have nothing yet of messages that have begun there.
        return self.state is FollowerState.HEAD and self.has_sent_begun

    @property
    def holds(self) -> Root | None:
        """The source whose messages can't go on because of it."""
        return self._log.holds if self.offset < self._log.size else None

    # What its sink calls

    def turn(self) -> None:
        """Send while there is room."""
        if self._happens(FollowerEvent.TURN):
            self._send()
            if self._begun is not None and self.offset:
                self._tell_begun(self._begun)

    def add(self, waiting: Waiting) -> None:
        """Send ``waiting`` behind the messages of the log that have begun."""
        self._between.add(self._log.last_begun, waiting)
        if self.state is FollowerState.HEAD:
            self._go_on()

    def add_notice(self, waiting: Waiting) -> None:
        """Send ``waiting``, a notice of the relay's own, behind the message that is on its way."""
        log, count = self._log, 0
        if self.offset:
            count = log.index.count_messages(self.offset)
            if log.index.message_end(count) != self.offset:
                count += 1
        self._between.add_notice(count, waiting)
        if self.state is FollowerState.HEAD:
            self._go_on()

    def release(self) -> None:
        """End the hold: it may send from now on. Harmless when it may already."""
        self._happens(FollowerEvent.RELEASED)
        self._sink.pump()

    def send_instead(self, data: bytes) -> None:
        """Have a frame sent in its place. It must not have begun. Harmless when it has ended."""
        if self.state is FollowerState.OVER:
            return
        waiting = Waiting(data, None)
        self._sink.count(waiting)
        self._between.insert(0, (0, waiting))
        self._end(FollowerEnd.WHOLE)

    def supersede(self) -> None:
        """End as soon as it is between two messages."""
        self._is_stopping = self._goes_by_turns = True
        if not self.offset:
            self._end(FollowerEnd.SUPERSEDED)
        elif self.state is FollowerState.HEAD:
            self._go_on()

    def leave(self) -> None:
        """End without calling back. It must be between messages, or the sink closed."""
        self._over = None
        self._end(FollowerEnd.SUPERSEDED)

    def stop(self) -> None:
        """End because the sink is closed. Harmless when it has ended."""
        if self._happens(FollowerEvent.ENDED):
            self._between.clear()
            self._log.detach(self)

    def rest_of_frame(self) -> bytes | None:
        """What is missing of the frame that is on its way; None where that can't be had at once."""
        return self._log.rest_of_frame(self.offset)

    # What the log calls

    def appended(self, parts: Sequence[Frame], size: int) -> None:
        """See `log_interfaces.Reader`."""
        sink = self._sink
        if self.state is FollowerState.QUEUED:
            # The one at the front may have nothing to send.
            sink.pump()
            return
        if self.state is not FollowerState.HEAD:
            return
        if self._between or self._goes_by_turns or not sink.takes_parts or sink.has_others:
            self._go_on()
            return
        self.offset += sink.offer(parts, size)
        if sink.full:
            self._happens(FollowerEvent.FILLED_UP)
            self._log.fell_behind(self)

    def ended(self) -> None:
        """See `log_interfaces.Reader`."""
        log = self._log
        if log.state is LogState.CUT and self.offset > log.whole:
            self._break(log.why)
        elif log.state is LogState.CUT and not self.offset:
            self._end(FollowerEnd.CUT)
        elif self.state is FollowerState.HEAD:
            self._go_on()

    def _tell_begun(self, begun: Callable[[], None]) -> None:
        """It has sent its first bytes: from now on nobody needs to look for that."""
        self._begun = None
        self._goes_by_turns = self._is_stopping
        if self.state is not FollowerState.OVER:
            begun()

    def _go_on(self) -> None:
        """Send what there is now, and what waits behind it."""
        self.turn()
        self._sink.pump()

    def _happens(self, event: FollowerEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _send(self) -> None:
        sink, log = self._sink, self._log
        while True:
            if sink.full:
                self._happens(FollowerEvent.FILLED_UP)
                return
            at, is_cut = self.offset, log.state is LogState.CUT
            if sink.expects_control and log.index.ends_frame(at) and not sink.send_controls():
                continue
            count = log.index.count_messages(at)
            is_between = not at or log.index.message_end(count) == at
            if is_between and not self._send_between(count):
                continue
            if self.state is FollowerState.OVER:
                return
            if is_between and self._is_stopping and at < log.size:
                self._end(FollowerEnd.SUPERSEDED)
                return
            stop = log.whole if is_cut else log.size
            if at >= stop:
                self._arrive(is_between)
                return
            if not self._send_block(at, stop, count):
                return

    def _send_between(self, count: int) -> bool:
        """Send the frames that go behind ``count`` messages, which have been sent. Returns whether
        there is room left."""
        between = self._between
        while between.has_due(count):
            if not self._sink.send_waiting(between.take()):
                return False
        return True

    def _arrive(self, is_between: bool) -> None:
        """All that there is of the log has been sent: wait for more, or end."""
        if not self._log.has_ended:
            if self._is_stopping and is_between:
                self._end(FollowerEnd.SUPERSEDED)
            else:
                self._happens(FollowerEvent.CAUGHT_UP)
                self._log.caught_up(self)
                self._yield()
        elif self._log.state is LogState.COMPLETE:
            self._end(FollowerEnd.WHOLE)
        elif is_between:
            self._end(FollowerEnd.CUT)
        else:
            self._break(self._log.why)

    def _yield(self) -> None:
        """Let others of the queue go first, where the next message hasn't begun."""
        sink = self._sink
        if sink.has_others and self.has_sent_begun and sink.let_others_go(self):
            self._happens(FollowerEvent.YIELDED)
            sink.pump()

    def _send_block(self, at: int, stop: int, count: int) -> bool:
        """Send what is next. Returns whether to go on."""
        sink, log = self._sink, self._log
        if sink.expects_control:
            until = log.index.next_frame_end(at)
        else:
            until = log.index.last_frame_end(at, BLOCK_BYTES)
        if self._between or self._is_stopping:
            # No further than to the end of the message.
            until = min(until, log.index.message_end(count + 1) or stop)
        until = min(until, stop)
        try:
            parts = log.read(at, until - at)
        except OSError as error:
            self._lose(f"it can't be read any more: {error.strerror}")
            return False
        if parts is None:
            self._happens(FollowerEvent.MISSED)
            log.fetch(at, until - at).addCallbacks(self._fetched, self._failed)
            return False
        return self._offer(parts)

    def _offer(self, parts: Sequence[Frame]) -> bool:
        """Send ``parts``, which were read. Returns whether there was anything."""
        size = sum(map(len, parts))
        if not size:
            self._lose("its file has been cut off")
            return False
        self.offset += self._sink.offer(parts, size)
        self._log.advanced()
        return True

    def _fetched(self, data: bytes) -> None:
        if not self._happens(FollowerEvent.READ):
            return
        if self._sink.full:
            self._happens(FollowerEvent.FILLED_UP)
            return
        log = self._log
        if log.state is LogState.CUT and log.whole <= self.offset + len(data):
            # It was cut while the disk was read.
            data = data[: log.whole - self.offset]
            is_there = not data or self._offer((data,))
        else:
            is_there = self._offer((data,))
        if self._begun is not None and self.offset:
            self._tell_begun(self._begun)
        if is_there and self.state is FollowerState.SENDING:
            self._send()
        self._sink.pump()

    def _failed(self, failure: Failure) -> None:
        failure.trap(OSError)
        if self._happens(FollowerEvent.READ):
            self._lose(f"it can't be read any more: {failure.getErrorMessage()}")

    def _lose(self, why: str) -> None:
        """Nothing more can be read of the log: end."""
        if self.offset:
            self._break(why)
        else:
            self._end(FollowerEnd.CUT)

    def _break(self, why: str) -> None:
        self._end(FollowerEnd.BROKEN, why)

    def _end(self, how: FollowerEnd, why: str = "") -> None:
        if self.state is FollowerState.OVER:
            return
        sink, over = self._sink, self._over
        if how is FollowerEnd.BROKEN:
            # Before anything else is sent behind the part of a message.
            sink.cut(CLOSE_INTERNAL_ERROR, f"a message was cut short: {why}")
        left = self._between.frames()
        self.stop()
        if over is not None:
            over(self, how)
        if how is not FollowerEnd.BROKEN:
            # With what was said when it was over.
            sink.follower_ended(self, (*left, *self._between.frames()))
