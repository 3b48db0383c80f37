"""`apptuner_relay.edge.certificate_reload`: when new files are loaded, and which are refused."""

import os

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from apptuner_relay.edge.certificate import BadCertificate
from apptuner_relay.edge.certificate_reload import SETTLE_S, TICKETS_S, CertificateReload
from tests.certificates import NAME
from tests.edge.certificate_case import AUTHORITY, CertificateCase

LOOK_S = 60.0


class Reloading(CertificateCase):
    def setUp(self) -> None:
        super().setUp()
        self.first = self.install()
        self.clock = Clock()
        self.clock.rightNow = os.stat(self.live.chain).st_mtime
        self.certificates = CertificateReload(
            self.live.chain, self.live.key, self.clock, LOOK_S, self.clock.seconds
        )
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.certificates.startService()
        self.addCleanup(self.certificates.stopService)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "apptuner_relay.edge.certificate_reload.CertificateReload":
            self.lines.append(str(event["log_format"]).format(**event))  # type: ignore[arg-type]

    def serial(self) -> int:
        """Of the certificate that a new connection gets."""
        shown = self.certificates.serverConnectionForTLS(None).get_certificate(as_cryptography=True)
        assert shown is not None
        return shown.serial_number

    def look(self) -> None:
        self.clock.advance(LOOK_S)
        self.clock.advance(SETTLE_S)

    def test_the_first(self) -> None:
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn(f"TLS certificate of {NAME}, 127.0.0.1 until", self.lines[0])

    def test_none_to_begin_with(self) -> None:
        self.live.chain.unlink()
        self.assertRaises(
            BadCertificate, CertificateReload, self.live.chain, self.live.key, self.clock, 60
        )

    def test_a_new_one(self) -> None:
        new = self.install()
        self.assertEqual(self.serial(), self.first.serial)
        self.look()
        self.assertEqual(self.serial(), new.serial)
        self.assertIn("TLS certificate taken", self.lines[-1])
        self.assertEqual(self.certificates.reloads, {"taken": 1})
        self.look()
        self.assertEqual(self.certificates.reloads, {"taken": 1})

    def test_a_file_that_is_written_in_place(self) -> None:
        new = AUTHORITY.issue()
        self.live.chain.write_bytes(new.chain)
        self.live.key.write_bytes(new.key)
        self.look()
        self.assertEqual(self.serial(), new.serial)

    def test_a_renewal_that_is_half_done(self) -> None:
        """Between the certificate and the key nothing is read."""
        new = AUTHORITY.issue()
        self.live.install(new.chain, self.first.key)
        self.clock.advance(LOOK_S)
        self.live.install(new.chain, new.key)
        self.clock.advance(SETTLE_S)
        self.assertEqual(self.certificates.reloads, {})
        self.clock.advance(SETTLE_S)
        self.assertEqual(self.serial(), new.serial)
        self.assertEqual(self.certificates.reloads, {"taken": 1})

    def test_a_wrong_pair_is_refused_once(self) -> None:
        new = AUTHORITY.issue()
        self.live.install(new.chain, self.first.key)
        for _ in range(3):
            self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertEqual(self.certificates.reloads, {"refused": 1})
        refused = [line for line in self.lines if "THE NEW TLS CERTIFICATE IS REFUSED" in line]
        self.assertEqual(len(refused), 1)
        self.assertIn("is not that of the first certificate", refused[0])
        self.assertIn("is not that of the first", str(self.certificates.refused))

        self.live.install(new.chain, new.key)
        self.look()
        self.assertEqual((self.serial(), self.certificates.refused), (new.serial, None))

    def test_files_that_go(self) -> None:
        self.live.key.unlink()
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("No such file", str(self.certificates.refused))

    def test_one_that_has_expired_is_no_better(self) -> None:
        self.install(days=-0.5)
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("expired on", str(self.certificates.refused))
        self.install(days=90, since=1)
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("begins after now", str(self.certificates.refused))

    def test_one_that_has_expired_is_better_than_none(self) -> None:
        self.install(days=-0.5)
        certificates = CertificateReload(
            self.live.chain, self.live.key, self.clock, LOOK_S, self.clock.seconds
        )
        certificates.startService()
        certificates.stopService()
        self.assertIn("clients will refuse it", self.lines[-1])

    def test_at_once(self) -> None:
        new = self.install()
        self.certificates.reload()
        self.assertEqual(self.serial(), new.serial)
        self.look()
        self.assertEqual(self.certificates.reloads, {"taken": 1})

    def test_at_once_while_it_settles(self) -> None:
        new = self.install()
        self.clock.advance(LOOK_S)
        self.certificates.reload()
        self.clock.advance(SETTLE_S)
        self.assertEqual(self.serial(), new.serial)
        self.assertEqual(self.certificates.reloads, {"taken": 1})

    def test_stopped_while_it_settles(self) -> None:
        self.install()
        self.clock.advance(LOOK_S)
        self.certificates.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.certificates.startService()

    def test_tickets_get_new_keys(self) -> None:
        before = self.certificates.serverConnectionForTLS(None).get_context()
        self.look()
        self.assertIs(self.certificates.serverConnectionForTLS(None).get_context(), before)
        self.clock.advance(TICKETS_S)
        after = self.certificates.serverConnectionForTLS(None).get_context()
        self.assertIsNot(after, before)
        self.assertIsInstance(after, SSL.Context)
        self.assertEqual(self.serial(), self.first.serial)
