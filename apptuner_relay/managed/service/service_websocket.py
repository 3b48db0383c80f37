"""One WebSocket to a managed service, by Autobahn: text messages, and how it ended. What they mean,
and what follows, is `service_connection`'s.
"""

from typing import Any, NamedTuple, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory
from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.support.private_names.of_autobahn import ClientFramesProtocol
from apptuner_relay.support.socket_errors import describe, is_untrusted
from apptuner_relay.wire.closing import may_be_sent
from apptuner_relay.wire.frames import CLOSE_NORMAL

MOST_MESSAGE_BYTES = 2 * 1024 * 1024
"""Of what a service sends. Lists of members are the longest: 200 people with 2 KB each, as a string
in a string."""
_MOST_RESPONSE_BYTES = 16 * 1024
_CLOSE_S = 3.0
_REASON_CHARACTERS = 200
_TLS, _NO_TLS = "tls=on in --managed", "tls=off in --managed"


class ServiceEnding(NamedTuple):
    """How a connection to a service has ended, or why it could not be made."""

    text: str
    """For the operator. Printable."""
    code: int | None = None
    """The close code that the service has sent (RFC 6455 §7.4); None where it has not closed."""
    status: int | None = None
    """The HTTP status that it has refused the handshake with."""
    is_untrusted: bool = False
    """Whether its certificate did not verify."""


class WebSocketListener(Protocol):
    """What hears of a WebSocket to a service."""

    def opened(self, websocket: "ServiceWebSocket") -> None:
        """The socket is there. The handshake is still to come."""

    def received(self, message: bytes) -> None:
        """A text message has come."""

    def ended(self, ending: ServiceEnding) -> None:
        """It is over. Called once, and last."""


class ServiceWebSocket(ClientFramesProtocol):
    """The WebSocket. Made by a `ServiceWebSocketFactory`."""

    factory: "ServiceWebSocketFactory"
    transport: Any
    _why: ServiceEnding | None = None
    """What this side has found, before the connection ends."""
    _lost_because: BaseException | None = None
    _has_opened = False
    _timer: IDelayedCall | None = None
    """Runs while the connection below is to end."""

    def send(self, message: bytes) -> None:
        """Send a text message. It is dropped where the WebSocket is not open."""
        if self.is_up:
            self.sendMessage(message)

    def leave(self) -> None:
        """Close it."""
        if self.is_up:
            self.sendClose(CLOSE_NORMAL)
            self._end_soon()
        else:
            self.abort("left")

    def abort(self, why: str) -> None:
        """End the connection below at once."""
        if self._why is None:
            self._why = ServiceEnding(why)
        if self.transport is not None:
            self.transport.abortConnection()

    def pace(self, producer: Any) -> None:
        """Have ``producer`` paused while the socket takes no more."""
        self.transport.registerProducer(producer, True)

    # What Autobahn calls

    def connectionMade(self) -> None:
        self.factory.listener.opened(self)
        super().connectionMade()

    def response_received(self) -> None:
        """See `ClientFramesProtocol`."""
        if len(self.response) > _MOST_RESPONSE_BYTES:
            self.abort("its answer to the handshake is too long")
            return
        try:
            self.read_response()
        except ValueError:
            self.abort("its answer to the handshake can't be read")

    def handshake_failed(self, reason: str) -> None:
        """See `ClientHandshakeProtocol`."""
        try:
            status = int((self.response_status_line or "").split()[1])
        except (IndexError, ValueError):
            self.abort(f"it gave no WebSocket: {_printable(reason)}")
            return
        if self._why is None:
            text = f"it refused the handshake with HTTP status {status}"
            if status == 101:
                text = f"its answer to the handshake is wrong: {_printable(reason)}"
            self._why = ServiceEnding(text, status=None if status == 101 else status)
        self.abort(reason)

    def holds_frame(self, opcode: int, payload: bytes) -> bool:
        """See `ClientFramesProtocol`."""
        return False

    def onOpen(self) -> None:
        self._has_opened = True

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not isBinary and self.is_up:
            self.factory.listener.received(payload)

    def close_received(self, code: int | None, reason: bytes | None) -> bool | None:
        """See `ClientFramesProtocol`."""
        failed = self.answer_close(code, reason, code is not None and may_be_sent(code))
        self._end_soon()
        return failed

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost_because = reason.value
        # Autobahn logs errors of TLS, each time.
        super().connectionLost(connectionDone)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.factory.listener.ended(self._ending())

    def _end_soon(self) -> None:
        """The other side has `_CLOSE_S` for its part of the closing handshake."""
        if self._timer is None:
            self._timer = self.factory.clock.callLater(_CLOSE_S, self.abort, "it did not close")

    def _ending(self) -> ServiceEnding:
        if self.peer_close is not None:
            code, words = self.peer_close
            said = _printable(words)
            return ServiceEnding(f"it closed with {code}" + (f": {said}" if said else ""), code)
        if self._why is not None:
            return self._why
        if self.own_failure is not None:
            return ServiceEnding(_printable(self.own_failure))
        ending = ending_of(self._lost_because)
        if self._has_opened or ending.is_untrusted:
            return ending
        if self.factory.isSecure and isinstance(self._lost_because, SSL.Error):
            return ServiceEnding(f"{ending.text}: if it speaks no TLS at that port, say {_NO_TLS}")
        hint = f"if it speaks TLS at that port, say {_TLS}"
        if self.factory.isSecure:
            hint = f"if it speaks no TLS at that port, say {_NO_TLS}"
        return ServiceEnding(f"it ended the connection in the handshake: {hint}")


class ServiceWebSocketFactory(WebSocketClientFactory):
    """Makes one WebSocket.

    :param url: ``ws`` or ``wss``, with path and query.
    """

    noisy = False

    def __init__(self, url: str, listener: WebSocketListener, reactor: Any) -> None:
        super().__init__(url, useragent=f"AppTunerRelay/{__version__}", reactor=reactor)
        self.listener = listener
        self.clock: IReactorTime = reactor
        # Autobahn's own timers run on the global reactor.
        self.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            maxFramePayloadSize=MOST_MESSAGE_BYTES,
            maxMessagePayloadSize=MOST_MESSAGE_BYTES,
        )

    def buildProtocol(self, addr: object) -> ServiceWebSocket:  # type: ignore[override]
        websocket = ServiceWebSocket()
        websocket.factory = self
        return websocket


def ending_of(error: BaseException | None) -> ServiceEnding:
    """The ending of a connection that failed with ``error``."""
    if error is None:
        return ServiceEnding("the connection was lost")
    text = _printable(describe(error)) or "the connection was lost"
    if is_untrusted(error):
        return ServiceEnding(f"its certificate is not trusted: {text}", is_untrusted=True)
    return ServiceEnding(text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_REASON_CHARACTERS]).strip()
