"""TLS over a connection, for HTTP and then for blocks.

Until the connection's protocol asks for blocks, this is Twisted's transport. From then on what
comes is decrypted straight into the buffer that all connections receive into (`transport`), and
taken in once for all records that came together; and what goes out is encrypted in one piece.

A client's close_notify ends its side alone (RFC 8446 §6.1), for a protocol that can do with that.
"""

from collections.abc import Callable

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, ISSLTransport
from twisted.internet.main import CONNECTION_DONE
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.transport import BlockTransport, ReceiveBuffer

CIPHERTEXT_BYTES = 128 * 1024
"""The most that is received at once. Decrypted it fits into a `ReceiveBuffer`, with the rest of the
record before it."""

_READ_BYTES = 32 * 1024
_RECORD_BYTES = 16 * 1024
_OVERHEAD_BYTES = 64
"""A record takes less beside what is in it (RFC 8446 §5.2)."""


class _Ciphertext(ReceiveBuffer):
    """What is received into before it is decrypted: nothing of it is needed afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.room = self.room[:CIPHERTEXT_BYTES]


_ciphertext = _Ciphertext()


@implementer(ISSLTransport, IHalfCloseableProtocol)
class SecureTransport(BufferingTLSTransport):
    """The server's side of TLS."""

    _buffer: ReceiveBuffer | None = None
    _block_received: Callable[[int], None]
    _has_ended = False
    """Whether the client sends nothing more, and has said so."""

    def receive_blocks(self, buffer: ReceiveBuffer, block_received: Callable[[int], None]) -> None:
        """See `BlockTransport.receive_blocks`."""
        self._buffer = buffer
        self._block_received = block_received
        if isinstance(self.transport, BlockTransport):
            self.transport.receive_blocks(_ciphertext, self._ciphertext_received)

    def receive_no_more(self) -> None:
        """See `BlockTransport.receive_no_more`."""
        self._buffer = None
        del self._block_received
        if isinstance(self.transport, BlockTransport):
            self.transport.receive_no_more()

    def dataReceived(self, data: bytes) -> None:
        """The connection has ``data``."""
        if self._buffer is None:
            super().dataReceived(data)
        else:
            self._decrypt(data)

    def readConnectionLost(self) -> None:
        """The client has ended its side of the connection below."""
        if not self._has_ended:
            # Before TLS did, or for good.
            self.transport.connectionLost(Failure(CONNECTION_DONE))  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. There is none but for our own doing."""

    def _flushReceiveBIO(self) -> None:
        """See Twisted, where a close_notify is the end of the connection."""
        while not (self._lostTLSConnection or self._has_ended):
            try:
                data = self._tlsConnection.recv(_READ_BYTES)
            except WantReadError:
                break
            except ZeroReturnError:
                protocol = IHalfCloseableProtocol(self.wrappedProtocol, None)
                if protocol is None or self.disconnecting:
                    break
                self._has_ended = True
                protocol.readConnectionLost()
            except Error:
                break
            else:
                if not self._aborted:
                    ProtocolWrapper.dataReceived(self, data)
        if self._has_ended:
            self._flushSendBIO()
        else:
            # What has been raised is raised again.
            super()._flushReceiveBIO()

    def _ciphertext_received(self, length: int) -> None:
        self._decrypt(_ciphertext.room[:length])

    def _decrypt(self, data: bytes | memoryview) -> None:
        tls, buffer = self._tlsConnection, self._buffer
        if tls is None or buffer is None or self._aborted or self._lostTLSConnection:
            return
        tls.bio_write(data)
        room, length, is_over = buffer.room, 0, False
        try:
            while True:
                length += tls.recv_into(room[length:], _RECORD_BYTES)
        except WantReadError:
            pass
        except Error:
            is_over = True
        if length:
            self._block_received(length)
        if is_over and not self._aborted:
            # It raises the same again, and Twisted knows what to do.
            self._flushReceiveBIO()
        self._flushSendBIO()

    def _write(self, bytes: bytes) -> None:
        """Encrypt and send all of it."""
        if self._lostTLSConnection or not bytes:
            return
        if not self._handshakeDone or self._appSendBuffer:
            super()._write(bytes)
            return
        try:
            self._tlsConnection.sendall(bytes)
        except Error:
            self._tlsShutdownFinished(Failure())
            return
        records = len(bytes) // _RECORD_BYTES + 1
        self._send_encrypted(len(bytes) + records * _OVERHEAD_BYTES)

    def _send_encrypted(self, most: int) -> None:
        try:
            while True:
                data = self._tlsConnection.bio_read(most)
                self.transport.write(data)  # type: ignore[union-attr]
                if len(data) < most:
                    return
        except WantReadError:
            pass


def tune_tls(port: IListeningPort) -> None:
    """Have ``port``, where it is that of an endpoint of Twisted's that speaks TLS (``ssl:``), make
    its connections `SecureTransport`, as ours do."""
    factory = getattr(port, "factory", None)
    if isinstance(factory, TLSMemoryBIOFactory):
        factory.protocol = SecureTransport
