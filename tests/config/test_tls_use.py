"""`apptuner_relay.config.tls_use`: which settings have a use for TLS."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.options import Options
from apptuner_relay.config.tls_use import may_use_tls, speaks_tls


class EndpointsTest(SynchronousTestCase):
    def test_plain_ones(self) -> None:
        plain = ("tcp:3000", "tcp6:3000", "unix:/run/x.sock", "systemd:name=x", "proxy:tcp:1")
        self.assertFalse(speaks_tls(plain))

    def test_ones_with_tls(self) -> None:
        for one in ("tls:tcp:443", "proxy:tls:tcp:443", "ssl:443:privateKey=/key.pem"):
            self.assertTrue(speaks_tls(("tcp:3000", one)), one)

    def test_those_of_plugins_may(self) -> None:
        self.assertTrue(speaks_tls(("le:/certificates:tcp:443",)))


class SettingsTest(SynchronousTestCase):
    def may(self, *words: str) -> bool:
        options = Options({})
        options.parseOptions(words)
        return may_use_tls(options.settings)

    def test_a_relay_that_is_told_nothing(self) -> None:
        self.assertFalse(self.may())

    def test_one_that_proxies_serve_with_tls(self) -> None:
        self.assertFalse(self.may("--public-url", "https://relay.example", "--claims", "on"))

    def test_one_that_has_a_certificate(self) -> None:
        certificate = Path(self.mktemp())
        certificate.touch()
        self.assertTrue(self.may("--listen", "tls:tcp:443", "--tls-cert", str(certificate)))

    def test_whoever_connects_to_others(self) -> None:
        for words in (
            ("--alert-url", "http://alerts.example/"),
            ("--forward", "/app=http://127.0.0.1:8081"),
            ("--redis", "redis://127.0.0.1", "--cluster-secret", "s" * 32),
            ("--managed", "relay://key"),
        ):
            self.assertTrue(self.may(*words), words)
