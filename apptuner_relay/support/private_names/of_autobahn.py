"""What the relay uses of Autobahn beyond its documentation."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from autobahn.twisted.websocket import (
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]
from twisted.python.failure import Failure

from apptuner_relay.support.http_fields import HttpFields


class _Unheard:
    """A Deferred that nobody waits for."""

    def callback(self, result: object) -> None:
        """``result`` is ignored."""


class _AfterHandshake:
    """What Autobahn looks at when a connection is open or ends, as it is for most of them: what a
    connection has in common with this class is not kept for each."""

    autoPingPending: Any = None
    autoPingPendingCall: Any = None
    autoPingPendingSeq = 0
    autoPingPendingSent: Any = None
    autoPingTimeoutCall: Any = None
    closeHandshakeTimeoutCall: Any = None
    closedByMe = False
    current_frame: Any = None
    data = b""
    droppedByMe = False
    failedByMe = False
    inside_message = False
    is_closed: Any = _Unheard()
    is_open: Any = _Unheard()
    localCloseCode: Any = None
    localCloseReason: Any = None
    openHandshakeTimeoutCall: Any = None
    peer: Any = None
    remoteCloseCode: Any = None
    remoteCloseReason: Any = None
    # Nothing is ever put in, as the relay has Autobahn write at once. What were put in would be in
    # the queue of all connections: a tuple takes nothing.
    send_queue: Any = ()
    send_state = WebSocketProtocol.SEND_STATE_GROUND
    trackedTimings: Any = None
    trafficStats: Any = TrafficStats()
    triggered = False
    wasClean = False
    wasCloseHandshakeTimeout = False
    wasMaxFramePayloadSizeExceeded = False
    wasMaxMessagePayloadSizeExceeded = False
    wasNotCleanReason: Any = None
    wasOpenHandshakeTimeout = False
    wasServingFlashSocketPolicyFile = False
    _perMessageCompress: Any = None


_OF_HANDSHAKE = frozenset(
    {
        *("_transport_details", "_wskey", "is_closed", "is_open", "peer", "send_queue"),
        *("http_headers", "http_request_data", "http_request_host", "http_request_params"),
        *("http_request_path", "http_request_uri", "http_response_data", "http_status_line"),
        *("trafficStats", "utf8validator", "websocket_extensions", "websocket_extensions_in_use"),
        *("websocket_origin", "websocket_protocol_in_use", "websocket_protocols"),
        "websocket_version",
    }
)
"""What nothing reads after the opening handshake, or nothing of the relay's."""


class HandshakeProtocol(WebSocketProtocol):
    """Autobahn's protocol for either side, of which the handshakes alone are used."""

    factory: Any

    def bytes_received(self, data: bytes) -> None:
        """Bytes were received after the opening handshake."""
        raise NotImplementedError

    def dropped(self) -> None:
        """The connection below is about to be ended by this side."""
        raise NotImplementedError

    def processData(self) -> bool:
        """Autobahn has ``self.data``, and would read frames in it. It is to stop at False."""
        data, self.data = self.data, b""
        self.bytes_received(data)
        return False

    def send_close(self, code: int | None, reason: bytes | None) -> None:
        """Send a Close. Autobahn's own ``sendClose`` refuses codes that applications don't send."""
        self.sendCloseFrame(code, reason)

    def finish_closing(self) -> None:
        """Both sides have sent a Close: as the server, end the connection below."""
        self.wasClean = True
        if self.factory.isServer:
            self.dropConnection(abort=False)

    def drop(self) -> None:
        """End the connection below at once, without a closing handshake."""
        self.dropConnection(abort=True)

    def dropConnection(self, abort: bool = False) -> None:
        """End the connection below, at once or behind what was written."""
        self.dropped()
        super().dropConnection(abort)

    def connectionLost(self, reason: Failure) -> None:
        """The connection below has ended. Autobahn has told ``onClose`` then, and fired a Deferred
        with the protocol itself: without that, it needs no garbage collector to go."""
        super().connectionLost(reason)  # type: ignore[misc]
        self.is_open = self.is_closed = None


class ServerHandshakeProtocol(WebSocketServerProtocol, _AfterHandshake):  # type: ignore[misc]
    """The server's side of the opening handshake."""

    def forget_handshake(self) -> None:
        """The connection is open: keep of Autobahn's attributes what it needs to end it, and that
        only where it is no default. They are some 60, and 4 KiB, of most of which an idle
        connection has no use."""
        kept = {}
        for name, value in vars(self).items():
            if name not in _OF_HANDSHAKE and getattr(type(self), name, self) is not value:
                kept[name] = value
        self.__dict__ = kept

    def request_received(self, data: bytes) -> bytes | None:
        """``data`` is all that was received so far. Returns what Autobahn is to read instead, None
        for nothing yet."""
        raise NotImplementedError

    def refusal(self, status: int, reason: str, fields: HttpFields) -> bytes:
        """The HTTP response to a request that is refused."""
        raise NotImplementedError

    @property
    def has_compression(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self._perMessageCompress is not None

    @property
    def handshake_target(self) -> str:
        """The request's target, with its query."""
        return str(self.http_request_uri)

    @property
    def handshake_fields(self) -> dict[str, str]:
        """The request's header fields by name in lower case; those of one name are put together,
        with commas."""
        fields: dict[str, str] = self.http_headers
        return fields

    def accept_compression(self, offers: Sequence[object]) -> object | None:
        """What the option ``perMessageCompressionAccept`` makes of a client's offers."""
        accept: Callable[[Sequence[object]], object | None]
        accept = self.perMessageCompressionAccept  # type: ignore[attr-defined]
        return accept(offers)

    def processHandshake(self) -> None:
        """Autobahn has received something of the request in ``self.data``."""
        data = self.request_received(self.data)
        if data is not None:
            self.data = data
            super().processHandshake()

    def failHandshake(
        self, reason: str, code: int = 400, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the request, without the two lines that Autobahn logs each time: clients that are
        refused could fill the disk with them."""
        self.wasClean = True
        self.sendHttpErrorResponse(code, reason, responseHeaders)
        self.dropConnection(abort=False)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the request. Autobahn's own response has a body of HTML."""
        self.sendData(self.refusal(code, reason, responseHeaders or ()))


class ServerMessageProtocol(ServerHandshakeProtocol):
    """The server's side, whose messages are Autobahn's as well."""

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent."""
        return bool(self.state == self.STATE_OPEN)

    def dropped(self) -> None:
        """The connection below is about to be ended by this side."""
        raise NotImplementedError

    def dropConnection(self, abort: bool = False) -> None:
        """End the connection below. Autobahn would reset it when its Close is answered, which
        browsers report as unclean."""
        self.dropped()
        super().dropConnection(abort=abort and not self.wasClean)


class ClientHandshakeProtocol(WebSocketClientProtocol):
    """The client's side of the opening handshake."""

    def handshake_failed(self, reason: str) -> None:
        """The server has refused the handshake, or its response is malformed."""
        raise NotImplementedError

    def failHandshake(self, reason: str) -> None:
        """Autobahn gives the handshake up."""
        self.handshake_failed(reason)

    @property
    def response_status_line(self) -> str | None:
        """The response's first line; None where there was no response."""
        return getattr(self, "http_status_line", None)

    @property
    def response_fields(self) -> dict[str, str]:
        """The response's header fields by name in lower case."""
        fields: dict[str, str] = getattr(self, "http_headers", {})
        return fields


class ClientFramesProtocol(ClientHandshakeProtocol):
    """The client's side, whose frames are Autobahn's as well."""

    def response_received(self) -> None:
        """More of the handshake's `response` was received; `read_response` takes it."""
        raise NotImplementedError

    def close_received(self, code: int | None, reason: bytes | None) -> bool | None:
        """The server closes, or answers this side's Close. Returns what `answer_close` does, or
        True where the connection is to be read no more."""
        raise NotImplementedError

    def holds_frame(self, opcode: int, payload: bytes) -> bool:
        """Whether a frame that is about to be sent is not to be sent now."""
        raise NotImplementedError

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent."""
        return bool(self.state == self.STATE_OPEN)

    @property
    def response(self) -> bytes:
        """What was received of the handshake's response."""
        return bytes(self.data)

    @property
    def peer_close(self) -> tuple[int | None, str] | None:
        """Code and reason of the server's Close; None where there was none with a code."""
        if self.remoteCloseCode is None:
            return None
        return self.remoteCloseCode, self.remoteCloseReason or ""

    @property
    def own_failure(self) -> str | None:
        """Why this side has given the connection up, if it has."""
        return str(self.wasNotCleanReason) if self.failedByMe and self.wasNotCleanReason else None

    def read_response(self) -> None:
        """Have Autobahn read the handshake's response.

        :raises ValueError: it can't be read.
        """
        super().processHandshake()

    def answer_close(self, code: int | None, reason: bytes | None, is_good: bool) -> bool | None:
        """Have Autobahn answer the server's Close. A code that ``is_good`` is passed by its list,
        which ends at 1013."""
        failed: bool | None = super().onCloseFrame(1000 if is_good else code, reason)  # type: ignore[arg-type]
        if is_good:
            self.remoteCloseCode = code
        return failed

    def send_bytes(self, data: bytes) -> None:
        """Send ``data`` as it is."""
        self.sendData(data)

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send a whole frame."""
        self.sendFrame(opcode=opcode, payload=payload)

    def processHandshake(self) -> None:
        """Autobahn has received something of the response in ``self.data``."""
        self.response_received()

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """Autobahn has read a Close."""
        return self.close_received(code, reasonRaw)

    def sendFrame(
        self,
        opcode: int,
        payload: bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        """Every frame of Autobahn's is sent by this."""
        if not self.holds_frame(opcode, payload):
            super().sendFrame(opcode, payload, fin, rsv, mask, payload_len, chopsize, sync)


_ServerProtocol = TypeVar("_ServerProtocol", bound=WebSocketServerProtocol)


def with_options(
    protocol: type[_ServerProtocol], factory: WebSocketServerFactory
) -> type[_ServerProtocol]:
    """A subclass of ``protocol`` that has the factory's options as class attributes.

    Autobahn copies them to every connection and pretty-prints them for its debug log: half of
    what it costs to take a connection, and a sixth of what one weighs.
    """
    options = {name: getattr(factory, name) for name in protocol.CONFIG_ATTRS}
    functions = {name: staticmethod(value) for name, value in options.items() if callable(value)}
    return type(protocol.__name__, (protocol,), {**options, **functions, "CONFIG_ATTRS": ()})


def make_masker(mask: bytes, length: int) -> Any:
    """An object whose ``process(data)`` masks the next bytes of a payload of ``length`` bytes."""
    return create_xor_masker(mask, length)
