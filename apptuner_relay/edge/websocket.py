"""A WebSocket connection between its handshakes: the frames go through the relay's own
`FrameReader`, in blocks, to the connection's `FrameHandler`. Clients open such connections to this
relay, and relays to each other.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.tcp import Connection as TCPConnection

from apptuner_relay.edge.closing_handshake import ClosingHandshake
from apptuner_relay.edge.closing_states import ClosingEvent, ClosingState
from apptuner_relay.edge.pinged import PingedConnection
from apptuner_relay.edge.transport import (
    BlockReceiver,
    BlockTransport,
    nothing_unsent,
    send_nothing,
)
from apptuner_relay.flow.receive_buffer import BLOCK_BYTES, TURN_S
from apptuner_relay.relay.frame_handler import FrameHandler
from apptuner_relay.wire.closing import cut_reason, read_close
from apptuner_relay.wire.frames import (
    CLOSE,
    CLOSE_NO_STATUS,
    HEADROOM,
    LONE_BYTES,
    PING,
    PONG,
    Frame,
    FrameError,
    frame,
)

_LAST_TURNS = 20
"""For how many turns together a lost connection is taken in."""
_CLOSED_BY_CLIENT = "closed by the client"
_OPEN, _GONE = ClosingState.OPEN, ClosingState.GONE
"""Names that cost less to look up: they are compared for each block."""


class FramedConnection(PingedConnection):
    """A base class. It is the `frame_handler.Connection` of its `FrameHandler`. Where Autobahn has
    read the handshake, `HandshakeProtocol` is to be named behind it."""

    factory: Any
    transport: TCPConnection
    frame_handler: FrameHandler | None = None
    """What the received frames go to; None before the opening handshake and after the end."""
    takes_parts = False
    """See `outlet.Outlet`."""
    offer: Callable[[Sequence[Frame]], int] = staticmethod(send_nothing)
    """See `outlet.Outlet`."""
    unsent: Callable[[], int] = staticmethod(nothing_unsent)
    """See `outlet.Outlet`."""
    _unread = b""
    """What was received, and not read: the source was held in mid-block, or its turn was over."""
    _unread_call: IDelayedCall | None = None

    # A protocol that is named behind this class has these, or a subclass.
    send_close: Callable[[int | None, bytes | None], None]
    """Send a Close, unless one was sent."""
    finish_closing: Callable[[], None]
    """Both sides have sent a Close: as the server, end the connection below."""
    drop: Callable[[], None]
    """End the connection below at once, without a closing handshake."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ClosingHandshake()

    # For subclasses

    def opened(self) -> FrameHandler:
        """The opening handshake is done. Returns what the frames go to."""
        raise NotImplementedError

    def leaving(self, handler: FrameHandler, why: str) -> None:
        """The closing handshake has begun: messages of the peer no longer count."""
        raise NotImplementedError

    def ended(self, handler: FrameHandler, why: str, code: int) -> None:
        """The connection has ended; ``code`` is the close code (RFC 6455 §7.4)."""
        raise NotImplementedError

    def outgoing(self, transport: BlockTransport) -> Callable[[Sequence[Frame]], int]:
        """The `outlet.Outlet.offer` of a connection that begins."""
        return transport.offer

    # What the protocol calls

    def onOpen(self) -> None:
        """The opening handshake is done."""
        self.establish()
        self.start()

    def establish(self) -> None:
        """The connection is open, though nothing is read yet."""
        self.closing.advance(ClosingEvent.OPENED)
        self.begin_pings()

    def start(self) -> None:
        """Begin to read."""
        self._keepalive.heard(self.relay.clock.seconds())
        if isinstance(self.transport, BlockTransport):
            self.offer = self.outgoing(self.transport)
            self.unsent = self.transport.unsent
            self.takes_parts = True
            self.transport.receive_blocks(self.relay.buffer, self._take_block)
        else:
            self.offer = self._write_parts
            if isinstance(self.transport, BlockReceiver):
                self.transport.receive_blocks(self.relay.buffer, self._take_block)
        self.frame_handler = handler = self.opened()
        self.transport.registerProducer(handler.sink, True)

    def bytes_received(self, data: bytes) -> None:
        """Take in what was received with the handshake, or through a transport (TLS, UNIX) that
        hands over bytes."""
        handler = self.frame_handler
        if handler is not None and handler.source.held and self.closing.takes_messages:
            # Such a transport may still have had something to deliver when it was paused.
            self._unread += data
            return
        buffer = self.relay.buffer
        for at in range(0, len(data), BLOCK_BYTES):
            if self._unread:
                self._unread += data[at:]
                break
            block = data[at : at + BLOCK_BYTES]
            buffer.room[: len(block)] = block
            self._take_block(len(block))

    def dropped(self) -> None:
        """The relay ends the connection below."""
        self.closing.advance(ClosingEvent.DROP)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        self._take_last()
        self.closing.advance(ClosingEvent.LOST)
        self.closing.stop()
        handler, self.frame_handler = self.frame_handler, None
        if handler is None:
            return
        self.ended(handler, self.closing.reason, self.closing.code)
        # What refers to the connection goes, so that it needs no garbage collector to go.
        if isinstance(self.transport, BlockReceiver):
            self.transport.receive_no_more()
        self.offer, self.unsent = send_nothing, nothing_unsent

    # What the frame handler and the service call

    def serve(self, handler: FrameHandler) -> None:
        """From now on the frames go to ``handler``, which has the source, sink and reader of the
        one before. Not to be called while a block is taken in."""
        self.frame_handler = handler

    def write(self, data: bytes) -> None:
        """See `outlet.Outlet`."""
        self.transport.write(data)

    def pause(self) -> None:
        """Stop reading."""
        if self.closing.takes_messages:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on: first what is left of the last block, but in the reactor's next turn, as another
        connection may be in the middle of a block now."""
        self._keepalive.read_again()
        if self._unread:
            if self._unread_call is None:
                self._unread_call = self.relay.clock.callLater(0, self._take_unread)
        elif self.closing.state is not _GONE:
            self.transport.resumeProducing()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; a peer that doesn't finish it in time is dropped."""
        before = self.closing.state
        if not self.closing.advance(ClosingEvent.CLOSE):
            return
        if before is ClosingState.OPEN:
            self.closing.code, self.closing.reason = code, reason
        self._begin_closing(reason)
        if before is ClosingState.OPEN:
            self.send_close(code, cut_reason(reason))
        self.resume()

    def dismiss(self, code: int, reason: str) -> None:
        """Begin the closing handshake, but take in messages until the peer has answered: it
        believes that they are sent. A peer that stops both sending and reading is dropped. To be
        called when nothing is on its way to the peer."""
        handler = self.frame_handler
        if handler is None or self.closing.state is not ClosingState.OPEN:
            return
        self.closing.code, self.closing.reason = code, reason
        handler.sink.close()
        self.send_close(code, cut_reason(reason))
        if self.closing.advance(ClosingEvent.DISMISS):
            self.closing.drop_when_idle(
                self.relay.clock,
                self.relay.settings.limits.close_timeout,
                lambda: self._progress(handler),
                lambda: handler.source.held,
                self._drop,
            )

    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""
        self.transport.abortConnection()

    # Reading

    def _take_block(self, length: int) -> None:
        """Take in ``length`` bytes that have been received into the relay's buffer."""
        relay, handler = self.relay, self.frame_handler
        if handler is None:
            return
        buffer, now_s = relay.buffer, relay.clock.seconds()
        self._keepalive.heard(now_s)
        start, stop = HEADROOM, HEADROOM + length
        if length <= LONE_BYTES and self.closing.state is _OPEN:
            text = handler.reader.lone_text(buffer.data, start, stop)
            if text is not None:
                handler.bytes_in += length
                if not handler.take_alone(text, now_s):
                    self._take_text(handler, text)
                return
        try:
            while start < stop and self.closing.state is not _GONE:
                start = self._read(handler, start, stop, now_s + TURN_S)
                is_held = handler.source.held and self.closing.takes_messages
                if is_held or self.relay.clock.seconds() >= now_s + TURN_S:
                    self._unread = bytes(buffer.view[start:stop])
                    if self._unread and not is_held:
                        self.transport.pauseProducing()
                        self.resume()
                    break
        finally:
            handler.bytes_in += start - HEADROOM
            handler.flush()

    def _take_text(self, handler: FrameHandler, text: bytearray) -> None:
        """Take in the text of a block that was nothing else."""
        try:
            handler.take_texts([text])
        except FrameError as error:
            self._refuse(handler, error)
        finally:
            handler.flush()

    def _take_unread(self) -> None:
        """Take in what was left of the last block, and then let more be received."""
        self._unread_call = None
        handler = self.frame_handler
        if handler is None or (handler.source.held and self.closing.takes_messages):
            return
        block, later = self._unread[:BLOCK_BYTES], self._unread[BLOCK_BYTES:]
        self._unread = b""
        self.relay.buffer.room[: len(block)] = block
        self._take_block(len(block))
        self._unread += later
        if not handler.source.held or not self.closing.takes_messages:
            self.resume()

    def _take_last(self) -> None:
        """The connection is lost: take in what was received before, where nobody holds it. The last
        logs of a phone that crashes say why."""
        for _ in range(_LAST_TURNS):
            if self._unread_call is None:
                break
            self._unread_call.cancel()
            self._take_unread()

    def _read(self, handler: FrameHandler, start: int, stop: int, until_s: float) -> int:
        """Read on in the buffer. Returns how far it went: to ``stop``, to a violation, or to where
        the source is held or the turn is over."""
        buffer, seconds = self.relay.buffer, self.relay.clock.seconds
        pieces = handler.reader.feed(buffer.data, start, stop)
        try:
            for piece in pieces:
                if isinstance(piece, list):
                    handler.take_texts(piece)
                elif not piece[0] & CLOSE:
                    handler.take(piece, buffer.view)
                else:
                    opcode, _, _, payload, until = piece
                    self.control_received(handler, opcode, bytes(buffer.view[payload:until]))
                    if self.closing.state is _GONE:
                        break
                if handler.source.held or seconds() >= until_s:
                    break
        except FrameError as error:
            self._refuse(handler, error)
        finally:
            pieces.close()
        return handler.reader.stopped_at if self.closing.state is not _GONE else stop

    def _refuse(self, handler: FrameHandler, error: FrameError) -> None:
        self.close(error.code, error.reason)
        handler.reader.skip_messages()
        if handler.reader.unreadable:
            self._end_our_side()

    def control_received(self, handler: FrameHandler, opcode: int, payload: bytes) -> None:
        """A control frame was received."""
        if opcode == PING:
            if self.closing.state is ClosingState.OPEN:
                handler.sink.control(frame(PONG, payload), handler.source)
        elif opcode == PONG:
            self.pong_received(payload)
        elif opcode == CLOSE:
            try:
                code, reason = read_close(payload)
            except FrameError as error:
                # A malformed Close is accepted as the answer to ours.
                code, reason = None, b""
                if self.closing.state is ClosingState.OPEN:
                    self.close(error.code, error.reason)
                    return
            self.close_received(code, reason)

    def close_received(self, code: int | None, reason: bytes) -> None:
        """The peer closes, or answers our Close."""
        before = self.closing.state
        if before is ClosingState.OPEN:
            self.closing.code = CLOSE_NO_STATUS if code is None else code
            self.closing.reason = _CLOSED_BY_CLIENT
        if self.closing.advance(ClosingEvent.CLOSE_RECEIVED):
            self._begin_closing(_CLOSED_BY_CLIENT)
        # Autobahn would check the code once more, by a list that ends at 1013, and when our Close
        # is answered it would reset TCP, which browsers report as unclean.
        if before is ClosingState.OPEN:
            self.send_close(code, reason or None)
        elif before is _GONE:
            return
        self.finish_closing()

    # Closing

    def _begin_closing(self, why: str) -> None:
        """Leave the session, and drop the peer if it doesn't finish the handshake in time."""
        relay = self.relay
        self.closing.drop_later(relay.clock, relay.settings.limits.close_timeout, self._drop)
        if self.frame_handler is not None:
            self.frame_handler.reader.skip_messages()
            self.leaving(self.frame_handler, why)

    def _progress(self, handler: FrameHandler) -> tuple[int, int]:
        # Below TLS there is a connection that can tell.
        below = getattr(self.transport, "transport", None)
        unsent = below.unsent if isinstance(below, BlockTransport) else self.unsent
        return handler.bytes_in, unsent()

    def _end_our_side(self) -> None:
        """Send TCP's FIN behind our Close: the peer's own Close can't be read any more, and the
        peer may be waiting for the server to end the connection (RFC 6455 §7.1.1)."""
        if isinstance(self.transport, BlockTransport):
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def _write_parts(self, parts: Sequence[Frame]) -> int:
        """The `outlet.Outlet.offer` of a transport that takes everything, and pauses its producer
        when that is too much."""
        data = b"".join(parts)
        self.transport.write(data)
        return len(data)

    def _drop(self) -> None:
        self.transport.abortConnection()
