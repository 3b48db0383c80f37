"""A connection to a managed service that is made again whenever it is lost (`service_states`), with
the subscriptions on it.

Each new connection signs all of its subscriptions anew, as a signature is good for one connection.
The service is pinged by ``pusher:ping``: some don't count a Ping of the WebSocket as life. Which
channel is on which connection is not decided here (`connection_pool`).
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.managed.protocol import envelopes, service_frames
from apptuner_relay.managed.protocol.backoff import Backoff
from apptuner_relay.managed.protocol.channel_names import PRESENCE
from apptuner_relay.managed.protocol.channel_service import ChannelListener
from apptuner_relay.managed.protocol.close_codes import advise, explain_error
from apptuner_relay.managed.protocol.envelopes import BadEnvelope, PusherEnvelope, ServiceError
from apptuner_relay.managed.protocol.user_ids import MemberInfo, UserId, make_channel_data, new_tag
from apptuner_relay.managed.service.paced_sender import PacedSender, WaitingEvent
from apptuner_relay.managed.service.service_pings import ServicePings
from apptuner_relay.managed.service.service_states import TRANSITIONS, ServiceEvent, ServiceState
from apptuner_relay.managed.service.service_target import ServiceTarget
from apptuner_relay.managed.service.service_websocket import (
    ServiceEnding,
    ServiceWebSocket,
    ServiceWebSocketFactory,
    ending_of,
)
from apptuner_relay.managed.service.subscription import Subscription
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.support.clocks import WallClock, in_ms
from apptuner_relay.support.log_throttle import LogThrottle

WELCOME_S = 10.0
"""From the attempt to connect to the service's welcome."""
STABLE_S = 30.0
"""After a connection that has lasted as long as this, the first delay applies again."""
SLOW_RETRY_S = 300.0
"""Between attempts that an operator has to make succeed."""
_FIRST_DELAY_S, _SECOND_DELAY_S, _LONGEST_DELAY_S = 1.0, 2.0, 15.0
"""Between attempts that may succeed: the shortest, the longest of the first, and of all. Clients of
channels are kept for a minute while the service is away."""
_PERMANENT_STATUSES = frozenset({400, 401, 403, 404})
"""HTTP statuses of handshakes and of subscriptions that are refused until an operator changes
something."""
_FIRST_OWN_CODE = 4000
"""Of the protocol's close codes."""
_STOPPED = "the relay stops"


class ConnectionObserver(Protocol):
    """What hears how a connection is doing."""

    def connection_up(self, connection: "ServiceConnection") -> None:
        """The service has welcomed it."""

    def connection_down(self, connection: "ServiceConnection", ending: ServiceEnding) -> None:
        """It was lost, or could not be made. It is tried again, unless it is stopped."""

    def event_refused(self, error: ServiceError) -> None:
        """The service has complained while the connection goes on, of an event for instance."""


class ServiceConnection:
    """Keeps one connection."""

    log = Logger()

    def __init__(
        self,
        target: ServiceTarget,
        observer: ConnectionObserver,
        counters: ManagedCounters,
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self.state = ServiceState.IDLE
        self.subscriptions: dict[str, Subscription] = {}
        """By channel."""
        self._target, self._observer, self._counters = target, observer, counters
        self._clock, self._wall_s = clock, wall_s
        self._sender = PacedSender(clock, target.rates)
        self._backoff = Backoff(_FIRST_DELAY_S, _SECOND_DELAY_S, _LONGEST_DELAY_S)
        self._connecting: Deferred[IProtocol] | None = None
        self._websocket: ServiceWebSocket | None = None
        self.socket_id: str | None = None
        """The service's name of the connection; None while it is not up."""
        self._timer: IDelayedCall | None = None
        """For the welcome, or until the next attempt."""
        self._pings = ServicePings(clock, self._send, self._hung)
        self._up_since_s = 0.0
        self._last_error: ServiceError | None = None
        """What the service has complained of last, on this connection."""
        self._stopping: Deferred[None] | None = None
        self._malformed = LogThrottle(clock.seconds)
        self._refusals = LogThrottle(clock.seconds)

    @property
    def is_up(self) -> bool:
        """Whether channels can be subscribed to, and events sent."""
        return self.state is ServiceState.UP

    @property
    def is_saturated(self) -> bool:
        """Whether more is to be sent than the service or the network takes."""
        return self._sender.is_saturated

    def start(self) -> None:
        """Begin to connect."""
        if self._happens(ServiceEvent.START):
            self._connect()

    def stop(self) -> Deferred[None]:
        """Leave the service for good. Fires when that is done."""
        before = self.state
        if not self._happens(ServiceEvent.STOP):
            return self._stopping or succeed(None)
        self._stopping = done = Deferred[None]()
        self._cancel_timer()
        self._lose_subscriptions(_STOPPED)
        if self._websocket is not None:
            self._websocket.leave()
        elif before is ServiceState.CONNECTING and self._connecting is not None:
            self._connecting.cancel()
        else:
            done.callback(None)
        return done

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """Keep up a subscription, of a presence or private channel."""
        subscription = Subscription(channel, listener, self._clock, self._ask)
        self.subscriptions[channel] = subscription
        if self.is_up:
            self._ask(subscription)

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel. Harmless where it is not subscribed."""
        subscription = self.subscriptions.pop(channel, None)
        if subscription is not None and subscription.end() and self.is_up:
            self._sender.request(lambda: service_frames.unsubscribe(channel))

    def send_event(self, channel: str, name: str, data: str) -> bool:
        """Send a client event. Returns whether it could be taken: the connection may be down, the
        channel not subscribed, or too much may wait.

        :raises ValueError: it is malformed.
        """
        subscription = self.subscriptions.get(channel)
        if subscription is None or not subscription.is_subscribed:
            return False
        counters, size = self._counters, len(data.encode())
        member_count = len(subscription.user_ids)

        def sent() -> None:
            counters.count_published("client_event", size, member_count)

        message = service_frames.client_event(channel, name, data)
        dropped = lambda: counters.count_dropped("away")  # noqa: E731
        return self._sender.send_event(WaitingEvent(message, sent, dropped))

    # The WebSocket, see `WebSocketListener`

    def opened(self, websocket: ServiceWebSocket) -> None:
        """See `WebSocketListener`."""
        self._websocket, self._connecting = websocket, None
        if self.state is ServiceState.STOPPED:
            websocket.abort(_STOPPED)

    def received(self, message: bytes) -> None:
        """See `WebSocketListener`."""
        self._pings.heard()
        if self.state is ServiceState.STOPPED:
            return
        try:
            envelope = envelopes.parse_envelope(message)
            self._take(envelope)
        except BadEnvelope as wrong:
            count = self._malformed.count()
            if count is not None:
                self.log.warn(
                    "managed service: ignored a malformed message: {why} "
                    "({count} since the last such line)",
                    why=str(wrong),
                    count=count,
                )
        except Exception:  # a fault of this program must not cost all channels the connection
            self.log.failure("managed service: a message could not be handled")

    def ended(self, ending: ServiceEnding) -> None:
        """See `WebSocketListener`."""
        self._websocket = self._connecting = self.socket_id = None
        self._cancel_timer()
        self._pings.stop()
        if self.state is ServiceState.STOPPED:
            self._sender.end()
            if self._stopping is not None and not self._stopping.called:
                self._stopping.callback(None)
            return
        ending = self._complete(ending)
        if self.is_up and self._clock.seconds() - self._up_since_s >= STABLE_S:
            self._backoff.reset()
        refused = ending.status or ending.code or 0
        if ending.status is not None or refused >= _FIRST_OWN_CODE:
            self._counters.count_refused(refused)
        self._counters.reconnects += 1
        permanent = is_permanent(ending)
        self._happens(ServiceEvent.REFUSED if permanent else ServiceEvent.LOST)
        self._lose_subscriptions(ending.text)
        delay_s = self._backoff.next_s()
        if permanent:
            delay_s = SLOW_RETRY_S + delay_s
        self._timer = self._clock.callLater(delay_s, self._retry)
        self._observer.connection_down(self, ending)

    def _connect(self) -> None:
        self._last_error = None
        self._timer = self._clock.callLater(WELCOME_S, self._late)
        factory = ServiceWebSocketFactory(self._target.url, self, self._clock)
        self._connecting = connecting = self._target.endpoint.connect(factory)
        connecting.addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        # Where there was a socket, its end is told by `ended`.
        if self._websocket is None:
            late = self._timer is not None and not self._timer.active()
            self.ended(
                ServiceEnding(f"no connection within {WELCOME_S:g} s")
                if late
                else ending_of(failure.value)
            )

    def _late(self) -> None:
        if self._websocket is not None:
            self._websocket.abort(f"no welcome within {WELCOME_S:g} s")
        elif self._connecting is not None:
            self._connecting.cancel()

    def _retry(self) -> None:
        if self._happens(ServiceEvent.RETRY):
            self._connect()

    def _complete(self, ending: ServiceEnding) -> ServiceEnding:
        """The ending, with what the service has complained of just before."""
        error = self._last_error
        if error is None or error.code is None or ending.status is not None:
            return ending
        if ending.code is None and _FIRST_OWN_CODE <= error.code < 4300 and not self.is_up:
            # Servers of old say so, and end the connection without a Close.
            return ServiceEnding(explain_error(error.code, error.text), error.code)
        if ending.code == error.code and error.text and error.text not in ending.text:
            return ending._replace(text=f"{ending.text}: {error.text}")
        return ending

    def _lose_subscriptions(self, why: str) -> None:
        self._sender.end()
        for subscription in tuple(self.subscriptions.values()):
            subscription.lost(why)

    # Messages of the service

    def _take(self, envelope: PusherEnvelope) -> None:
        handle = self._handlers.get(envelope.event)
        if handle is not None:
            handle(self, envelope)
        elif not envelope.is_system:
            subscription = self._subscription(envelope)
            if subscription is not None:
                subscription.event(envelope.event, envelope.text_data(), envelope.user_id)

    def _subscription(self, envelope: PusherEnvelope) -> Subscription | None:
        return self.subscriptions.get(envelope.channel or "")

    def _welcomed(self, envelope: PusherEnvelope) -> None:
        welcome = envelopes.read_established(envelope)
        websocket = self._websocket
        if websocket is None or not self._happens(ServiceEvent.WELCOMED):
            return
        self.socket_id = welcome.socket_id
        self._up_since_s = self._clock.seconds()
        self._cancel_timer()
        self._pings.start(welcome.activity_timeout_s)
        websocket.pace(self._sender)
        self._sender.begin(websocket)
        for subscription in tuple(self.subscriptions.values()):
            self._ask(subscription)
        self._observer.connection_up(self)

    def _pinged(self, envelope: PusherEnvelope) -> None:
        self._send(service_frames.PONG)

    def _ponged(self, envelope: PusherEnvelope) -> None:
        round_trip_s = self._pings.answered()
        if round_trip_s is not None:
            self._counters.round_trip_s = round_trip_s

    def _complained(self, envelope: PusherEnvelope) -> None:
        self._last_error = error = envelopes.read_error(envelope)
        if not self.is_up or (error.code is not None and _FIRST_OWN_CODE <= error.code < 4300):
            # A Close follows.
            return
        self._counters.count_refused(error.code or 0)
        count = self._refusals.count()
        if count is not None:
            self.log.warn(
                "managed service: it refuses an event: {code} {text} "
                "({count} since the last such line)",
                code=error.code,
                text=error.text,
                count=count,
            )
        self._observer.event_refused(error)

    def _subscribed(self, envelope: PusherEnvelope) -> None:
        subscription = self._subscription(envelope)
        if subscription is not None:
            is_presence = subscription.channel.startswith(PRESENCE)
            subscription.succeeded(envelopes.read_members(envelope) if is_presence else {})

    def _not_subscribed(self, envelope: PusherEnvelope) -> None:
        subscription = self._subscription(envelope)
        error = envelopes.read_error(envelope)
        self._counters.count_refused(error.code or 0)
        if subscription is not None:
            code = error.code or 0
            permanent = code in _PERMANENT_STATUSES or advise(code).is_permanent
            subscription.failed(explain_error(error.code, error.text), permanent)

    def _member_added(self, envelope: PusherEnvelope) -> None:
        subscription = self._subscription(envelope)
        if subscription is not None:
            subscription.added(*envelopes.read_member(envelope))

    def _member_removed(self, envelope: PusherEnvelope) -> None:
        subscription = self._subscription(envelope)
        if subscription is not None:
            subscription.removed(envelopes.read_member(envelope)[0])

    _handlers: dict[str, Callable[["ServiceConnection", PusherEnvelope], None]] = {
        envelopes.CONNECTION_ESTABLISHED: _welcomed,
        envelopes.PING: _pinged,
        envelopes.PONG: _ponged,
        envelopes.ERROR: _complained,
        envelopes.SUBSCRIPTION_SUCCEEDED: _subscribed,
        envelopes.SUBSCRIPTION_ERROR: _not_subscribed,
        envelopes.MEMBER_ADDED: _member_added,
        envelopes.MEMBER_REMOVED: _member_removed,
    }

    # What is sent

    def _send(self, message: bytes) -> None:
        if self._websocket is not None:
            self._websocket.send(message)

    def _hung(self, why: str) -> None:
        if self._websocket is not None:
            self._websocket.abort(why)

    def _ask(self, subscription: Subscription) -> None:
        """Ask for a subscription when it is its turn."""
        if not self.is_up:
            return

        def make() -> bytes | None:
            if not subscription.is_wanted:
                return None
            subscription.asked()
            return self._sign(subscription.channel)

        self._sender.request(make)

    def _sign(self, channel: str) -> bytes:
        channel_data = None
        if channel.startswith(PRESENCE):
            info = MemberInfo(since_ms=in_ms(self._wall_s()))
            channel_data = make_channel_data(UserId(None, new_tag(), self._target.node), info)
        auth = self._target.signer.sign_channel(self.socket_id or "", channel, channel_data)
        return service_frames.subscribe(channel, auth, channel_data)

    def _happens(self, event: ServiceEvent) -> bool:
        after = TRANSITIONS.get((self.state, event))
        self.state = after or self.state
        return after is not None

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def is_permanent(ending: ServiceEnding) -> bool:
    """Whether only an operator can make another attempt succeed."""
    if ending.status is not None:
        return ending.status in _PERMANENT_STATUSES
    return ending.is_untrusted or advise(ending.code).is_permanent
