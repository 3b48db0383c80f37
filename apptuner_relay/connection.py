"""A WebSocket connection in which Autobahn does the opening and the closing handshake, and all that
comes in between goes through our own `FrameReader`, in blocks, to whoever the connection stands
for: what clients open to this relay, and what relays open to each other.
"""

from collections.abc import Callable, Sequence
from typing import Any

from autobahn.util import encode_truncate
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.tcp import Connection as TCPConnection

from apptuner_relay.ends import End
from apptuner_relay.flow import Frame
from apptuner_relay.pulse import Call, Pulse
from apptuner_relay.secure import SecureTransport
from apptuner_relay.service import RelayService
from apptuner_relay.transport import BLOCK_BYTES, BlockTransport
from apptuner_relay.wire.closing import read_close
from apptuner_relay.wire.frames import (
    CLOSE,
    CLOSE_ABNORMAL,
    CLOSE_NO_STATUS,
    CLOSE_POLICY,
    PING,
    PONG,
    FrameError,
    frame,
)

COMMON_OPTIONS: dict[str, Any] = {
    # The time-outs are ours: they run on the service's clock.
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "autoPingInterval": 0,
    "echoCloseCodeReason": True,
    "failByDrop": False,
    "tcpNoDelay": True,
}
"""What Autobahn is told for connections of either direction."""

_CLOSE_REASON_BYTES = 123
_LATELY_S = 1.0
"""Who was heard so shortly before needn't be pinged to be known alive."""
NO_ANSWER = "no answer to a ping"


class FramedConnection(WebSocketProtocol):
    """To go before one of Autobahn's protocols. To its `End` it is the `ends.Connection`."""

    factory: Any
    transport: TCPConnection
    _end: End | None = None
    _drop_call: IDelayedCall | None = None
    _own_reason: str | None = None
    _close_code: int | None = None
    """Of the first Close, whoever sent it."""
    _tail = b""
    """What has been received and not been read, as the end was held in mid-block."""
    _tail_call: IDelayedCall | None = None
    _is_dismissed = False
    """Whether our Close is sent and what comes still counts, until `_part`."""
    heard_s = 0.0
    """When something came last, in seconds of the clock."""
    _answered: Callable[[], None] | None = None
    """Called when the peer answers a ping."""

    # What a subclass has

    @property
    def relay(self) -> RelayService:
        """The service that this belongs to."""
        raise NotImplementedError

    def parted(self, end: End, why: str) -> None:
        """The connection is as good as over: nothing that comes counts any more."""
        raise NotImplementedError

    def gone(self, end: End, why: str, code: int) -> None:
        """The connection has gone; ``code`` is the close code (RFC 6455 §7.4)."""
        raise NotImplementedError

    def opened(self) -> End:
        """The handshake is done: who is there?"""
        raise NotImplementedError

    # What Autobahn calls

    def onOpen(self) -> None:
        """The handshake is done."""
        self._heard = True
        self._drains = 0
        settings = self.relay.settings
        self.heard_s = now_s = self.relay.clock.seconds()
        self._pulse = Pulse(settings.ping_interval, settings.ping_timeout, now_s)
        if isinstance(self.transport, BlockTransport):
            self.offer = self.transport.offer  # type: ignore[method-assign]
            self.unsent = self.transport.unsent  # type: ignore[method-assign]
            self.transport.receive_blocks(self.relay.buffer, self._take_block)
        elif isinstance(self.transport, SecureTransport):
            self.transport.receive_blocks(self.relay.buffer, self._take_block)
        self._end = end = self.opened()
        self.transport.registerProducer(end.sink, True)

    def processData(self) -> bool:
        """Take in ``self.data``: what came with the handshake, or over a transport (TLS, UNIX)
        that hands over bytes."""
        data, self.data = self.data, b""
        end = self._end
        if end is not None and end.source.held and self._counts:
            # Such a transport may still have had something to deliver when it was paused.
            self._tail += data
            return False
        buffer = self.relay.buffer
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
        """The peer closes, or answers our Close."""
        if self._close_code is None:
            self._close_code = CLOSE_NO_STATUS if code is None else code
        self._part("closed by the client")
        # Autobahn would check the code once more, by a list that ends at 1013, and when our Close
        # is answered it would reset TCP, which browsers report as unclean.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code, reasonRaw, isReply=True)
        elif self.state != self.STATE_CLOSING:
            return None
        self.wasClean = True
        if self.factory.isServer:
            self.dropConnection(abort=False)
        return None

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has gone."""
        for call in (self._drop_call, self._tail_call):
            if call is not None and call.active():
                call.cancel()
        end, self._end = self._end, None
        if end is None:
            return
        if self._own_reason is None:
            self._own_reason = "the connection was lost"
        self.gone(end, self._own_reason, self._close_code or CLOSE_ABNORMAL)
        if isinstance(self.transport, BlockTransport):
            self.transport.receive_no_more()
            del self.offer, self.unsent
        elif isinstance(self.transport, SecureTransport):
            self.transport.receive_no_more()

    # What the end and the service call

    def serve(self, end: End) -> None:
        """From now on stand for ``end``, which has the source, sink and reader of the one before.
        Not to be called while a block is taken in."""
        self._end = end

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
        if self._counts:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on: first what is left of the last block, but not now, as others may be in the
        middle of one."""
        # What it has sent meanwhile, answers to pings too, is yet to be read.
        self._heard = True
        if self._tail:
            if self._tail_call is None:
                self._tail_call = self.relay.clock.callLater(0, self._take_tail)
        elif self.state in (self.STATE_OPEN, self.STATE_CLOSING):
            self.transport.resumeProducing()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; a peer that doesn't finish it in time is dropped."""
        if self.state == self.STATE_OPEN:
            self._close_code = code
            self._part(reason)
            self.sendCloseFrame(code, encode_truncate(reason, _CLOSE_REASON_BYTES))
        elif self._is_dismissed:
            self._part(reason)
        else:
            return
        self.resume()

    def dismiss(self, code: int, reason: str) -> None:
        """Begin the closing handshake, but take in what comes until the peer has answered: it
        believes that to be sent. A peer that goes on neither sending nor reading is dropped. To be
        called when nothing is on its way to it."""
        end = self._end
        if end is None or self.state != self.STATE_OPEN:
            return
        self._close_code = code
        self._own_reason = reason
        end.sink.close()
        self.sendCloseFrame(code, encode_truncate(reason, _CLOSE_REASON_BYTES))
        self._is_dismissed = True
        self._wait_for_close(end, self._progress(end))

    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""
        self.transport.abortConnection()

    def check_alive(self, now_s: float) -> None:
        """Ping a peer that is silent, give up one that stays so: see `Pulse`. Called at times."""
        end = self._end
        if end is None or self.state != self.STATE_OPEN:
            return
        is_alive = self._heard or end.sink.drains != self._drains
        self._heard, self._drains = False, end.sink.drains
        call = self._pulse.look(now_s, is_alive, end.source.held)
        if call is Call.PING:
            # One that waits says as much as many.
            if not end.sink.expects_control:
                end.sink.control(frame(PING, b""), None)
        elif call is Call.DROP:
            self.fell_silent()

    def fell_silent(self) -> None:
        """The peer has answered no ping. It may be back one day, and is to know then that it has to
        connect again."""
        self.close(CLOSE_POLICY, NO_ANSWER)

    def last_heard_s(self) -> float:
        """See `ends.Connection`."""
        end = self._end
        if end is None:
            return self.heard_s
        reads = end.sink.drains != self._drains
        if end.source.held or (reads and self._pulse.is_asked):
            # What it says isn't read, or it has taken something since it was asked.
            return self.relay.clock.seconds()
        return max(self.heard_s, self._pulse.since_s) if reads else self.heard_s

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `ends.Connection`."""
        end, now_s = self._end, self.relay.clock.seconds()
        if end is None or self.state != self.STATE_OPEN:
            return None
        if now_s - self.heard_s < _LATELY_S:
            if answered is not None:
                answered()
            return None
        if answered is not None:
            self._answered = answered
        if self._heard or not self._pulse.is_asked:
            self._heard, self._drains = False, end.sink.drains
            self._pulse.ask(now_s)
            end.sink.control(frame(PING, b""), None)
        return self._pulse.since_s

    def _take_block(self, length: int) -> None:
        """Take in ``length`` bytes that have been received into the relay's buffer."""
        buffer = self.relay.buffer
        end = self._end
        if end is None:
            return
        self._heard = True
        self.heard_s = self.relay.clock.seconds()
        start, stop = buffer.START, buffer.START + length
        try:
            while start < stop and self.state != self.STATE_CLOSED:
                start = self._read(end, start, stop)
                if end.source.held and self._counts:
                    self._tail = bytes(buffer.view[start:stop])
                    break
        finally:
            end.bytes_in += start - buffer.START
            end.flush()

    def _take_tail(self) -> None:
        """Take in what was left of the last block, and then let more come."""
        self._tail_call = None
        end = self._end
        if end is None or (end.source.held and self._counts):
            return
        tail, later = self._tail[:BLOCK_BYTES], self._tail[BLOCK_BYTES:]
        self._tail = b""
        self.relay.buffer.room[: len(tail)] = tail
        self._take_block(len(tail))
        self._tail += later
        if not end.source.held or not self._counts:
            self.resume()

    def _read(self, end: End, start: int, stop: int) -> int:
        """Read on in the buffer. Returns how far it went: to ``stop``, to a violation, or to where
        the end is held."""
        buffer = self.relay.buffer
        pieces = end.reader.feed(buffer.data, start, stop)
        try:
            for piece in pieces:
                if isinstance(piece, list):
                    end.take_texts(piece)
                elif not piece[0] & CLOSE:
                    end.take(piece, buffer.view)
                else:
                    opcode, _, _, payload, until = piece
                    self._control(end, opcode, bytes(buffer.view[payload:until]))
                    if self.state == self.STATE_CLOSED:
                        break
                if end.source.held:
                    break
        except FrameError as error:
            self.close(error.code, error.reason)
            end.reader.skip_messages()
            if end.reader.unreadable:
                self._end_our_side()
        finally:
            pieces.close()
        return end.reader.stopped_at if self.state != self.STATE_CLOSED else stop

    def _control(self, end: End, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.state == self.STATE_OPEN:
                end.sink.control(frame(PONG, payload), end.source)
        elif opcode == PONG:
            answered, self._answered = self._answered, None
            if answered is not None:
                answered()
        elif opcode == CLOSE:
            try:
                code, reason = read_close(payload)
            except FrameError as error:
                # As the answer to our Close, any will do.
                code, reason = None, b""
                if self.state == self.STATE_OPEN:
                    self.close(error.code, error.reason)
                    return
            self.onCloseFrame(code, reason or None)

    @property
    def _counts(self) -> bool:
        """Whether what comes is taken in as messages."""
        return self.state == self.STATE_OPEN or (
            self._is_dismissed and self.state == self.STATE_CLOSING
        )

    def _progress(self, end: End) -> tuple[int, int]:
        # TLS stands on a connection that can tell.
        below = getattr(self.transport, "transport", None)
        unsent = below.unsent if isinstance(below, BlockTransport) else self.unsent
        return end.bytes_in, unsent()

    def _wait_for_close(self, end: End, before: tuple[int, int]) -> None:
        """Look again after a while, and drop a peer that has done nothing meanwhile."""

        def look() -> None:
            self._drop_call = None
            now = self._progress(end)
            if end.source.held or now != before:
                self._wait_for_close(end, now)
            else:
                self._drop()

        clock = self.relay.clock
        self._drop_call = clock.callLater(self.relay.settings.close_timeout, look)

    def _part(self, why: str) -> None:
        """See that the connection ends even if the peer does nothing."""
        if self._is_dismissed:
            self._is_dismissed = False
            if self._drop_call is not None:
                self._drop_call.cancel()
                self._drop_call = None
        elif self._drop_call is None:
            self._own_reason = why
        else:
            return
        relay = self.relay
        self._drop_call = relay.clock.callLater(relay.settings.close_timeout, self._drop)
        if self._end is not None:
            self._end.reader.skip_messages()
            self.parted(self._end, why)

    def _end_our_side(self) -> None:
        """Behind our Close send nothing more, which TCP tells the peer: its own Close can't be
        read any more, and it may be waiting for us to end the connection (RFC 6455 §7.1.1)."""
        if isinstance(self.transport, BlockTransport):
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def _drop(self) -> None:
        self.transport.abortConnection()
