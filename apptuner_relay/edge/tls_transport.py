"""TLS over a connection, for HTTP and then for blocks.

Until the connection's protocol asks for blocks, this is Twisted's transport. From then on what is
received is decrypted straight into the buffer that all connections share (`transport`), and
delivered once for all records that arrive together; what is written is encrypted in one piece.

A client's close_notify ends the client's side alone (RFC 8446 §6.1), where the protocol supports
that.
"""

from collections.abc import Callable

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, ISSLTransport
from twisted.internet.main import CONNECTION_DONE
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.edge.transport import BlockReceiver, BlockTransport
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from apptuner_relay.support.private_names.of_twisted_tls import TLSConnection

CIPHERTEXT_BYTES = 128 * 1024
"""The most that is received at once. Decrypted it fits into a `ReceiveBuffer`, together with the
rest of the record before it."""

_READ_BYTES = 32 * 1024
_RECORD_BYTES = 16 * 1024
_OVERHEAD_BYTES = 64
"""What a record takes beside its contents is less (RFC 8446 §5.2)."""


class _Ciphertext(ReceiveBuffer):
    """The buffer for what is not decrypted yet. Nothing in it is needed afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.room = self.next_room = self.room[:CIPHERTEXT_BYTES]


_ciphertext = _Ciphertext()


@implementer(ISSLTransport, IHalfCloseableProtocol)
class SecureTransport(BlockReceiver, TLSConnection):
    """The server's side of TLS."""

    _buffer: ReceiveBuffer | None = None
    _block_received: Callable[[int], None]
    _has_ended = False
    """Whether the client has ended its side, by a close_notify."""

    def receive_blocks(self, buffer: ReceiveBuffer, block_received: Callable[[int], None]) -> None:
        """See `BlockReceiver`."""
        self._buffer = buffer
        self._block_received = block_received
        if isinstance(self.transport, BlockTransport):
            self.transport.receive_blocks(_ciphertext, self._ciphertext_received)

    def receive_no_more(self) -> None:
        """See `BlockReceiver`."""
        self._buffer = None
        del self._block_received
        if isinstance(self.transport, BlockTransport):
            self.transport.receive_no_more()

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`: ciphertext was received."""
        if self._buffer is None:
            super().dataReceived(data)
        else:
            self._decrypt(data)

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`: the client has ended its side of the connection below."""
        if not self._has_ended:
            # Without a close_notify, the connection is lost.
            self.transport.connectionLost(Failure(CONNECTION_DONE))  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. Only the relay itself ends this side."""

    def decrypt(self) -> None:
        """See `TLSConnection`. To Twisted a close_notify is the end of the connection."""
        while not (self.is_tls_over or self._has_ended):
            try:
                data = self.tls.recv(_READ_BYTES)
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
                if not self.is_aborted:
                    ProtocolWrapper.dataReceived(self, data)
        if self._has_ended:
            self.send_ciphertext()
        else:
            # OpenSSL raises the same again.
            self.decrypt_as_twisted()

    def _ciphertext_received(self, length: int) -> None:
        self._decrypt(_ciphertext.room[:length])

    def _decrypt(self, data: bytes | memoryview) -> None:
        tls, buffer = self.tls, self._buffer
        if buffer is None or self.is_aborted or self.is_tls_over:
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
        if is_over and not self.is_aborted:
            # OpenSSL raises the same again, and Twisted acts on it.
            self.decrypt()
        self.send_ciphertext()

    def encrypt(self, data: bytes) -> None:
        """Encrypt and send all of ``data``."""
        if self.is_tls_over or not data:
            return
        if not self.can_encrypt:
            self.encrypt_as_twisted(data)
            return
        try:
            self.tls.sendall(data)
        except Error:
            self.fail_tls()
            return
        records = len(data) // _RECORD_BYTES + 1
        self._send_encrypted(len(data) + records * _OVERHEAD_BYTES)

    def _send_encrypted(self, most: int) -> None:
        try:
            while True:
                data = self.tls.bio_read(most)
                self.transport.write(data)  # type: ignore[union-attr]
                if len(data) < most:
                    return
        except WantReadError:
            pass


def tune_tls(port: IListeningPort) -> None:
    """Have ``port``, where it belongs to Twisted's own TLS endpoint (``ssl:``), make its
    connections `SecureTransport`, as the prefix ``tls:`` does."""
    factory = getattr(port, "factory", None)
    if isinstance(factory, TLSMemoryBIOFactory):
        factory.protocol = SecureTransport
