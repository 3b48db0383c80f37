"""`apptuner_relay.edge.certificate`: what is read from files."""

from apptuner_relay.edge.certificate import BadCertificate, read_certificate
from tests.certificates import NAME
from tests.edge.certificate_case import AUTHORITY, CertificateCase


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
            self.assertBad("fullchain.pem: has no complete certificate", chain, pair.key)
        for key in (b"", b"not PEM", pair.key[:60], pair.chain):
            self.assertBad("privkey.pem: has no complete private key", pair.chain, key)
        self.assertBad("privkey.pem: the key has a passphrase", pair.chain, pair.locked_key)

    def test_what_is_not_there(self) -> None:
        wrong = self.assertRaises(BadCertificate, self.read)
        self.assertIn("fullchain.pem: No such file", str(wrong))
