"""Autobahn at the edge: a client's WebSocket connection, and one factory for each side.

Autobahn does the opening and the closing handshake. What comes in between goes through our own
`FrameReader` and on to the connection's `Member`; what goes out are whole frames that the member's
`Sink` gives to the transport.
"""

from collections.abc import Sequence

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.tcp import Server as TCPServer

from apptuner_relay import __version__
from apptuner_relay.flow import Frame
from apptuner_relay.member import Member
from apptuner_relay.service import RelayService
from apptuner_relay.session import BadRequest, Role, parse_path
from apptuner_relay.transport import BLOCK_BYTES, RelayTransport
from apptuner_relay.wire.deflate import accept
from apptuner_relay.wire.frames import (
    CLOSE,
    CLOSE_ABNORMAL,
    CLOSE_INVALID_PAYLOAD,
    CLOSE_NO_STATUS,
    CLOSE_PROTOCOL_ERROR,
    PING,
    PONG,
    FrameError,
    frame,
)
from apptuner_relay.wire.messages import http_refusal
from apptuner_relay.wire.text import is_text

_CLOSE_REASON_BYTES = 123


class RelayProtocol(WebSocketServerProtocol):
    """One client's connection. To its `Member` it is the `member.Connection`."""

    factory: "RelayFactory"
    transport: TCPServer
    _member: Member | None = None
    _drop_call: IDelayedCall | None = None
    _own_reason: str | None = None
    _close_code: int | None = None
    """Of the first Close, whoever sent it."""
    _tail = b""
    """What has been received and not been read, as the member was held in mid-block."""
    _tail_call: IDelayedCall | None = None

    # What Autobahn calls

    def onConnect(self, request: ConnectionRequest) -> None:
        """Admit the client or refuse its handshake."""
        try:
            role, session_id = parse_path(request.path)
            if role not in self.factory.roles:
                raise BadRequest(404, "Not found")
            _, _, query = self.http_request_uri.partition("?")
            self._admission = self.factory.relay.admit(role, session_id, query)
        except BadRequest as refusal:
            raise ConnectionDeny(refusal.status, str(refusal)) from None

    def onOpen(self) -> None:
        """The handshake is done: join the session."""
        relay = self.factory.relay
        self._heard = True
        self._pinged = False
        self._drains = 0
        self._alive_s = 0.0
        # Until now the HTTP channel that the request came through was the transport's producer.
        self.transport.unregisterProducer()
        if isinstance(self.transport, RelayTransport):
            self.offer = self.transport.offer  # type: ignore[method-assign]
            self.unsent = self.transport.unsent  # type: ignore[method-assign]
            self.transport.receive_blocks(relay.buffer, self._take_block)
        self._member = member = relay.join(self._admission, self)
        self.transport.registerProducer(member.sink, True)

    def processData(self) -> bool:
        """Take in ``self.data``: what came with the handshake, or over a transport (TLS, UNIX)
        that hands over bytes."""
        data, self.data = self.data, b""
        member = self._member
        if member is not None and member.source.held and self.state == self.STATE_OPEN:
            # Such a transport may still have had something to deliver when it was paused.
            self._tail += data
            return False
        buffer = self.factory.relay.buffer
        for at in range(0, len(data), BLOCK_BYTES):
            if self._tail:
                self._tail += data[at:]
                break
            block = data[at : at + BLOCK_BYTES]
            buffer.room[: len(block)] = block
            self._take_block(len(block))
        return False

    def onCloseFrame(
        self,
        code: int | None,
        reasonRaw: bytes | None,
    ) -> bool | None:
        """The client closes, or answers our Close."""
        if self._close_code is None:
            self._close_code = CLOSE_NO_STATUS if code is None else code
        self._part("closed by the client")
        return super().onCloseFrame(code, reasonRaw)  # type: ignore[arg-type]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has gone."""
        for call in (self._drop_call, self._tail_call):
            if call is not None and call.active():
                call.cancel()
        member, self._member = self._member, None
        if member is None:
            return
        if self._own_reason is None:
            self._own_reason = "the connection was lost"
        self.factory.relay.closed(member, self._own_reason, self._close_code or CLOSE_ABNORMAL)
        if isinstance(self.transport, RelayTransport):
            self.transport.receive_no_more()
            del self.offer, self.unsent

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the handshake with a JSON body."""
        self.factory.relay.meters.refused(code)
        self.sendData(http_refusal(code, reason, responseHeaders or ()))

    # What the member and the service call

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self._perMessageCompress is not None

    def offer(self, parts: Sequence[Frame]) -> int:
        """See `flow.Outlet`. Where the transport can't tell what it takes, it takes all, and
        pauses its producer when that is too much."""
        data = b"".join(parts)
        self.transport.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """See `flow.Outlet`."""
        self.transport.write(data)

    def unsent(self) -> int:
        """See `flow.Outlet`."""
        return 0

    def pause(self) -> None:
        """Stop reading."""
        if self.state == self.STATE_OPEN:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on: first what is left of the last block, but not now, as others may be in the
        middle of one."""
        if self._tail:
            if self._tail_call is None:
                self._tail_call = self.factory.relay.clock.callLater(0, self._take_tail)
        elif self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.transport.resumeProducing()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; a client that doesn't finish it in time is dropped."""
        if self.state != self.STATE_OPEN:
            return
        self._close_code = code
        self._part(reason)
        self.sendCloseFrame(code, encode_truncate(reason, _CLOSE_REASON_BYTES))
        self.resume()

    def check_alive(self, now_s: float) -> None:
        """Ping a client that is silent, drop one that stays so. Called at intervals."""
        member = self._member
        if member is None or self.state != self.STATE_OPEN:
            return
        settings = self.factory.relay.settings
        if self._heard or member.source.held or member.sink.drains != self._drains:
            self._heard = self._pinged = False
            self._drains = member.sink.drains
            self._alive_s = now_s
        elif not self._pinged and now_s - self._alive_s >= settings.ping_interval:
            self._pinged = True
            self._alive_s = now_s
            member.sink.control(frame(PING, b""), None)
        elif self._pinged and now_s - self._alive_s >= settings.ping_timeout:
            self._own_reason = "no answer to a ping"
            self.dropConnection(abort=True)

    def _take_block(self, length: int) -> None:
        """Take in ``length`` bytes that have been received into the relay's buffer."""
        buffer = self.factory.relay.buffer
        member = self._member
        if member is None:
            return
        self._heard = True
        start, stop = buffer.START, buffer.START + length
        try:
            while start < stop and self.state != self.STATE_CLOSED:
                start = self._read(member, start, stop)
                if member.source.held and self.state == self.STATE_OPEN:
                    self._tail = bytes(buffer.view[start:stop])
                    break
        finally:
            member.bytes_in += start - buffer.START
            member.flush()

    def _take_tail(self) -> None:
        """Take in what was left of the last block, and then let more come."""
        self._tail_call = None
        member = self._member
        if member is None or (member.source.held and self.state == self.STATE_OPEN):
            return
        tail, later = self._tail[:BLOCK_BYTES], self._tail[BLOCK_BYTES:]
        self._tail = b""
        self.factory.relay.buffer.room[: len(tail)] = tail
        self._take_block(len(tail))
        self._tail += later
        if not member.source.held or self.state != self.STATE_OPEN:
            self.resume()

    def _read(self, member: Member, start: int, stop: int) -> int:
        """Read on in the buffer. Returns how far it went: to ``stop``, to a violation, or to where
        the member is held."""
        buffer = self.factory.relay.buffer
        pieces = member.reader.feed(buffer.data, start, stop)
        try:
            for piece in pieces:
                if isinstance(piece, list):
                    member.take_texts(piece)
                elif not piece[0] & CLOSE:
                    member.take(piece, buffer.view)
                else:
                    opcode, _, _, payload, end = piece
                    self._control(member, opcode, bytes(buffer.view[payload:end]))
                    if self.state == self.STATE_CLOSED:
                        break
                if member.source.held:
                    break
        except FrameError as error:
            self.close(error.code, error.reason)
            member.reader.skip_messages()
        finally:
            pieces.close()
        return member.reader.stopped_at if self.state != self.STATE_CLOSED else stop

    def _control(self, member: Member, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.state == self.STATE_OPEN:
                member.sink.control(frame(PONG, payload), member.source)
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else None
            # Autobahn would check these as well, but drop the connection before the client has
            # its Close.
            if self.state == self.STATE_OPEN:
                if len(payload) == 1 or not (code is None or self._may_close_with(code)):
                    self.close(CLOSE_PROTOCOL_ERROR, "bad close code")
                    return
                if not is_text(payload[2:]):
                    self.close(CLOSE_INVALID_PAYLOAD, "close reason that is not UTF-8")
                    return
            self.onCloseFrame(code, payload[2:] or None)

    def _may_close_with(self, code: int) -> bool:
        return code in self.CLOSE_STATUS_CODES_ALLOWED or 3000 <= code <= 4999

    def _part(self, why: str) -> None:
        """Leave the session, and see that the connection ends even if the client does nothing."""
        if self._drop_call is not None:
            return
        relay = self.factory.relay
        self._own_reason = why
        self._drop_call = relay.clock.callLater(relay.settings.close_timeout, self._drop)
        if self._member is not None:
            self._member.reader.skip_messages()
            relay.leave(self._member, why)

    def _drop(self) -> None:
        self.transport.abortConnection()


def _decline(offers: Sequence[object]) -> None:
    """No compression, whatever is offered."""


def _with_options(
    protocol: type[RelayProtocol], factory: WebSocketServerFactory
) -> type[RelayProtocol]:
    """A subclass of ``protocol`` that has the factory's options as class attributes.

    Autobahn copies them to every connection and pretty-prints them for its debug log: half of
    what it costs to take a connection, and a sixth of what one weighs.
    """
    options = {name: getattr(factory, name) for name in protocol.CONFIG_ATTRS}
    functions = {name: staticmethod(value) for name, value in options.items() if callable(value)}
    return type(protocol.__name__, (protocol,), {**options, **functions, "CONFIG_ATTRS": ()})


class RelayFactory(WebSocketServerFactory):
    """What both factories share: the service, and which roles they take."""

    roles: frozenset[Role]

    def __init__(self, relay: RelayService) -> None:
        super().__init__(server=f"AppTunerRelay/{__version__}", reactor=relay.clock)
        self.relay = relay
        # The time-outs are ours: they run on the service's clock.
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            echoCloseCodeReason=True,
            failByDrop=False,
            tcpNoDelay=True,
            perMessageCompressionAccept=accept if relay.settings.compression else _decline,
        )
        self.protocol = _with_options(RelayProtocol, self)


class DesktopSideFactory(RelayFactory):
    """Takes CLIs, dashboards and desktops."""

    roles = frozenset({Role.CLI, Role.DASHBOARD, Role.DESKTOP})


class MobileFactory(RelayFactory):
    """Takes phones."""

    roles = frozenset({Role.MOBILE})
