"""The relay's own endpoint of the Pusher protocol, ``/app/KEY``: the sockets of its clients.

A client that speaks to a managed service speaks to the relay alone by another host name. What is
said is in `app_session`, and who is in which channel in `local_channels`.
"""

import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.types import ConnectionRequest
from twisted.application.service import Service
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay import __version__
from apptuner_relay.edge.autobahn_options import COMMON_OPTIONS
from apptuner_relay.edge.closing_handshake import ClosingHandshake
from apptuner_relay.edge.closing_states import ClosingEvent
from apptuner_relay.edge.opening_protocol import OpeningProtocol
from apptuner_relay.managed.own_server.app_session import (
    ACTIVITY_TIMEOUT_S,
    CLOSE_OVER_CAPACITY,
    AppSession,
)
from apptuner_relay.managed.own_server.local_channels import LocalChannels
from apptuner_relay.managed.protocol import service_frames
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.operator.descriptors import FULL
from apptuner_relay.relay.closing_groups import RESTARTS
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.support.private_names.of_autobahn import ServerMessageProtocol, with_options

MOST_MESSAGE_BYTES = 32 * 1024
"""A longer message ends its connection with 1009."""
MOST_WAITING_BYTES = 256 * 1024
"""How much may wait for a client that reads too slowly."""
PONG_S = 30
"""How long a client may be silent beyond the time after which it has to ping."""

CLOSE_UNKNOWN_KEY = 4001
CLOSE_BAD_VERSION = 4006
CLOSE_UNSUPPORTED_PROTOCOL = 4007
CLOSE_NO_PROTOCOL = 4008
CLOSE_RESTARTS = 4200
"""The client connects again at once."""
CLOSE_SILENT = 4201

_log = Logger()
_PROTOCOLS = range(5, 8)
_MOST_FIELDS = 32
_LOOK_S = 5.0
"""How often clients that have fallen silent are looked for."""
_LEAST_GAP_S = 0.01
"""Fewer clients than would fill the window at this distance are closed in less time."""
_NUMBERS = 10**15
"""Two numbers below it make a ``socket_id``: 99 bits, which nobody guesses."""
_PATH = "/app/"


@implementer(IPushProducer)
class AppProtocol(OpeningProtocol, ServerMessageProtocol):  # type: ignore[misc]
    """One client's connection: an `app_session.AppOutlet`."""

    factory: "AppFactory"
    session: AppSession | None = None
    """From the opening handshake to the closing one."""
    heard_s = 0.0
    """When something was received last."""
    _waiting_bytes: int | None = None
    """How much was sent since the connection takes no more; None while it takes more."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = ClosingHandshake()

    @property
    def relay(self) -> RelayService:  # type: ignore[override]
        """See `OpeningProtocol`."""
        return self.factory.relay

    # What Autobahn calls

    def onConnect(self, request: ConnectionRequest) -> None:
        """See Autobahn: refuse the handshake where there is no room."""
        relay = self.relay
        try:
            relay.access.count_connection(self.client_address)
            if not request.path.startswith(_PATH):
                raise BadRequest(404, "Not found: connect to /app/KEY")
            if not relay.running:
                raise BadRequest(503, RESTARTS)
            if relay.descriptors.are_short:
                raise BadRequest(503, FULL)
        except BadRequest as refusal:
            raise self.denied(refusal) from None

    def onOpen(self) -> None:
        """The opening handshake is done."""
        transport: Any = self.transport
        # Until now the HTTP channel that has read the request was the transport's producer.
        transport.unregisterProducer()
        transport.registerProducer(self, True)
        transport.resumeProducing()
        self._closing.advance(ClosingEvent.OPENED)
        self._heard()
        self.factory.clients.add(self)
        refusal = self.factory.why_refused(self.request_target)
        if refusal is not None:
            self.close(*refusal)
            return
        self.session = self.factory.make_session(self)
        self.session.begin()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message has come."""
        self._heard()
        session = self.session if self._closing.takes_messages else None
        if session is not None and isBinary:
            session.take_binary()
        elif session is not None:
            session.take(payload)

    def onPing(self, payload: bytes) -> None:
        """A WebSocket ping has come, which counts as life as well."""
        self._heard()
        super().onPing(payload)

    def onPong(self, payload: bytes) -> None:
        """See `onPing`."""
        self._heard()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        self._closing.advance(ClosingEvent.LOST)
        self._closing.stop()
        self.factory.clients.discard(self)
        self._end_session()

    def dropped(self) -> None:
        """See `ServerMessageProtocol`: the client has closed, or has answered the Close. One that
        then keeps the connection below is dropped."""
        self._closing.advance(ClosingEvent.CLOSE_RECEIVED)
        self._end_soon()

    # What the session and the server call

    def send(self, frame: bytes) -> None:
        """See `AppOutlet`. A client for which too much waits is closed."""
        if self.session is None or not self.is_up:
            return
        if self._waiting_bytes is not None:
            self._waiting_bytes += len(frame)
            if self._waiting_bytes > MOST_WAITING_BYTES:
                self.close(CLOSE_OVER_CAPACITY, "Too slow: too much waits for you")
                return
        self.sendMessage(frame)

    def close(self, code: int, reason: str) -> None:
        """See `AppOutlet`."""
        if not self.is_up or not self._closing.advance(ClosingEvent.CLOSE):
            return
        self.factory.log_closed(code, reason)
        # Clients of protocols before 6 know it from the message.
        self.sendMessage(service_frames.error(code, reason))
        self.sendClose(code, reason)
        self._end_soon()

    def _end_soon(self) -> None:
        """Others are told that the client has left in the reactor's next turn: now one of them may
        be the cause of it. The connection ends soon as well, whatever the client does."""
        clock = self.relay.clock
        self._closing.drop_later(clock, self.relay.settings.limits.close_timeout, self._drop)
        clock.callLater(0, self._end_session)

    def _drop(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self.factory.end_session(session)

    def _heard(self) -> None:
        self.heard_s = self.relay.clock.seconds()

    # What the transport calls: `IPushProducer`

    def pauseProducing(self) -> None:
        """The connection takes no more for now."""
        if self._waiting_bytes is None:
            self._waiting_bytes = 0

    def resumeProducing(self) -> None:
        """The connection has taken all."""
        self._waiting_bytes = None

    def stopProducing(self) -> None:
        """The connection is over; `onClose` is called as well."""


def _decline(offers: Sequence[object]) -> None:
    """Accept no compression, as the services do."""


class AppFactory(WebSocketServerFactory):
    """Makes the connections of clients.

    :param signer: has the key of the path, and verifies signatures.
    :param prefix: of the channels' names.
    """

    def __init__(
        self, relay: RelayService, channels: LocalChannels, signer: Signer, prefix: str
    ) -> None:
        super().__init__(server=f"AppTunerRelay/{__version__}", reactor=relay.clock)
        self.relay = relay
        self.clients: set[AppProtocol] = set()
        """All that are connected."""
        self._channels = channels
        self._signer = signer
        self._prefix = prefix
        self._socket_ids: set[str] = set()
        self._closes = LogThrottle(relay.clock.seconds)
        self.setProtocolOptions(
            **COMMON_OPTIONS,
            versions=[13],
            webStatus=False,
            perMessageCompressionAccept=_decline,
            maxFramePayloadSize=MOST_MESSAGE_BYTES,
            maxMessagePayloadSize=MOST_MESSAGE_BYTES,
        )
        self.protocol = with_options(AppProtocol, self)

    def log_closed(self, code: int, reason: str) -> None:
        """Log that a client is closed, but not so often that clients can fill the disk."""
        count = self._closes.count()
        if count is not None:
            _log.info(
                "closing a client of /app with {code}: {reason} ({count} closed since the last "
                "such line)",
                code=code,
                reason=reason,
                count=count,
            )

    def expect(self, socket_id: str, channel: str) -> bool:
        """Whether that is a client's connection to this relay. If so, it is about to come into a
        channel."""
        if socket_id not in self._socket_ids:
            return False
        self._channels.expect(channel)
        return True

    def why_refused(self, target: str) -> tuple[int, str] | None:
        """Why a client is closed that has connected to ``target``: a close code and a reason. None
        where it is not."""
        path, _, query = target.partition("?")
        if path != f"{_PATH}{self._signer.key}":
            return CLOSE_UNKNOWN_KEY, "There is no application with that key"
        try:
            fields = parse_qs(query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return CLOSE_BAD_VERSION, f"Bad query string: more than {_MOST_FIELDS} fields"
        protocol = fields.get("protocol", [""])[0]
        if not protocol:
            return CLOSE_NO_PROTOCOL, "No protocol version supplied: ?protocol=7"
        if protocol not in map(str, _PROTOCOLS):
            return CLOSE_UNSUPPORTED_PROTOCOL, "Unsupported protocol version: 5 to 7 are spoken"
        return None

    def make_session(self, client: AppProtocol) -> AppSession:
        """The session of a client that has connected."""
        socket_id = f"{secrets.randbelow(_NUMBERS)}.{secrets.randbelow(_NUMBERS)}"
        self._socket_ids.add(socket_id)
        return AppSession(
            socket_id,
            client,
            self._channels,
            self._signer,
            self._prefix,
            self.relay.clock.seconds,
        )

    def end_session(self, session: AppSession) -> None:
        """The client's connection is closing or gone."""
        self._socket_ids.discard(session.socket_id)
        session.end()


class AppServer(Service):
    """Closes clients: those that have fallen silent, and all when the relay stops."""

    def __init__(self, factory: AppFactory) -> None:
        self._factory = factory
        self._relay = factory.relay
        self._looks = LoopingCall(self._look)
        self._looks.clock = self._relay.clock

    @property
    def count(self) -> int:
        """How many clients are connected."""
        return len(self._factory.clients)

    def startService(self) -> None:
        super().startService()
        self._looks.start(_LOOK_S, now=False).addErrback(self._failed)

    def stopService(self) -> None:
        """Begin to close all clients, spread over a while as those of the relay itself are. Nobody
        waits for that here: `Shutdown` does, within its deadline."""
        super().stopService()
        if self._looks.running:
            self._looks.stop()
        clients = tuple(self._factory.clients)
        limits = self._relay.settings.limits
        spread_s = limits.drain_spread if limits.drain_timeout else 0.0
        window_s = min(spread_s, len(clients) * _LEAST_GAP_S, limits.drain_timeout / 2)
        for number, client in enumerate(clients):
            at_s = window_s * number / len(clients)
            self._relay.clock.callLater(at_s, client.close, CLOSE_RESTARTS, RESTARTS)

    def _look(self) -> None:
        silent_since_s = self._relay.clock.seconds() - ACTIVITY_TIMEOUT_S - PONG_S
        for client in tuple(self._factory.clients):
            if client.heard_s <= silent_since_s:
                client.close(CLOSE_SILENT, "Pong reply not received in time")

    def _failed(self, failure: Failure) -> None:
        _log.failure("clients of /app that are silent are not closed any more", failure)
