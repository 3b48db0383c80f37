"""Links: a link is the WebSocket that a relay opens to another one for one of its clients, whose
session is there. To the other relay it stands for that client.

Autobahn does the handshake. Frames are then unmasked in both directions, to which both sides agree
with the subprotocol `SUBPROTOCOL`.
"""

import hmac
import json
from collections.abc import Callable
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory
from autobahn.websocket.types import ConnectionResponse
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.cluster.bridge.handover_messages import PATH
from apptuner_relay.cluster.bridge.peer_auth import (
    FEATURES_HEADER,
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    write_pass,
    write_request_pass,
)
from apptuner_relay.edge.autobahn_options import COMMON_OPTIONS
from apptuner_relay.edge.transport import PeerConnector, PeerTransport
from apptuner_relay.edge.unsent_limit import limit_unsent
from apptuner_relay.edge.websocket import FramedConnection
from apptuner_relay.flow.sink import Sink
from apptuner_relay.relay.frame_handler import ConnectionFlow, FrameHandler
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, BadRequest
from apptuner_relay.support.private_names.of_autobahn import (
    ClientHandshakeProtocol,
    HandshakeProtocol,
)
from apptuner_relay.support.socket_errors import describe
from apptuner_relay.wire.frames import CLOSE_ABNORMAL, CLOSE_NORMAL, PING, PONG, frame
from apptuner_relay.wire.peer_frames import PeerReader

SUBPROTOCOL = "apptuner-peer.1"
MOVED = 4100
"""Close code between relays: the session moves, and every message to it has been passed on."""
HALT = b"halt"
"""A Ping with this asks to send nothing more. The Pong follows when everything has been sent."""
PROBE = b"probe"
"""A Ping with this asks whether the client lives. The Pong follows when the client has answered a
Ping, or was heard just before."""
RESUME = b"go on"
"""A Ping with this asks to go on sending, as the rest of a bundle is missing."""
ROUND_TRIP = b"round trip "
"""A Pong that begins with this tells how long the client's answer to a ping has taken: seconds."""
NOT_HERE = 421
"""HTTP status: the session is not that relay's (RFC 9110 §15.5.20, Misdirected Request)."""

_CLIENT_ERRORS = (400, 403, 409, 429)
"""HTTP statuses that are for the client, and not for this relay."""
_ANSWER_S = 2.0
"""How long another relay may take to answer the handshake."""


class NotReached(Exception):
    """The other relay can't be reached, or doesn't own the session."""


class NotListening(NotReached):
    """The other relay's host refuses the connection: nobody listens at its address."""


class NotTrusted(NotReached):
    """One of the two relays doesn't accept the other one as part of the cluster. Trying again would
    not help."""


class LinkListener(Protocol):
    """What hears of a link: `remote_member.RemoteMember` or `handover.Handover`."""

    def on_halt(self) -> None:
        """The other relay asks for `HALT`; `LinkProtocol.confirm_halted` answers."""

    def on_resume(self) -> None:
        """It asks to `RESUME`."""

    def on_probe(self) -> None:
        """It asks for `PROBE`; `LinkProtocol.confirm_present` answers."""

    def on_link_lost(self, code: int, why: str, clean: bool) -> None:
        """The link is over. Called once at the most.

        :param code: the close code.
        :param clean: whether the other relay has closed it.
        """


class LinkProtocol(FramedConnection, HandshakeProtocol, ClientHandshakeProtocol):  # type: ignore[misc]
    """The link, at the end of the relay that has opened it."""

    factory: "LinkFactory"
    deflates = False
    """Whether the client negotiated permessage-deflate, and so compressed messages may pass."""
    features: frozenset[str] = frozenset()
    """What the other relay can do beyond the first versions: see `peer_auth.FEATURES_HEADER`."""
    _listener: LinkListener | None = None
    """None before `attach`, and when it is to hear no more."""
    _delivery_timer: IDelayedCall | None = None
    is_delivering = False
    """Whether the client is disconnected, and the other relay has not yet got everything that the
    client has sent."""

    @property
    def relay(self) -> RelayService:  # type: ignore[override]
        """See `FramedConnection`."""
        return self.factory.relay

    def onConnect(self, response: ConnectionResponse) -> None:
        """The other relay has accepted the handshake."""
        proof = response.headers.get(PROOF_HEADER.lower(), "")
        self._is_proven = hmac.compare_digest(proof.encode(), self.factory.proof.encode())
        words = response.headers.get(FEATURES_HEADER.lower(), "").split(",")
        self.features = frozenset(word.strip() for word in words)

    def onOpen(self) -> None:
        """The handshake is done."""
        if not self._is_proven:
            self.factory.fail(NotTrusted("it doesn't know this cluster's secret"))
            self.abort()
            return
        if isinstance(self.transport, PeerTransport):
            limit_unsent(self.transport.socket)
        self.establish()
        # Nothing is read before `attach`.
        self.transport.pauseProducing()
        self.factory.succeed(self)

    def attach(self, end: FrameHandler, listener: LinkListener) -> None:
        """Begin to read, for ``end``, and to tell ``listener`` what happens."""
        self._attached, self._listener = end, listener
        self.start()
        self.resume()

    def opened(self) -> FrameHandler:
        """See `FramedConnection`."""
        return self._attached

    def make_flow(self) -> ConnectionFlow:
        """The source, sink and reader for what will be attached."""
        return self.relay.make_flow(self, PeerReader, hurried=False)

    def bytes_received(self, data: bytes) -> None:
        """See `FramedConnection`. Data behind the handshake waits for `attach`."""
        if self.frame_handler is None:
            self._unread += data
        else:
            super().bytes_received(data)

    def handshake_failed(self, reason: str) -> None:
        """The other relay has refused the handshake."""
        self.factory.fail(self._refusal(reason))
        self.abort()

    def confirm_halted(self) -> None:
        """Answer `HALT`: everything that the client has sent is on its way."""
        if self.frame_handler is not None:
            self.frame_handler.sink.control(frame(PONG, HALT), None)

    def confirm_present(self) -> None:
        """Answer `PROBE`: the client lives."""
        if self.frame_handler is not None:
            self.frame_handler.sink.control(frame(PONG, PROBE), None)

    def tell_round_trip(self, took_s: float) -> None:
        """Tell the other relay how long the client's answer to a ping has taken. It is asked for
        nothing, so relays of earlier versions pass it over."""
        if self.frame_handler is not None:
            self.frame_handler.sink.control(frame(PONG, b"%s%.6f" % (ROUND_TRIP, took_s)), None)

    def close_when_delivered(self, why: str) -> None:
        """Close the link when the other relay has got everything that the client has sent: the
        client is disconnected."""
        self._listener = None
        end = self.frame_handler
        if end is None:
            self.close(CLOSE_NORMAL, why)
            return
        self.is_delivering = True
        self._wait_for_delivery(end.sink, end.sink.delivered)
        end.sink.when_idle(lambda: self.close(CLOSE_NORMAL, why))

    def _wait_for_delivery(self, sink: Sink, delivered: int) -> None:
        """Check again after a while, and drop a connection on which nothing was delivered since."""

        def look() -> None:
            now = sink.delivered
            if now > delivered and not sink.closed:
                self._wait_for_delivery(sink, now)
            else:
                self.abort()

        relay = self.relay
        self._delivery_timer = relay.clock.callLater(relay.settings.limits.close_timeout, look)

    def abort(self) -> None:
        """Drop the connection: the client was disconnected in mid-message, or the other relay
        doesn't own the session any more."""
        self._listener = None
        self.transport.abortConnection()

    def leaving(self, handler: FrameHandler, why: str) -> None:
        """See `FramedConnection`."""

    def ended(self, handler: FrameHandler, why: str, code: int) -> None:
        """See `FramedConnection`."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is over."""
        self.is_delivering = False
        if self._delivery_timer is not None and self._delivery_timer.active():
            self._delivery_timer.cancel()
        self.factory.fail(NotReached("it closed the connection"))
        super().onClose(wasClean, code, reason)
        self._tell_lost(CLOSE_ABNORMAL, "the connection to the other relay was lost", False)

    def close_received(self, code: int | None, reason: bytes) -> None:
        """The other relay has closed the client's connection, or has answered the Close."""
        super().close_received(code, reason)
        self._tell_lost(code or CLOSE_NORMAL, reason.decode(), True)

    def close(self, code: int, reason: str) -> None:
        """See `FramedConnection`."""
        self._listener, listener = None, self._listener
        super().close(code, reason)
        if code != CLOSE_NORMAL and listener is not None:
            # A frame from there has broken the protocol.
            listener.on_link_lost(CLOSE_ABNORMAL, reason, False)

    def _tell_lost(self, code: int, why: str, clean: bool) -> None:
        self._listener, listener = None, self._listener
        if listener is not None:
            listener.on_link_lost(code, why, clean)

    def _refusal(self, reason: str) -> Exception:
        """The exception for an answer other than 101. `BadRequest` where it is for the client."""
        try:
            status = int((self.response_status_line or "").split()[1])
            text = str(json.loads(self.response_fields[REASON_HEADER.lower()]))
        except (IndexError, KeyError, ValueError):
            return NotReached(reason)
        if status in _CLIENT_ERRORS:
            return BadRequest(status, text)
        return NotTrusted(text) if status == 401 else NotReached(text)

    def control_received(self, handler: FrameHandler, opcode: int, payload: bytes) -> None:
        request = payload if opcode == PING else None
        if request not in (HALT, PROBE, RESUME):
            super().control_received(handler, opcode, payload)
        elif self._listener is None:
            # The client is disconnected.
            return
        elif request == HALT:
            self._listener.on_halt()
        elif request == PROBE:
            self._listener.on_probe()
        else:
            self._listener.on_resume()


class LinkFactory(WebSocketClientFactory):
    """Makes one link."""

    noisy = False

    def __init__(
        self, relay: RelayService, url: str, headers: dict[str, str], proof: str, deflates: bool
    ) -> None:
        super().__init__(
            url,
            headers=headers,
            protocols=[SUBPROTOCOL],
            useragent=f"AppTunerRelay/{__version__}",
            reactor=relay.clock,
        )
        self.setProtocolOptions(
            **COMMON_OPTIONS, serverConnectionDropTimeout=0, maskClientFrames=False
        )
        self.relay = relay
        self.proof = proof
        self._deflates = deflates
        self.link: LinkProtocol | None = None
        self._give_up: Callable[[], None] | None = None
        """Cancels an attempt to connect."""
        self.done: Deferred[LinkProtocol] = Deferred(self._cancelled)
        self._timer: IDelayedCall = relay.clock.callLater(_ANSWER_S, self._timed_out)

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol:  # type: ignore[override]
        self.link = link = LinkProtocol()
        link.factory = self
        link.deflates = self._deflates
        return link

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        kind = NotListening if reason.check(ConnectionRefusedError) else NotReached
        self.fail(kind(describe(reason.value) or "the connection was lost"))

    def succeed(self, link: LinkProtocol) -> None:
        """The link is open."""
        if not self.done.called:
            self._timer.cancel()
            self.done.callback(link)
        else:
            link.abort()

    def fail(self, why: Exception) -> None:
        """The link won't open. Harmless when it is open."""
        if not self.done.called:
            if self._timer.active():
                self._timer.cancel()
            self.done.errback(why)

    def _timed_out(self) -> None:
        self.fail(NotReached(f"no answer within {_ANSWER_S:g} s"))
        self._drop()

    def _cancelled(self, done: Deferred[LinkProtocol]) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._drop()
        done.errback(CancelledError())

    def _drop(self) -> None:
        if self.link is not None and self.link.transport is not None:
            self.link.abort()
        elif self._give_up is not None:
            self._give_up()

    def connect(self, reactor: Any, trust: Certificate | None) -> Deferred[LinkProtocol]:
        """Open the link.

        :param trust: see `placement.ClusterPlacement`. It is for ``wss``.
        :return: fails with `NotReached`, or with `BadRequest` where the client is refused.
        """
        if self.isSecure:
            options = optionsForClientTLS(self.host, trustRoot=trust)
            endpoint = wrapClientTLS(options, HostnameEndpoint(reactor, self.host, self.port))
            connecting = endpoint.connect(self)
            connecting.addErrback(lambda failure: self.clientConnectionFailed(None, failure))
            self._give_up = connecting.cancel
        else:
            connector = PeerConnector(self.host, self.port, self, _ANSWER_S, None, reactor)
            self._give_up = connector.disconnect
            connector.connect()
        return self.done


def open_link(
    relay: RelayService,
    address: str,
    secret: str,
    sender: str,
    to: str,
    admission: Admission,
    trust: Certificate | None = None,
) -> Deferred[LinkProtocol]:
    """Open a link to node ``to`` at ``address``, for the client of ``admission``.

    :return: fails with `NotReached`, or with `BadRequest` where the client is refused.
    """
    text, proof = write_pass(secret, sender, to, admission, relay.wall_s())
    url = f"{address}/peer/{admission.role.value}/{admission.session_hash}"
    factory = LinkFactory(relay, url, {PASS_HEADER: text}, proof, admission.deflates)
    return factory.connect(relay.clock, trust)


def open_handover(
    relay: RelayService,
    address: str,
    secret: str,
    sender: str,
    to: str,
    session: str,
    trust: Certificate | None = None,
) -> Deferred[LinkProtocol]:
    """Open a link to node ``to`` at ``address``, over which a session can be handed over.

    :return: fails with `NotReached`, or with `BadRequest` where the relay is of a version without
        handovers.
    """
    path = PATH + session
    text, proof = write_request_pass(secret, sender, to, path, relay.wall_s())
    factory = LinkFactory(relay, address + path, {PASS_HEADER: text}, proof, True)
    return factory.connect(relay.clock, trust)
