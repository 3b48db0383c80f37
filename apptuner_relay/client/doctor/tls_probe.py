"""A TLS handshake that refuses nothing, to see all that the server shows.

Nothing secret may be said over it, and nothing that comes over it may be believed: the only thing
that is asked is the time, where a certificate is out of date.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import connectProtocol, wrapClientTLS
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.client.doctor.dialing import Door, literal
from apptuner_relay.client.doctor.http_answer import NoHttpError, read_answer
from apptuner_relay.client.doctor.http_probe import HttpQuestion
from apptuner_relay.client.doctor.judge_tls import HandshakeReport, ShownCertificate, TlsProblem
from apptuner_relay.client.doctor.time_limit import OutOfTimeError, TimeLimit
from apptuner_relay.support.socket_errors import describe

_VERSION_ERRORS = (
    "unsupported protocol",
    "protocol version",
    "handshake failure",
    "no shared cipher",
    "insufficient security",
    "no protocols available",
)


async def shake_hands(
    reactor: Any, limit: TimeLimit, door: Door, now_s: float, question: HttpQuestion, seconds: float
) -> HandshakeReport:
    """What the server shows. `question` is asked for its `Date`, if that matters."""
    began_s = reactor.seconds()
    hands = _Hands(_LenientCreator(door.host), reactor, now_s, question.text)
    endpoint = wrapClientTLS(hands.creator, door.plain_endpoint(reactor, seconds))
    try:
        await limit.within(seconds, _shake(endpoint, hands))
    except TimeoutError:
        if hands.certificate is None:
            took_s = reactor.seconds() - began_s
            return HandshakeReport(door.host, took_s, problem=TlsProblem.SILENT)
    except Exception as error:
        problem = _problem_of(error)
        if problem is None:
            raise
        took_s = reactor.seconds() - began_s
        return HandshakeReport(door.host, took_s, problem=problem, words=describe(error))
    return HandshakeReport(
        door.host,
        hands.shaken_s - began_s,
        hands.version,
        hands.certificate,
        tuple(hands.creator.errors),
        hands.fits_host,
        server_clock_s=hands.server_clock_s,
    )


async def _shake(endpoint: Any, hands: _Hands) -> None:
    await connectProtocol(endpoint, hands)
    await hands.done


def _problem_of(error: Exception) -> TlsProblem | None:
    match error:
        case SSL.Error():
            words = describe(error)
            if not words or words == "TLS failed":
                return TlsProblem.CLOSED
            is_version = any(one in words for one in _VERSION_ERRORS)
            return TlsProblem.NO_COMMON_VERSION if is_version else TlsProblem.OTHER
        case CancelledError() | OutOfTimeError():
            return None
        case _:
            return TlsProblem.OTHER if describe(error) else TlsProblem.CLOSED


@implementer(IOpenSSLClientConnectionCreator)
class _LenientCreator:
    """Makes connections that go on whatever the certificate is, and remember what was wrong."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.errors: list[int] = []
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # Those that the program's other connections trust: OpenSSL's own, or SSL_CERT_FILE.
        self._context.set_default_verify_paths()
        self._context.set_verify(SSL.VERIFY_PEER, self._met)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        if literal(self.host) is None:
            connection.set_tlsext_host_name(self.host.encode("idna"))
        return connection

    def _met(
        self, _connection: SSL.Connection, _: crypto.X509, error: int, _depth: int, good: int
    ) -> bool:
        if not good and error not in self.errors:
            self.errors.append(error)
        return True


@implementer(IHandshakeListener)
class _Hands(Protocol):
    """Looks at the handshake, asks for the time if need be, and leaves."""

    transport: Any

    def __init__(
        self, creator: _LenientCreator, clock: IReactorTime, now_s: float, question: bytes
    ) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._leave())
        self.creator = creator
        self.certificate: ShownCertificate | None = None
        self.version = ""
        self.fits_host = False
        self.shaken_s = 0.0
        self.server_clock_s: float | None = None
        self._clock = clock
        self._now_s = now_s
        self._question = question
        self._data = b""

    def handshakeCompleted(self) -> None:
        self.shaken_s = self._clock.seconds()
        connection = self.transport.getHandle()
        self.version = connection.get_protocol_version_name()
        shown = connection.get_peer_certificate()
        if shown is None:
            self._finish()
            return
        chain = connection.get_peer_cert_chain() or [shown]
        self.certificate = read_certificate(shown.to_cryptography(), len(chain))
        self.fits_host = _fits(connection, self.creator.host)
        is_current = self.certificate.not_before_s <= self._now_s <= self.certificate.not_after_s
        if is_current:
            self._finish()
        else:
            self.transport.write(self._question)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        try:
            answer = read_answer(self._data, at_end=False, head_only=True)
        except NoHttpError:
            self._finish()
            return
        if answer is not None:
            self.server_clock_s = date_of(answer.fields.get("date", ""))
            self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if self.certificate is None:
            self.done.errback(reason)
        else:
            self.done.callback(None)

    def _finish(self) -> None:
        if not self.done.called:
            self.done.callback(None)
        self._leave()

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()


def _fits(connection: SSL.Connection, host: str) -> bool:
    try:
        if literal(host) is not None:
            verify_ip_address(connection, host)
        else:
            verify_hostname(connection, host.encode("idna").decode("ascii"))
    except (VerificationError, CertificateError, ValueError):
        return False
    return True


def read_certificate(certificate: x509.Certificate, chain_length: int) -> ShownCertificate:
    """What matters of a certificate."""
    names: list[str] = []
    try:
        general = certificate.extensions.get_extension_for_oid(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        ).value
    except (x509.ExtensionNotFound, ValueError):
        pass
    else:
        assert isinstance(general, x509.SubjectAlternativeName)
        names += general.get_values_for_type(x509.DNSName)
        names += map(str, general.get_values_for_type(x509.IPAddress))
    return ShownCertificate(
        names,
        _common_name(certificate.issuer),
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        chain_length,
    )


def _common_name(name: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return str(attribute.value)
    return name.rfc4514_string() or "an authority without a name"


def date_of(text: str) -> float | None:
    """An HTTP date in seconds since the epoch; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
