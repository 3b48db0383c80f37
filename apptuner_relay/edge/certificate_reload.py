"""Reloads the relay's TLS certificate when its files change: they are checked at intervals and at a
SIGHUP. New connections get the new certificate; open ones keep theirs.

A new certificate that can't be used is refused, with a line in the log and a warning, and the
present one stays in use.
"""

import time
from collections import Counter
from pathlib import Path

from OpenSSL import SSL
from twisted.application.service import Service
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.edge.certificate import BadCertificate, Certificate, read_certificate
from apptuner_relay.support.clocks import WallClock

SETTLE_S = 1.0
"""How long both files have to stay the same before they are read: a renewal writes one after the
other."""
TICKETS_S = 86400.0
"""How long session tickets are sealed with the same keys, so that a key that leaks opens little."""

_Marks = tuple[object, ...]


@implementer(IOpenSSLServerConnectionCreator)
class CertificateReload(Service):
    """The present certificate, for new connections.

    :param key: the key's file; None where the key is in the certificate's.
    :param clock: the monotonic clock.
    :param wall_s: the time of day, by which certificates expire.
    :raises BadCertificate: there is no certificate to begin with.
    """

    log = Logger()

    def __init__(
        self,
        certificates: Path,
        key: Path | None,
        clock: IReactorTime,
        interval_s: float,
        wall_s: WallClock = time.time,
    ) -> None:
        self._certificates = certificates
        self._key = key
        self._clock = clock
        self._wall_s = wall_s
        self._interval_s = interval_s
        # Before the files are read: a change meanwhile is found at the next look.
        self._seen_marks = self._file_marks()
        self.certificate = read_certificate(certificates, key)
        self._use(self.certificate.make_context())
        self.refused: str | None = None
        """Why the certificate in the files was refused; None where it is in use."""
        self.reloads = Counter[str]()
        """How many changed certificates were ``taken`` and ``refused``."""
        self._load_call: IDelayedCall | None = None
        self._checks = LoopingCall(self.check)
        self._checks.clock = clock

    @property
    def expires_s(self) -> float:
        """When the present certificate expires, in seconds since the epoch."""
        return self.certificate.expires_s

    @property
    def shown(self) -> str:
        """The names of the present certificate, for people."""
        return self.certificate.shown

    @property
    def expires(self) -> str:
        """The last day of the present certificate."""
        return self.certificate.expires

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """See `IOpenSSLServerConnectionCreator`."""
        return SSL.Connection(self._context, None)

    def startService(self) -> None:
        super().startService()
        self._log_certificate("TLS certificate of {names} until {expires}", self.certificate)
        self._start_checks()

    def stopService(self) -> None:
        super().stopService()
        if self._checks.running:
            self._checks.stop()
        if self._load_call is not None:
            self._load_call.cancel()
            self._load_call = None

    def check(self) -> None:
        """Read the files if they have changed. Called at intervals."""
        if self._clock.seconds() - self._context_since_s >= TICKETS_S:
            self._use(self.certificate.make_context())
        marks = self._file_marks()
        if marks != self._seen_marks and self._load_call is None:
            self._load_call = self._clock.callLater(SETTLE_S, self._load_if_settled, marks)

    def reload(self) -> None:
        """Read the files now, changed or not."""
        if self._load_call is not None:
            self._load_call.cancel()
            self._load_call = None
        self._load(self._file_marks())

    def _load_if_settled(self, before: _Marks) -> None:
        self._load_call = None
        marks = self._file_marks()
        if marks == before:
            self._load(marks)
        else:
            self._load_call = self._clock.callLater(SETTLE_S, self._load_if_settled, marks)

    def _load(self, marks: _Marks) -> None:
        self._seen_marks = marks
        try:
            certificate = read_certificate(self._certificates, self._key)
            self._check_dates(certificate)
            context = certificate.make_context()
        except BadCertificate as wrong:
            self.refused = str(wrong)
            self.reloads["refused"] += 1
            self.log.error(
                "THE NEW TLS CERTIFICATE IS REFUSED: {why}. The one of {names}, valid until "
                "{expires}, stays in use",
                why=self.refused,
                names=self.certificate.shown,
                expires=self.certificate.expires,
            )
            return
        self._use(context)
        self.certificate = certificate
        self.refused = None
        self.reloads["taken"] += 1
        self._log_certificate("TLS certificate taken: of {names} until {expires}", certificate)

    def _check_dates(self, certificate: Certificate) -> None:
        """Refuse a certificate that is not valid now, unless the present one isn't either.

        :raises BadCertificate: it is refused.
        """
        if self._is_valid(self.certificate) and not self._is_valid(certificate):
            when = "expired on" if certificate.starts_s <= self._wall_s() else "begins after"
            day = certificate.expires if when == "expired on" else "now"
            raise BadCertificate(f"{self._certificates}: the certificate {when} {day}")

    def _is_valid(self, certificate: Certificate) -> bool:
        return certificate.starts_s <= self._wall_s() < certificate.expires_s

    def _use(self, context: SSL.Context) -> None:
        self._context = context
        self._context_since_s = self._clock.seconds()

    def _log_certificate(self, text: str, certificate: Certificate) -> None:
        self.log.info(text, names=certificate.shown, expires=certificate.expires)
        if not self._is_valid(certificate):
            self.log.warn("this certificate is not valid now: clients will refuse it")

    def _file_marks(self) -> _Marks:
        """What differs once a file, or a symbolic link to it, was changed."""
        marks: list[object] = []
        for path in filter(None, (self._certificates, self._key)):
            try:
                status = path.stat()
            except OSError as wrong:
                marks.append(wrong.errno)
            else:
                marks.append((status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(marks)

    def _start_checks(self) -> None:
        def failed(failure: Failure) -> None:
            self.log.failure(
                "checking the files of the TLS certificate has failed; it goes on", failure
            )
            if self.running:
                self._start_checks()

        self._checks.start(self._interval_s, now=False).addErrback(failed)
