"""The pings of a connection: to find a peer that is dead, and to measure the round trip."""

from collections.abc import Callable

from apptuner_relay.edge.closing_handshake import ClosingHandshake
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.edge.keepalive import Keepalive, KeepaliveAction
from apptuner_relay.edge.round_trip_meter import RoundTripMeter
from apptuner_relay.relay.frame_handler import FrameHandler
from apptuner_relay.relay.service import RelayService
from apptuner_relay.support.round_trip import RoundTrip
from apptuner_relay.wire.frames import CLOSE_POLICY, PING, frame

NO_ANSWER = "no answer to a ping"


class PingedConnection:
    """A base class of `websocket.FramedConnection`."""

    frame_handler: FrameHandler | None
    closing: ClosingHandshake
    relay: RelayService
    """The service that the connection belongs to."""
    on_round_trip: Callable[[float], None] | None = None
    """Called with each round trip that is measured, in seconds."""
    _keepalive: Keepalive
    _meter: RoundTripMeter
    _answered: Callable[[], None] | None = None
    """Called when the peer answers a ping."""

    def close(self, code: int, reason: str) -> None:
        """See `frame_handler.Connection`."""
        raise NotImplementedError

    def begin_pings(self) -> None:
        """The connection is open."""
        limits, now_s = self.relay.settings.limits, self.relay.clock.seconds()
        self._keepalive = Keepalive(limits.ping_interval, limits.ping_timeout, now_s)
        self._meter = RoundTripMeter(now_s)

    def check_alive(self, now_s: float) -> None:
        """Ping a peer that is silent, and close one that doesn't answer; see `Keepalive`. Called at
        intervals."""
        handler = self.frame_handler
        if handler is None or self.closing.state is not ClosingState.OPEN:
            return
        keepalive = self._keepalive
        action = keepalive.look(now_s, handler.sink.drains, handler.source.held)
        if action is KeepaliveAction.PING:
            # One ping in the queue is enough.
            if not handler.sink.expects_control:
                self._ping(handler, now_s)
        elif action is KeepaliveAction.DROP:
            self.fell_silent()
        elif self._meter.is_due(now_s, keepalive.heard_s) and not (
            keepalive.is_asked or handler.source.held or handler.sink.busy
        ):
            self._ping(handler, now_s)

    def fell_silent(self) -> None:
        """The peer has answered no ping. Its network may return: the Close then tells it to connect
        again."""
        self.close(CLOSE_POLICY, NO_ANSWER)

    @property
    def heard_s(self) -> float:
        """When something was received last, in seconds of the clock."""
        return self._keepalive.heard_s

    @property
    def round_trip(self) -> RoundTrip | None:
        """See `frame_handler.Connection`."""
        return self._meter.last

    def last_heard_s(self) -> float:
        """See `frame_handler.Connection`."""
        handler = self.frame_handler
        if handler is None:
            return self.heard_s
        return self._keepalive.last_sign_s(
            self.relay.clock.seconds(), handler.sink.drains, handler.source.held
        )

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `frame_handler.Connection`."""
        handler, now_s = self.frame_handler, self.relay.clock.seconds()
        if handler is None or self.closing.state is not ClosingState.OPEN:
            return None
        if self._keepalive.was_heard_lately(now_s):
            if answered is not None:
                answered()
            return None
        if answered is not None:
            self._answered = answered
        if self._keepalive.ask(now_s, handler.sink.drains):
            self._ping(handler, now_s)
        return self._keepalive.since_s

    def _ping(self, handler: FrameHandler, now_s: float) -> None:
        sink = handler.sink
        is_alone = not (sink.busy or handler.source.held)
        sink.control(frame(PING, self._meter.ping(now_s, is_alone)), None)

    def pong_received(self, payload: bytes) -> None:
        """The peer has answered a ping, or says that it is there."""
        self._keepalive.answered()
        if self._meter.pong(payload, self.relay.clock.seconds()):
            round_trip, tell = self._meter.last, self.on_round_trip
            if tell is not None and round_trip is not None:
                tell(round_trip.took_s)
        answered, self._answered = self._answered, None
        if answered is not None:
            answered()
