"""`apptuner_relay.certificate` and `renewal`: what is read from files, and when it is taken."""

import os
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.certificate import BadCertificate, read_certificate
from apptuner_relay.renewal import SETTLE_S, TICKETS_S, Renewal
from tests.certificates import NAME, Authority, Live, Pair

AUTHORITY = Authority()
LOOK_S = 60.0


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.live = Live(Path(self.mktemp()))

    def install(self, days: float = 90, since: float = -1) -> Pair:
        pair = AUTHORITY.issue(days, since)
        self.live.install(pair.chain, pair.key)
        return pair


class Reading(CertificateCase):
    def assertBad(self, why: str, chain: bytes, key: bytes) -> None:
        self.live.install(chain, key)
        wrong = self.assertRaises(BadCertificate, self.read)
        self.assertIn(why, str(wrong))

    def read(self) -> None:
        read_certificate(self.live.chain, self.live.key).make_context()

    def test_names_and_dates(self) -> None:
        self.install(days=90)
        certificate = read_certificate(self.live.chain, self.live.key)
        self.assertEqual(certificate.names, (NAME, "127.0.0.1"))
        self.assertAlmostEqual(certificate.expires_s - certificate.starts_s, 91 * 86400, delta=2)
        self.assertEqual(len(certificate.chain), 2)

    def test_many_names(self) -> None:
        pair = AUTHORITY.issue(names=tuple(f"n{i}.test" for i in range(6)))
        self.live.install(pair.chain, pair.key)
        shown = read_certificate(self.live.chain, self.live.key).shown
        self.assertEqual(shown, "n0.test, n1.test, n2.test, n3.test and 2 more")

    def test_without_alternative_names(self) -> None:
        pair = AUTHORITY.issue(names=())
        self.live.install(pair.chain, pair.key)
        self.assertEqual(read_certificate(self.live.chain, self.live.key).names, ("common.test",))

    def test_one_file_for_both(self) -> None:
        pair = AUTHORITY.issue()
        for pem in (pair.key + pair.chain, pair.chain + pair.key):
            self.live.install(pem, b"")
            read_certificate(self.live.chain, None).make_context()

    def test_what_does_not_belong_together(self) -> None:
        one, other = AUTHORITY.issue(), AUTHORITY.issue()
        self.assertBad("is not that of the first certificate", one.chain, other.key)
        # The authority's before the server's.
        self.assertBad("is not that of the first", AUTHORITY.pem + one.chain, one.key)

    def test_what_is_broken(self) -> None:
        pair = AUTHORITY.issue()
        for chain in (b"", b"not PEM", pair.chain[:200], pair.key):
            self.assertBad("fullchain.pem: holds no certificate", chain, pair.key)
        for key in (b"", b"not PEM", pair.key[:60], pair.chain):
            self.assertBad("privkey.pem: holds no private key", pair.chain, key)
        self.assertBad("privkey.pem: the key has a passphrase", pair.chain, pair.locked_key)

    def test_what_is_not_there(self) -> None:
        wrong = self.assertRaises(BadCertificate, self.read)
        self.assertIn("fullchain.pem: No such file", str(wrong))


class Renewing(CertificateCase):
    def setUp(self) -> None:
        super().setUp()
        self.first = self.install()
        self.clock = Clock()
        self.clock.rightNow = os.stat(self.live.chain).st_mtime
        self.renewal = Renewal(
            self.live.chain, self.live.key, self.clock, LOOK_S, self.clock.seconds
        )
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.renewal.startService()
        self.addCleanup(self.renewal.stopService)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "apptuner_relay.renewal.Renewal":
            self.lines.append(str(event["log_format"]).format(**event))  # type: ignore[arg-type]

    def serial(self) -> int:
        """Of the certificate that a new connection gets."""
        shown = self.renewal.serverConnectionForTLS(None).get_certificate(as_cryptography=True)
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
        self.assertRaises(BadCertificate, Renewal, self.live.chain, self.live.key, self.clock, 60)

    def test_a_new_one(self) -> None:
        new = self.install()
        self.assertEqual(self.serial(), self.first.serial)
        self.look()
        self.assertEqual(self.serial(), new.serial)
        self.assertIn("TLS certificate taken", self.lines[-1])
        self.assertEqual(self.renewal.reloads, {"taken": 1})
        self.look()
        self.assertEqual(self.renewal.reloads, {"taken": 1})

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
        self.assertEqual(self.renewal.reloads, {})
        self.clock.advance(SETTLE_S)
        self.assertEqual(self.serial(), new.serial)
        self.assertEqual(self.renewal.reloads, {"taken": 1})

    def test_a_wrong_pair_is_refused_once(self) -> None:
        new = AUTHORITY.issue()
        self.live.install(new.chain, self.first.key)
        for _ in range(3):
            self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertEqual(self.renewal.reloads, {"refused": 1})
        refused = [line for line in self.lines if "THE NEW TLS CERTIFICATE IS REFUSED" in line]
        self.assertEqual(len(refused), 1)
        self.assertIn("is not that of the first certificate", refused[0])
        self.assertIn("is not that of the first", str(self.renewal.refused))

        self.live.install(new.chain, new.key)
        self.look()
        self.assertEqual((self.serial(), self.renewal.refused), (new.serial, None))

    def test_files_that_go(self) -> None:
        self.live.key.unlink()
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("No such file", str(self.renewal.refused))

    def test_one_that_has_expired_is_no_better(self) -> None:
        self.install(days=-0.5)
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("expired on", str(self.renewal.refused))
        self.install(days=90, since=1)
        self.look()
        self.assertEqual(self.serial(), self.first.serial)
        self.assertIn("begins after now", str(self.renewal.refused))

    def test_one_that_has_expired_is_better_than_none(self) -> None:
        self.install(days=-0.5)
        renewal = Renewal(self.live.chain, self.live.key, self.clock, LOOK_S, self.clock.seconds)
        renewal.startService()
        renewal.stopService()
        self.assertIn("clients will refuse it", self.lines[-1])

    def test_at_once(self) -> None:
        new = self.install()
        self.renewal.reload()
        self.assertEqual(self.serial(), new.serial)
        self.look()
        self.assertEqual(self.renewal.reloads, {"taken": 1})

    def test_at_once_while_it_settles(self) -> None:
        new = self.install()
        self.clock.advance(LOOK_S)
        self.renewal.reload()
        self.clock.advance(SETTLE_S)
        self.assertEqual(self.serial(), new.serial)
        self.assertEqual(self.renewal.reloads, {"taken": 1})

    def test_stopped_while_it_settles(self) -> None:
        self.install()
        self.clock.advance(LOOK_S)
        self.renewal.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.renewal.startService()

    def test_tickets_get_new_keys(self) -> None:
        before = self.renewal.serverConnectionForTLS(None).get_context()
        self.look()
        self.assertIs(self.renewal.serverConnectionForTLS(None).get_context(), before)
        self.clock.advance(TICKETS_S)
        after = self.renewal.serverConnectionForTLS(None).get_context()
        self.assertIsNot(after, before)
        self.assertIsInstance(after, SSL.Context)
        self.assertEqual(self.serial(), self.first.serial)
