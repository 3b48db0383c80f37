"""The receive buffer of a reactor, and the TCP transports that receive into it.

Twisted's own transport makes a bytes object of every block that it receives and copies whatever it
is given to write. A `BlockTransport` receives into one buffer that all connections share, one after
the other, and sends straight out of it. Until a connection's protocol asks for that with
`BlockTransport.receive_blocks`, it is Twisted's transport, which HTTP requests need.
"""

import fcntl
import socket
import sys
import termios
from collections import deque
from collections.abc import Callable, Sequence
from errno import EAGAIN, EINTR, EWOULDBLOCK
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.interfaces import IListeningPort

from apptuner_relay.flow import Frame
from apptuner_relay.wire.frames import HEADROOM

BLOCK_BYTES = 512 * 1024
"""The most that is received at once."""

MOST_BUFFERS = 16
"""How many blocks there may be: the one that is received into, and those that the disk has."""

_NOTSENT_BYTES = 512 * 1024
_FEW_PARTS = 4
_TCP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_BUSY = (EAGAIN, EWOULDBLOCK, EINTR)


class ReceiveBuffer:
    """What a block is received into: `data`, from `START` on. One serves a whole reactor, as the
    relay is done with a block before the next is received; and what isn't done with it, such as a
    disk, has it lent."""

    START = HEADROOM

    def __init__(self) -> None:
        self._spare: deque[bytearray] = deque()
        self._count = 0
        self._use(self._another())

    def lend(self) -> Callable[[], None] | None:
        """Give away what was received into, and go on with another. What is returned gives it back,
        in any thread; None when there is no other."""
        if self._spare:
            other = self._spare.pop()
        elif self._count < MOST_BUFFERS:
            other = self._another()
        else:
            return None
        lent = self.data
        self._use(other)
        return lambda: self._spare.append(lent)

    def _another(self) -> bytearray:
        self._count += 1
        return bytearray(HEADROOM + BLOCK_BYTES)

    def _use(self, data: bytearray) -> None:
        self.data = data
        self.view = memoryview(data)
        self.room = self.view[HEADROOM:]


def _ignore(length: int) -> None:
    """Nobody takes blocks any more."""


class BlockTransport(tcp.Connection):
    """A TCP connection that can receive into a `ReceiveBuffer`, and offer without copying."""

    _buffer: ReceiveBuffer | None = None
    _block_received: Callable[[int], None]
    _broken = False

    def receive_no_more(self) -> None:
        """The protocol is done; forget it, so that it needs no garbage collector to go."""
        self._buffer = None
        self._block_received = _ignore

    def receive_blocks(self, buffer: ReceiveBuffer, block_received: Callable[[int], None]) -> None:
        """From now on put what comes into ``buffer`` and call ``block_received(length)``, instead
        of the protocol's ``dataReceived``."""
        self._buffer = buffer
        self._block_received = block_received

    def doRead(self) -> Exception | None:  # type: ignore[override]
        """There is something to read."""
        if self._buffer is None:
            result: Exception | None = super().doRead()
            return result
        try:
            length = self.socket.recv_into(self._buffer.room)
        except OSError as error:
            return None if error.errno in _BUSY else main.CONNECTION_LOST
        if not length:
            return main.CONNECTION_DONE
        self._block_received(length)
        return None

    def offer(self, parts: Sequence[Frame]) -> int:
        """Send what the kernel takes of ``parts`` now; returns how many bytes. When that isn't
        all, the registered producer's ``resumeProducing`` is called when it takes more."""
        sent = 0
        size = sum(map(len, parts))
        if not self.connected or self.disconnecting or self._broken:
            return size
        if not self.dataBuffer and not self._tempDataBuffer:
            try:
                if len(parts) == 1:
                    sent = self.socket.send(parts[0])
                elif len(parts) <= _FEW_PARTS:
                    sent = self.socket.sendmsg(parts)
                else:
                    sent = self.socket.send(b"".join(parts))
            except OSError as error:
                self._broken = error.errno not in _BUSY
        if sent < size:
            self.producerPaused = True
            self.startWriting()
        return sent

    @property
    def pending(self) -> bool:
        """Whether anything that was written waits for the kernel to take it."""
        return bool(self.connected and (self.dataBuffer or self._tempDataBuffer))

    def unsent(self) -> int:
        """How many bytes the kernel holds that the peer hasn't acknowledged."""
        if not self.connected:
            return 0
        answer = fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def doWrite(self) -> Exception | None:  # type: ignore[override]
        """There is room to write."""
        if self._broken:
            return main.CONNECTION_LOST
        if self.producer is None or self.dataBuffer or self._tempDataBuffer:
            result: Exception | None = super().doWrite()
            return result
        self.producerPaused = False
        self.producer.resumeProducing()  # type: ignore[attr-defined]
        if not self.producerPaused and not self.dataBuffer and not self._tempDataBuffer:
            self.stopWriting()
        return None


class RelayTransport(BlockTransport, tcp.Server):
    """Such a connection that a client has opened."""


class AdoptedTransport(RelayTransport):
    """One that came through a socket that others have, too: that is left alone, and the connection
    set by itself."""

    def __init__(self, connection: socket.socket, *arguments: Any) -> None:
        keep_little_unsent(connection)
        super().__init__(connection, *arguments)


class PeerTransport(BlockTransport, tcp.Client):
    """Such a connection that this relay has opened."""


class PeerConnector(tcp.Connector):
    """Opens a `PeerTransport`."""

    def _makeTransport(self) -> PeerTransport:
        return PeerTransport(self.host, self.port, self.bindAddress, self, self.reactor)


def tune(port: IListeningPort, is_adopted: bool = False) -> None:
    """Have ``port``, where it is TCP, make its connections `RelayTransport`; and keep what the
    kernel holds of each unsent small (``TCP_NOTSENT_LOWAT``, inherited from the listening socket),
    so that a slow phone costs little and is told early what matters. The socket of one that
    ``is_adopted`` is others', too."""
    if isinstance(port, tcp.Port) and port.addressFamily in _TCP_FAMILIES:
        if is_adopted:
            port.transport = AdoptedTransport  # type: ignore[assignment]
        else:
            port.transport = RelayTransport
            keep_little_unsent(port.socket)


def keep_little_unsent(connection: socket.socket) -> None:
    """See `tune`; for one connection, or all that a listening socket takes."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_BYTES)
