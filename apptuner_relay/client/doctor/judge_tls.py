"""What a TLS handshake means: version, certificate, expiry, or why there was none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from apptuner_relay.client.doctor.finding import Finding, failed, fine, in_figures, show_ms, warned

DAY_S = 86_400
EXPIRY_WARNING_DAYS = 14
_CLOCK_SLACK_S = 3600
"""A machine's clock is blamed only if it is further off than this."""

# Of X509_V_ERR_…, in OpenSSL's x509_vfy.h.
_ISSUER_UNKNOWN = 2
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_IN_CHAIN = 19
_ISSUER_UNKNOWN_LOCALLY = 20
_NO_CHAIN = 21
_OF_VALIDITY = (_NOT_YET_VALID, _EXPIRED)
_OF_CHAIN = (_ISSUER_UNKNOWN, _ISSUER_UNKNOWN_LOCALLY, _NO_CHAIN)


class TlsProblem(Enum):
    """Why there was no handshake."""

    PLAIN_HTTP = auto()
    """The port speaks HTTP without TLS."""
    SILENT = auto()
    CLOSED = auto()
    """The connection ended without a word."""
    NO_COMMON_VERSION = auto()
    OTHER = auto()


@dataclass(frozen=True)
class ShownCertificate:
    """What a server has shown. Times are seconds since the epoch."""

    names: Sequence[str]
    """The hosts and addresses that it is for."""
    issuer: str
    not_before_s: float
    not_after_s: float
    chain_length: int = 1
    """How many certificates were sent, its own among them."""


@dataclass(frozen=True)
class HandshakeReport:
    """What became of a handshake in which nothing was refused that could be refused."""

    host: str
    took_s: float = 0.0
    version: str = ""
    """Such as ``TLSv1.3``."""
    certificate: ShownCertificate | None = None
    errors: Sequence[int] = ()
    """X509_V_ERR_… of its chain, as OpenSSL met them."""
    fits_host: bool = True
    """Whether the certificate is for that host."""
    problem: TlsProblem | None = None
    words: str = ""
    """The library's own words, if there was a problem."""
    server_clock_s: float | None = None
    """What time it is at the server, where that was asked for."""


def judge_handshake(report: HandshakeReport, now_s: float) -> Finding:
    """TLS. `now_s` is this machine's wall clock."""
    certificate = report.certificate
    if report.problem is not None or certificate is None:
        return _judge_problem(report)
    figures = {
        "version": report.version,
        "names": list(certificate.names),
        "issuer": certificate.issuer,
        "expires_ms": int(certificate.not_after_s * 1000),
        "days_left": int((certificate.not_after_s - now_s) // DAY_S),
        "handshake_ms": in_figures(report.took_s),
    }
    names = _names(certificate.names)
    if (wrong := _wrong_validity(report, certificate, now_s)) is not None:
        return failed("tls", wrong[0], wrong[1], **figures)
    if (wrong := _wrong_chain(report, certificate)) is not None:
        return failed("tls", wrong[0], wrong[1], **figures)
    if not report.fits_host:
        return failed(
            "tls",
            f"the certificate is for {names}, and not for {report.host}",
            "Use a name that it is for in --relay, or have a certificate made for "
            f"{report.host}. Where several sites share an address, the server's default site has "
            "answered: its server_name (nginx), or the like, lacks this host.",
            **figures,
        )
    days_left = int(figures["days_left"])  # type: ignore[call-overload]
    text = (
        f"{report.version}, verified for {report.host}; expires in {days_left} "
        f"day{'s' * (days_left != 1)} ({_date(certificate.not_after_s)}); {show_ms(report.took_s)}"
    )
    if days_left < EXPIRY_WARNING_DAYS:
        return warned(
            "tls",
            text,
            "Renew it. The relay takes a renewed certificate without a restart; a proxy in front "
            "of it may need a reload.",
            **figures,
        )
    return fine("tls", text, **figures)


def _wrong_validity(
    report: HandshakeReport, certificate: ShownCertificate, now_s: float
) -> tuple[str, str] | None:
    """Text and hint, if the certificate is out of date, or this machine's clock is."""
    is_early = now_s < certificate.not_before_s or _NOT_YET_VALID in report.errors
    is_late = now_s > certificate.not_after_s or _EXPIRED in report.errors
    if not is_early and not is_late:
        return None
    clock_s = report.server_clock_s
    is_good_there = clock_s is not None and (
        certificate.not_before_s <= clock_s <= certificate.not_after_s
    )
    if is_good_there and clock_s is not None and abs(clock_s - now_s) > _CLOCK_SLACK_S:
        return (
            f"this machine's clock is wrong: it says {_time(now_s)}, the server {_time(clock_s)}; "
            "the certificate is valid by the server's clock only",
            "Set the clock: timedatectl set-ntp true. Until then no TLS connection can be "
            "verified from here.",
        )
    if is_late:
        ago = max(int((now_s - certificate.not_after_s) // DAY_S), 0)
        when = "today" if not ago else f"{ago} day{'s' * (ago != 1)} ago"
        return (
            f"the certificate has expired {when} ({_date(certificate.not_after_s)})",
            "Renew it, and look at why it was not renewed by itself (certbot renew --dry-run). "
            "Phones refuse it as well. If it was renewed, what serves it needs a reload.",
        )
    return (
        f"the certificate is not valid before {_time(certificate.not_before_s)}",
        "Is this machine's clock right? It says " + _time(now_s) + ".",
    )


def _wrong_chain(report: HandshakeReport, certificate: ShownCertificate) -> tuple[str, str] | None:
    """Text and hint, if nobody vouches for the certificate whom this machine trusts."""
    errors = [one for one in report.errors if one not in _OF_VALIDITY]
    if not errors:
        return None
    trust = "or trust its authority on this machine: SSL_CERT_FILE=authority.pem"
    if _SELF_SIGNED in errors:
        return (
            f"the certificate is signed by itself: nobody vouches for it ({certificate.issuer})",
            "Phones refuse it. Get one of a public authority (docs/how-to/tls.md), "
            f"{trust}, and on each phone.",
        )
    if _SELF_SIGNED_IN_CHAIN in errors:
        return (
            f"the certificate's authority is not trusted here: {certificate.issuer}",
            "It is a company's own authority, or something that reads along (a proxy, a virus "
            f"scanner). Get a certificate of a public authority, {trust}.",
        )
    if any(one in _OF_CHAIN for one in errors):
        if certificate.chain_length == 1:
            return (
                "the server sends its certificate without the one that has signed it "
                f"({certificate.issuer})",
                "Serve the whole chain: fullchain.pem, and not cert.pem. Some browsers get what "
                f"is missing by themselves; phones and CLIs do not. {trust.capitalize()}.",
            )
        return (
            f"the certificate's authority is not known here: {certificate.issuer}",
            f"Get a certificate of a public authority, {trust}.",
        )
    return (
        f"the certificate could not be verified: X.509 error {errors[0]}",
        "OpenSSL's verify(1) explains the number.",
    )


def _judge_problem(report: HandshakeReport) -> Finding:
    match report.problem:
        case TlsProblem.PLAIN_HTTP:
            return failed(
                "tls",
                "the port speaks plain HTTP, and no TLS",
                "Use ws:// in place of wss://, or give the relay a certificate "
                "(docs/how-to/tls.md). Everything that is sent over ws:// can be read on the way.",
            )
        case TlsProblem.SILENT:
            return failed(
                "tls",
                f"no answer to the handshake in {show_ms(report.took_s)}",
                "What listens there speaks no TLS, or it hangs. Is that the port of the relay?",
                handshake_ms=in_figures(report.took_s),
            )
        case TlsProblem.CLOSED:
            return failed(
                "tls",
                "the connection was closed during the handshake",
                "What listens there speaks no TLS, wants another host name, or a balancer in "
                "front of it (PROXY protocol?) expects something else first.",
            )
        case TlsProblem.NO_COMMON_VERSION:
            return failed(
                "tls",
                f"there is no common version or cipher: {report.words}",
                "The server is too old for today's clients: it has to speak TLS 1.2 or 1.3.",
            )
    return failed(
        "tls",
        f"the handshake failed: {report.words or 'no reason was given'}",
        "What listens there may speak no TLS at all. Is that the port of the relay?",
    )


def _names(names: Sequence[str]) -> str:
    if not names:
        return "no host at all"
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _date(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"


def _time(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"
