"""Reads the certificate authorities that an option such as ``--redis-ca`` has trusted."""

from pathlib import Path

from OpenSSL import crypto
from twisted.internet.ssl import Certificate

_END_OF_CERTIFICATE = b"-----END CERTIFICATE-----"


class BadCertificates(ValueError):
    """The file of certificate authorities can't be used. The text says why."""


def read_authorities(path: Path) -> list[Certificate]:
    """The certificates in a PEM file.

    :raises BadCertificates: it can't be read, or holds none.
    """
    try:
        text = path.read_bytes()
    except OSError as wrong:
        raise BadCertificates(f"{path} can't be read: {wrong.strerror}") from None
    parts = [part + _END_OF_CERTIFICATE for part in text.split(_END_OF_CERTIFICATE)[:-1]]
    if not parts:
        raise BadCertificates(f"{path} holds no certificate in PEM form")
    try:
        return [Certificate.loadPEM(part) for part in parts]
    except (crypto.Error, ValueError):
        raise BadCertificates(f"{path} holds a damaged certificate") from None
