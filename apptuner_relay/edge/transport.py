"""TCP transports that receive into the buffer that all connections share (`flow.receive_buffer`).

Twisted's own transport makes a bytes object of every block that it receives, and copies whatever it
is given to write. A `BlockTransport` receives into the shared buffer, one connection after the
other, and sends straight out of it. Until a connection's protocol asks for that with
`BlockTransport.receive_blocks`, it is Twisted's transport, which HTTP requests need.
"""

import fcntl
import socket
import sys
import termios
from collections.abc import Callable, Sequence
from errno import EAGAIN, EINTR, EWOULDBLOCK
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from apptuner_relay.edge.unsent_limit import UnsentLimit, limit_unsent
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from apptuner_relay.support.private_names.of_twisted import (
    BufferedConnection,
    TCPConnector,
    accept_few,
    set_transport,
)
from apptuner_relay.wire.frames import Frame

_BIG_PART_BYTES = 2048
"""Parts of this size on average are sent as they are; joining smaller ones costs less."""
_FEW_PARTS = 4
_MOST_PARTS = 1024
"""``UIO_MAXIOV``: the most parts that Linux takes in one call."""
_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
MOST_ACCEPTS = 8
"""How many connections are taken in one turn of the reactor: a handshake takes up to 0.5 ms."""
_QUEUE = 1024
"""How many connections may wait to be taken, which the system may lower. Twisted's 50 are too few
for a crowd: the system would not answer the others, who try again after a second."""
_BUSY = (EAGAIN, EWOULDBLOCK, EINTR)


def _ignore(length: int) -> None:
    """The connection has ended: no protocol takes blocks."""


class BlockReceiver:
    """A transport that can receive into a `ReceiveBuffer`."""

    __slots__ = ()

    def receive_blocks(self, buffer: ReceiveBuffer, block_received: Callable[[int], None]) -> None:
        """From now on receive into ``buffer`` and call ``block_received(length)``, instead of the
        protocol's ``dataReceived``."""
        raise NotImplementedError

    def receive_no_more(self) -> None:
        """Forget the protocol, whose connection has ended, so that it is freed without the garbage
        collector."""
        raise NotImplementedError


class BlockTransport(BlockReceiver, BufferedConnection):
    """A TCP connection that can receive into a `ReceiveBuffer`, and offer without copying."""

    _buffer: ReceiveBuffer | None = None
    _block_received: Callable[[int], None]
    _broken = False
    _unsent_limit: UnsentLimit | None = None
    """From the first time on that the kernel didn't take all."""
    _is_in_turn = False
    """Whether a block that was received is taken in now."""
    _is_over = False
    """Whether the connection ends with this turn."""

    def receive_no_more(self) -> None:
        """See `BlockReceiver`."""
        self._buffer = None
        self._block_received = _ignore

    def receive_blocks(self, buffer: ReceiveBuffer, block_received: Callable[[int], None]) -> None:
        """See `BlockReceiver`."""
        self._buffer = buffer
        self._block_received = block_received

    def doRead(self) -> Exception | None:  # type: ignore[override]
        """See `IReadDescriptor`."""
        if self._buffer is None:
            result: Exception | None = super().doRead()
            return result
        try:
            length = self.socket.recv_into(self._buffer.next_room)
        except OSError as error:
            return None if error.errno in _BUSY else main.CONNECTION_LOST
        if not length:
            return main.CONNECTION_DONE
        self._is_in_turn = True
        self._block_received(length)
        self._is_in_turn = False
        return main.CONNECTION_DONE if self._is_over else None

    def readConnectionLost(self, reason: Failure) -> None:
        """See `IHalfCloseableDescriptor`."""
        if self._is_over:
            self.connectionLost(reason)
        else:
            super().readConnectionLost(reason)

    def offer(self, parts: Sequence[Frame]) -> int:
        """Send what the kernel takes of ``parts`` now. Returns how many bytes that is; where it
        isn't all, the registered producer's ``resumeProducing`` is called once the kernel takes
        more."""
        sent = 0
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        if not self.connected or self.disconnecting or self._broken:
            return size
        if not self.has_buffered:
            try:
                if len(parts) == 1:
                    sent = self.socket.send(parts[0])
                elif len(parts) <= _FEW_PARTS or (
                    size >= _BIG_PART_BYTES * len(parts) and len(parts) <= _MOST_PARTS
                ):
                    sent = self.socket.sendmsg(parts)
                else:
                    sent = self.socket.send(b"".join(parts))
            except OSError as error:
                self._broken = error.errno not in _BUSY
        if sent < size:
            self.wait_for_room()
            if self._unsent_limit is None:
                self._unsent_limit = UnsentLimit()
            self._unsent_limit.full(self._seconds())
        return sent

    def send(self, data: bytes) -> None:
        """Write ``data``: at once, where the kernel takes it."""
        sent = self.offer([data])
        if sent < len(data):
            self.write(data[sent:])

    def end(self) -> None:
        """End the connection behind what was written: at the end of this turn where nothing waits,
        without another round of the reactor."""
        if self._is_in_turn and not self.has_buffered:
            self.disconnecting = self._is_over = True
        else:
            self.loseConnection()

    @property
    def pending(self) -> bool:
        """Whether anything that was written waits for the kernel to take it."""
        return bool(self.connected) and self.has_buffered

    def unsent(self) -> int:
        """How many bytes the kernel holds that the peer has not acknowledged."""
        if not self.connected:
            return 0
        answer = fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def doWrite(self) -> Exception | None:  # type: ignore[override]
        """See `IWriteDescriptor`."""
        if self._broken:
            return main.CONNECTION_LOST
        if self.producer is None or self.has_buffered:
            result: Exception | None = super().doWrite()
            return result
        limit = self._unsent_limit
        if limit is not None and limit.room(self._seconds()):
            limit_unsent(self.socket, limit.bytes)
        self.give_room()
        return None

    def _seconds(self) -> float:
        now_s: float = self.reactor.seconds()  # type: ignore[attr-defined]
        return now_s


class RelayTransport(BlockTransport, tcp.Server):
    """A `BlockTransport` for a connection that a client has opened."""


class AdoptedTransport(RelayTransport):
    """A `RelayTransport` for a listening socket that other processes hold, too: the socket's
    options stay as they are, and each connection gets its own."""

    def __init__(self, connection: socket.socket, *arguments: Any) -> None:
        limit_unsent(connection)
        super().__init__(connection, *arguments)


class PeerTransport(BlockTransport, tcp.Client):
    """A `BlockTransport` for a connection that this relay has opened."""


class PeerConnector(TCPConnector):
    """Opens a `PeerTransport`."""

    transport_class = PeerTransport


def tune(port: IListeningPort, is_adopted: bool = False) -> None:
    """Have ``port``, where it is TCP, make its connections `RelayTransport`, and keep small what
    the kernel holds unsent of each (``TCP_NOTSENT_LOWAT``, inherited from the listening socket): a
    slow phone then costs little memory, and a pong to it waits behind little. Of clients that come
    all at once, as after a restart, it takes a few in each turn of the reactor, so that those that
    are there already don't wait for all of them.

    :param is_adopted: whether other processes hold the port's socket, too.
    """
    if isinstance(port, tcp.Port) and port.addressFamily in _TCP_FAMILIES:
        accept_few(port, MOST_ACCEPTS)
        if is_adopted:
            set_transport(port, AdoptedTransport)
        else:
            set_transport(port, RelayTransport)
            limit_unsent(port.socket)
            port.socket.listen(_QUEUE)


def send_nothing(parts: Sequence[Frame]) -> int:
    """The `outlet.Outlet.offer` of a connection that has ended: what it is offered is lost."""
    return sum(map(len, parts))


def nothing_unsent() -> int:
    """The `outlet.Outlet.unsent` of a transport that can't tell, or has ended."""
    return 0
