"""Certificates for tests, made on the spot."""

import datetime
import os
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NAME = "relay.test"
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates. `pem` is its own, which clients are to trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
        builder = _builder(self._name, self._name, self._key.public_key(), -1, 365)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self, days: float = 90, since: float = -1, names: tuple[str, ...] = (NAME, "127.0.0.1")
    ) -> "Pair":
        """A certificate that expires in so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "common.test")])
        builder = _builder(subject, self._name, key.public_key(), since, days)
        if names:
            general = [x509.IPAddress(ip_address(name)) for name in names if name[0].isdigit()]
            hosts = [x509.DNSName(name) for name in names if not name[0].isdigit()]
            builder = builder.add_extension(
                x509.SubjectAlternativeName([*hosts, *general]), critical=False
            )
        return Pair(builder.sign(self._key, hashes.SHA256()), key, self.pem)


class Pair:
    """A certificate and its key, in PEM."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, chain: bytes
    ) -> None:
        self._key = key
        self.serial = certificate.serial_number
        self.chain = certificate.public_bytes(Encoding.PEM) + chain
        self.key = self._show(NoEncryption())
        self.locked_key = self._show(BestAvailableEncryption(b"secret"))

    def _show(self, encryption: NoEncryption | BestAvailableEncryption) -> bytes:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


class Live:
    """Files as certbot keeps them: ``fullchain.pem`` and ``privkey.pem`` are symbolic links, which
    a renewal has point to new files."""

    def __init__(self, directory: Path) -> None:
        self._number = 0
        directory.mkdir(parents=True, exist_ok=True)
        directory = directory.resolve()
        self.chain = directory / "fullchain.pem"
        self.key = directory / "privkey.pem"

    def install(self, chain: bytes, key: bytes) -> None:
        self._number += 1
        for link, data in ((self.chain, chain), (self.key, key)):
            target = link.with_suffix(f".{self._number}")
            target.write_bytes(data)
            new = link.with_suffix(".new")
            new.symlink_to(target)
            os.replace(new, link)

    @property
    def options(self) -> list[str]:
        return ["--tls-cert", str(self.chain), "--tls-key", str(self.key)]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: float, days: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since * DAY)
        .not_valid_after(now + days * DAY)
    )
