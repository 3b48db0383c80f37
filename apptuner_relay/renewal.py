"""Keeps the relay's TLS certificate up to date: its files are looked at at intervals and at a
SIGHUP, and what is new in them is taken for new connections. Those that are there keep what they
began with.

What can't be used is refused, with a line in the log and a worry, and the one before goes on.
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

from apptuner_relay.certificate import BadCertificate, Certificate, read_certificate
from apptuner_relay.clocks import WallClock

SETTLE_S = 1.0
"""Who renews a certificate writes two files: they are read once both have stayed the same for so
long."""
TICKETS_S = 86400.0
"""For how long the same keys seal session tickets, so that one that leaks opens little."""

_Marks = tuple[object, ...]


@implementer(IOpenSSLServerConnectionCreator)
class Renewal(Service):
    """The present certificate.

    :param key: the key's file, where it is another one.
    :param clock: the monotonic clock.
    :param wall_s: the time of day, which certificates go by.
    :raises BadCertificate: there is none to begin with.
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
        # Before the files are read: what changes meanwhile is found at the next look.
        self._judged = self._look_at_files()
        self.certificate = read_certificate(certificates, key)
        self._use(self.certificate.make_context())
        self.refused: str | None = None
        """Why what is in the files now was not taken; None where it was."""
        self.reloads = Counter[str]()
        """How often files that had changed were ``taken`` and ``refused``."""
        self._settling: IDelayedCall | None = None
        self._calls = LoopingCall(self.look)
        self._calls.clock = clock

    @property
    def expires_s(self) -> float:
        """When the present certificate expires, in seconds since the epoch."""
        return self.certificate.expires_s

    @property
    def shown(self) -> str:
        """The present certificate's names, for people."""
        return self.certificate.shown

    @property
    def expires(self) -> str:
        """Its last day."""
        return self.certificate.expires

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """A new connection's side of TLS."""
        return SSL.Connection(self._context, None)

    def startService(self) -> None:
        super().startService()
        self._tell("TLS certificate of {names} until {expires}", self.certificate)
        self._start()

    def stopService(self) -> None:
        super().stopService()
        if self._calls.running:
            self._calls.stop()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def look(self) -> None:
        """See whether the files have changed, and read them if so. Call it at intervals."""
        if self._clock.seconds() - self._since_s >= TICKETS_S:
            self._use(self.certificate.make_context())
        marks = self._look_at_files()
        if marks != self._judged and self._settling is None:
            self._settling = self._clock.callLater(SETTLE_S, self._settle, marks)

    def reload(self) -> None:
        """Read the files now, changed or not."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._judge(self._look_at_files())

    def _settle(self, before: _Marks) -> None:
        self._settling = None
        marks = self._look_at_files()
        if marks == before:
            self._judge(marks)
        else:
            self._settling = self._clock.callLater(SETTLE_S, self._settle, marks)

    def _judge(self, marks: _Marks) -> None:
        self._judged = marks
        try:
            certificate = read_certificate(self._certificates, self._key)
            self._check_dates(certificate)
            context = certificate.make_context()
        except BadCertificate as wrong:
            self.refused = str(wrong)
            self.reloads["refused"] += 1
            self.log.error(
                "THE NEW TLS CERTIFICATE IS REFUSED: {why}. That of {names} until {expires} goes "
                "on",
                why=self.refused,
                names=self.certificate.shown,
                expires=self.certificate.expires,
            )
            return
        self._use(context)
        self.certificate = certificate
        self.refused = None
        self.reloads["taken"] += 1
        self._tell("TLS certificate taken: of {names} until {expires}", certificate)

    def _check_dates(self, certificate: Certificate) -> None:
        """One that is not valid now is better than none, but not than one that is."""
        if self._is_valid(self.certificate) and not self._is_valid(certificate):
            when = "expired on" if certificate.starts_s <= self._wall_s() else "begins after"
            day = certificate.expires if when == "expired on" else "now"
            raise BadCertificate(f"{self._certificates}: the certificate {when} {day}")

    def _is_valid(self, certificate: Certificate) -> bool:
        return certificate.starts_s <= self._wall_s() < certificate.expires_s

    def _use(self, context: SSL.Context) -> None:
        self._context = context
        self._since_s = self._clock.seconds()

    def _tell(self, text: str, certificate: Certificate) -> None:
        self.log.info(text, names=certificate.shown, expires=certificate.expires)
        if not self._is_valid(certificate):
            self.log.warn("this certificate is not valid now: clients will refuse it")

    def _look_at_files(self) -> _Marks:
        """What changes when the files do, symbolic links to them included."""
        marks: list[object] = []
        for path in filter(None, (self._certificates, self._key)):
            try:
                status = path.stat()
            except OSError as wrong:
                marks.append(wrong.errno)
            else:
                marks.append((status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(marks)

    def _start(self) -> None:
        def failed(failure: Failure) -> None:
            self.log.failure("looking at the TLS certificate has failed; it goes on", failure)
            if self.running:
                self._start()

        self._calls.start(self._interval_s, now=False).addErrback(failed)
