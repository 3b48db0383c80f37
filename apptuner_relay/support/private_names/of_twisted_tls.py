"""What the relay uses of Twisted's TLS beyond its documentation. Most relays have none, and don't
import this.
"""

from OpenSSL import SSL
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.failure import Failure


class TLSConnection(BufferingTLSTransport):
    """The TLS of a connection, with OpenSSL's side of it."""

    def decrypt(self) -> None:
        """Ciphertext was received, or OpenSSL has given up."""
        raise NotImplementedError

    def encrypt(self, data: bytes) -> None:
        """``data`` was written."""
        raise NotImplementedError

    @property
    def tls(self) -> SSL.Connection:
        """OpenSSL's side: ciphertext goes in and out through its memory buffers."""
        connection: SSL.Connection = self._tlsConnection
        return connection

    @property
    def is_tls_over(self) -> bool:
        """Whether TLS has ended, in order or not, or never began."""
        return self._tlsConnection is None or bool(self._lostTLSConnection)

    @property
    def is_aborted(self) -> bool:
        """Whether this side has cut the connection."""
        return bool(self._aborted)

    @property
    def can_encrypt(self) -> bool:
        """Whether what is written can be encrypted now: the handshake is done, and nothing written
        waits for it."""
        return bool(self._handshakeDone) and not self._appSendBuffer

    def decrypt_as_twisted(self) -> None:
        """Deliver what was received, and end the connection where OpenSSL says so."""
        super()._flushReceiveBIO()

    def encrypt_as_twisted(self, data: bytes) -> None:
        """Encrypt and send ``data``, as soon as that can be."""
        super()._write(data)

    def send_ciphertext(self) -> None:
        """Send what OpenSSL has to send."""
        self._flushSendBIO()

    def fail_tls(self) -> None:
        """TLS has failed with the exception that is being handled."""
        self._tlsShutdownFinished(Failure())

    def _flushReceiveBIO(self) -> None:
        self.decrypt()

    def _write(self, bytes: bytes) -> None:
        self.encrypt(bytes)
