"""The WebSocket that a relay opens to another one, for one client of its own whose session is
there. To the other relay it is that client.

Autobahn does the handshake. Frames then go without masks in both directions, which is what both
sides agree to with the subprotocol `SUBPROTOCOL`.
"""

import hmac
import json
from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectionResponse
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.cluster.handover_words import PATH
from apptuner_relay.cluster.passes import (
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    write_errand,
    write_pass,
)
from apptuner_relay.connection import COMMON_OPTIONS, FramedConnection
from apptuner_relay.ends import End, Ends
from apptuner_relay.flow import Sink
from apptuner_relay.service import RelayService
from apptuner_relay.session import Admission, BadRequest
from apptuner_relay.transport import PeerConnector, PeerTransport, keep_little_unsent
from apptuner_relay.wire.frames import CLOSE_ABNORMAL, CLOSE_NORMAL, PING, PONG, PeerReader, frame

SUBPROTOCOL = "apptuner-peer.1"
MOVED = 4100
"""Close code between relays: the session moves, and all that came for it has been passed on."""
HALT = b"halt"
"""A Ping with this asks to send nothing more; the Pong to it comes when all has been sent."""
PROBE = b"probe"
"""A Ping with this asks whether the client is there; the Pong to it comes when that has answered
one, or has been heard just before."""
GO_ON = b"go on"
"""A Ping with this asks to send on after all: a bundle's rest is missing."""
NOT_HERE = 421
"""HTTP status: the session is not there (RFC 9110 §15.5.20)."""

_THE_CLIENTS = (400, 403, 409, 429)
"""HTTP statuses that are the client's, and not this relay's."""
_ANSWER_S = 2.0
"""How long another relay may take to answer a handshake."""


class NotReached(Exception):
    """The other relay can't be reached, or doesn't have the session."""


class NotTrusted(NotReached):
    """The other relay doesn't take this one for one of the cluster, or the other way round: to try
    again would not help."""


def _mind_nothing(code: int, why: str, clean: bool) -> None:
    """Nobody minds any more what becomes of a link."""


class LinkProtocol(FramedConnection, WebSocketClientProtocol):  # type: ignore[misc]
    """The connection to the other relay."""

    factory: "LinkFactory"
    deflates = False
    """Whether the client negotiated permessage-deflate, and so compressed messages may pass."""
    on_halt: Callable[[], None] = staticmethod(lambda: None)
    """The other relay asks for `HALT`."""
    on_go_on: Callable[[], None] = staticmethod(lambda: None)
    """It asks to `GO_ON`."""
    on_probe: Callable[[], None] = staticmethod(lambda: None)
    """The other relay asks for `PROBE`; `present` answers."""
    on_lost: Callable[[int, str, bool], None] = staticmethod(_mind_nothing)
    """The connection is over: a close code, a reason, and whether the other relay said so."""
    _leaving: IDelayedCall | None = None
    is_leaving = False
    """Whether the client has gone, and the other relay doesn't know it yet or hasn't all that the
    client sent."""

    @property
    def relay(self) -> RelayService:
        """See `FramedConnection`."""
        return self.factory.relay

    def onConnect(self, response: ConnectionResponse) -> None:
        """The other relay has answered."""
        proof = response.headers.get(PROOF_HEADER.lower(), "")
        self._is_proven = hmac.compare_digest(proof.encode(), self.factory.proof.encode())

    def onOpen(self) -> None:
        """The handshake is done."""
        if not self._is_proven:
            self.factory.fail(NotTrusted("it doesn't know this cluster's secret"))
            self.abort()
            return
        if isinstance(self.transport, PeerTransport):
            keep_little_unsent(self.transport.socket)
        # Nothing is read before somebody takes it.
        self.transport.pauseProducing()
        self.heard_s = self.relay.clock.seconds()
        self.factory.succeed(self)

    def attach(self, end: End) -> None:
        """Begin to read, for ``end``."""
        self._attached = end
        super().onOpen()
        self.resume()

    def opened(self) -> End:
        """See `FramedConnection`."""
        return self._attached

    def make_ends(self) -> Ends:
        """What ``end`` is to be made of."""
        return self.relay.make_ends(self, PeerReader, hurried=False)

    def processData(self) -> bool:
        """See `FramedConnection`. What came with the handshake has to wait for `attach`."""
        if self._end is None:
            self._tail += self.data
            self.data = b""
            return False
        return super().processData()

    def failHandshake(self, reason: str) -> None:
        """The other relay said no."""
        self.factory.fail(self._refusal(reason))
        self.abort()

    def halted(self) -> None:
        """All that the client had sent is on its way."""
        if self._end is not None:
            self._end.sink.control(frame(PONG, HALT), None)

    def present(self) -> None:
        """The client is there."""
        if self._end is not None:
            self._end.sink.control(frame(PONG, PROBE), None)

    def leave(self, why: str) -> None:
        """The client has gone; the other relay is to know when it has all that the client sent."""
        self.on_lost = _mind_nothing
        end = self._end
        if end is None:
            self.close(CLOSE_NORMAL, why)
            return
        self.is_leaving = True
        self._wait_to_leave(end.sink, end.sink.delivered)
        end.sink.when_idle(lambda: self.close(CLOSE_NORMAL, why))

    def _wait_to_leave(self, sink: Sink, delivered: int) -> None:
        """Look again after a while, and cut a connection on which nothing has passed meanwhile."""

        def look() -> None:
            now = sink.delivered
            if now > delivered and not sink.closed:
                self._wait_to_leave(sink, now)
            else:
                self.abort()

        relay = self.relay
        self._leaving = relay.clock.callLater(relay.settings.close_timeout, look)

    def abort(self) -> None:
        """Cut the connection: the client has gone in mid-message, or the relay isn't what it
        was."""
        self.on_lost = _mind_nothing
        self.transport.abortConnection()

    def parted(self, end: End, why: str) -> None:
        """See `FramedConnection`."""

    def gone(self, end: End, why: str, code: int) -> None:
        """See `FramedConnection`."""

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has gone."""
        self.is_leaving = False
        if self._leaving is not None and self._leaving.active():
            self._leaving.cancel()
        self.factory.fail(NotReached("it closed the connection"))
        super().onClose(wasClean, code, reason)
        self._tell_lost(CLOSE_ABNORMAL, "the connection to the other relay was lost", False)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """The other relay closes the client's connection, or answers our Close."""
        result = super().onCloseFrame(code, reasonRaw)
        self._tell_lost(code or CLOSE_NORMAL, (reasonRaw or b"").decode(), True)
        return result

    def close(self, code: int, reason: str) -> None:
        """See `FramedConnection`."""
        self.on_lost, on_lost = _mind_nothing, self.on_lost
        super().close(code, reason)
        if code != CLOSE_NORMAL:
            # What came from there breaks the protocol.
            on_lost(CLOSE_ABNORMAL, reason, False)

    def _tell_lost(self, code: int, why: str, clean: bool) -> None:
        self.on_lost, on_lost = _mind_nothing, self.on_lost
        on_lost(code, why, clean)

    def _refusal(self, reason: str) -> Exception:
        """What an answer other than 101 means: `BadRequest` where the client is at fault."""
        try:
            status = int(self.http_status_line.split()[1])
            text = str(json.loads(self.http_headers[REASON_HEADER.lower()]))
        except (AttributeError, IndexError, KeyError, ValueError):
            return NotReached(reason)
        if status in _THE_CLIENTS:
            return BadRequest(status, text)
        return NotTrusted(text) if status == 401 else NotReached(text)

    def _control(self, end: End, opcode: int, payload: bytes) -> None:
        if opcode == PING and payload == HALT:
            self.on_halt()
        elif opcode == PING and payload == PROBE:
            self.on_probe()
        elif opcode == PING and payload == GO_ON:
            self.on_go_on()
        else:
            super()._control(end, opcode, payload)


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
        """Ends what has not become a connection yet."""
        self.done: Deferred[LinkProtocol] = Deferred(self._cancelled)
        self._timer: IDelayedCall = relay.clock.callLater(_ANSWER_S, self._took_too_long)

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol:  # type: ignore[override]
        self.link = link = LinkProtocol()
        link.factory = self
        link.deflates = self._deflates
        return link

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.fail(NotReached(reason.getErrorMessage()))

    def succeed(self, link: LinkProtocol) -> None:
        """It is open."""
        if not self.done.called:
            self._timer.cancel()
            self.done.callback(link)
        else:
            link.abort()

    def fail(self, why: Exception) -> None:
        """It won't be; harmless when it is."""
        if not self.done.called:
            if self._timer.active():
                self._timer.cancel()
            self.done.errback(why)

    def _took_too_long(self) -> None:
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
        """Open it; ``trust`` says whose certificates are good, for wss. Fails with `NotReached`, or
        with `BadRequest` where the client is to be refused."""
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
    """Connect to node ``to`` at ``address``, for the client of ``admission``.

    :return: fails with `NotReached`, or with `BadRequest` where the client is to be refused.
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
    """Connect to node ``to`` at ``address``, which is to take a session over.

    :return: fails with `NotReached`, or with `BadRequest` where a relay of another version knows
        nothing of this.
    """
    path = PATH + session
    text, proof = write_errand(secret, sender, to, path, relay.wall_s())
    factory = LinkFactory(relay, address + path, {PASS_HEADER: text}, proof, True)
    return factory.connect(relay.clock, trust)
