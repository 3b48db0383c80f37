"""A TLS certificate and its key, read from PEM files, and OpenSSL's settings for them. Changes of
the files are watched by `certificate_reload`.

The protocol versions and ciphers are those of Mozilla's "intermediate" configuration (version 5.7),
without finite-field Diffie-Hellman, which no client of ours needs. "Modern" would be TLS 1.3 alone,
which Android has from version 10 on.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

HTTP_1_1 = b"http/1.1"
"""The only protocol that ALPN (RFC 7301) negotiates."""
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""The ciphers of TLS 1.2. For TLS 1.3 OpenSSL's defaults are all good."""

_SHOWN_NAMES = 4


class BadCertificate(ValueError):
    """A certificate or key can't be used; the text says which file, and why."""


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain and key. Times are in seconds since the epoch."""

    names: tuple[str, ...]
    """The host names and addresses that the certificate is for."""
    starts_s: float
    expires_s: float
    chain: tuple[x509.Certificate, ...]
    """The server's certificate first, then those that it is signed with."""
    key: Any

    @property
    def shown(self) -> str:
        """The names, as logs show them."""
        more = len(self.names) - _SHOWN_NAMES
        listed = ", ".join(self.names[:_SHOWN_NAMES]) or "no name"
        return listed + (f" and {more} more" if more > 0 else "")

    @property
    def expires(self) -> str:
        """The last day on which the certificate is valid, in UTC."""
        return f"{self.chain[0].not_valid_after_utc:%Y-%m-%d}"

    def make_context(self) -> SSL.Context:
        """A context for a TLS server. Each has keys of its own for the session tickets with which
        clients resume (RFC 8446 §2.2); the server stores nothing about sessions.

        :raises BadCertificate: OpenSSL refuses the certificate, for instance for a short key.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(":".join(CIPHERS).encode())
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        # An idle connection keeps no buffers: they are more than all its other memory.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_alpn_select_callback(_choose)
        try:
            context.use_certificate(self.chain[0])
            for certificate in self.chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(self.key)
            context.check_privatekey()
        except SSL.Error as wrong:
            raise BadCertificate(f"OpenSSL refuses it: {explain(wrong)}") from None
        return context


def read_certificate(certificates: Path, key: Path | None) -> Certificate:
    """Read a certificate, with those that it is signed with behind it, and its key.

    :param key: the key's file; None where the key is in the certificate's.
    :raises BadCertificate: a file can't be read, or the key is not the certificate's.
    """
    pem = _read(certificates)
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem))
        names = _names(chain[0])
    except ValueError:
        raise BadCertificate(f"{certificates}: has no complete certificate in PEM") from None
    private = _read_key(key or certificates)
    if chain[0].public_key() != private.public_key():
        raise BadCertificate(
            f"the key in {key or certificates} is not that of the first certificate in "
            f"{certificates}"
        )
    leaf = chain[0]
    starts, expires = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Certificate(names, starts.timestamp(), expires.timestamp(), chain, private)


def explain(error: SSL.Error) -> str:
    """OpenSSL's reason of an error, for people."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])
    return "the connection was lost" if isinstance(error, SSL.SysCallError) else "no reason given"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise BadCertificate(f"{path}: {wrong.strerror or wrong}") from None


def _read_key(path: Path) -> Any:
    pem = _read(path)
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        raise BadCertificate(f"{path}: the key has a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate(f"{path}: has no complete private key in PEM") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """:raises ValueError: an extension of it is malformed."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(_printable(str(name.value)) for name in common)
    values: list[str | IPv4Address | IPv6Address | Any] = [
        *extension.value.get_values_for_type(x509.DNSName),
        *extension.value.get_values_for_type(x509.IPAddress),
    ]
    return tuple(_printable(str(value)) for value in values)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _choose(connection: SSL.Connection, offered: list[bytes]) -> Any:
    # A client that offers only other protocols gets none, and speaks HTTP/1.1 or fails.
    return HTTP_1_1 if HTTP_1_1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
