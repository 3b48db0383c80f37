"""`apptuner_relay.support.authorities`: files that hold no certificate authorities."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.authorities import BadCertificates, read_authorities
from tests.certificates import Authority


class AuthoritiesTest(SynchronousTestCase):
    def test_a_file_that_holds_no_authorities(self) -> None:
        path = Path(self.mktemp())
        self.assertIn(
            "can't be read", str(self.assertRaises(BadCertificates, read_authorities, path))
        )
        path.write_text("nothing")
        self.assertIn("no cert", str(self.assertRaises(BadCertificates, read_authorities, path)))
        path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        self.assertIn("damaged", str(self.assertRaises(BadCertificates, read_authorities, path)))

    def test_each_certificate_of_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(Authority().pem + Authority().pem)
        self.assertEqual(len(read_authorities(path)), 2)
