"""A TLS certificate and its key, as they are read from PEM files, and how the relay speaks TLS with
them. Watching the files is not for here: see `renewal`.

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
"""The one protocol that ALPN (RFC 7301) gets."""
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Those of TLS 1.2; OpenSSL's own of TLS 1.3 are all good."""

_SHOWN_NAMES = 4


class BadCertificate(ValueError):
    """A certificate or key can't be used; the text says which file, and why."""


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain and key. Times are in seconds since the epoch."""

    names: tuple[str, ...]
    """The host names and addresses that it is for."""
    starts_s: float
    expires_s: float
    chain: tuple[x509.Certificate, ...]
    """The server's own first."""
    key: Any

    @property
    def shown(self) -> str:
        """The names, as logs show them."""
        more = len(self.names) - _SHOWN_NAMES
        listed = ", ".join(self.names[:_SHOWN_NAMES]) or "no name"
        return listed + (f" and {more} more" if more > 0 else "")

    @property
    def expires(self) -> str:
        """The last day, in UTC."""
        return f"{self.chain[0].not_valid_after_utc:%Y-%m-%d}"

    def make_context(self) -> SSL.Context:
        """What a TLS server needs. Each context has keys of its own for session tickets, with which
        clients resume (RFC 8446 §2.2); nothing is remembered of them here.

        :raises BadCertificate: OpenSSL doesn't take it, as where its key is too short.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(":".join(CIPHERS).encode())
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        # A connection that is idle keeps no buffers, which are more than all else that it takes.
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
    """Read a certificate, followed by those that it is signed with, and its key.

    :param key: the key's file, where it is another one.
    :raises BadCertificate: they can't be read, or don't belong together.
    """
    pem = _read(certificates)
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem))
        names = _names(chain[0])
    except ValueError:
        raise BadCertificate(f"{certificates}: holds no certificate in PEM that is whole") from None
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
    """What OpenSSL says of an error."""
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
        raise BadCertificate(f"{path}: holds no private key in PEM that is whole") from None


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
    # Who offers only others is answered without a protocol, and speaks HTTP/1.1 or fails.
    return HTTP_1_1 if HTTP_1_1 in offered else SSL.NO_OVERLAPPING_PROTOCOLS
