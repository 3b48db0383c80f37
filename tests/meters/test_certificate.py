"""What the meters tell of the TLS certificate."""

from types import SimpleNamespace
from typing import Any

from prometheus_client.core import Metric
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.metrics import MeterCollector
from tests.memory import Relay

DAY_S = 86400


class CertificateWorries(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(tls_expiry_days=14)
        self.meters = self.relay.service.meters
        self.certificate: Any = SimpleNamespace(
            refused=None,
            reloads={},
            expires_s=self.relay.clock.seconds() + 20 * DAY_S,
            expires="2026-12-24",
            shown="relay.test",
        )
        self.meters.watch_certificate(self.certificate)

    def worries(self) -> dict[str, str]:
        self.meters.check_worries()
        return {worry.name: worry.text for worry in self.meters.worries.active}

    def metrics(self) -> dict[str, Metric]:
        return {metric.name: metric for metric in MeterCollector(self.meters).collect()}

    def expires_in(self, days: float) -> None:
        self.certificate.expires_s = self.relay.clock.seconds() + days * DAY_S

    def test_expiry(self) -> None:
        self.assertEqual(self.worries(), {})
        self.expires_in(13.9)
        self.assertEqual(
            self.worries()["certificate"],
            "The TLS certificate of relay.test expires in 13 days, on 2026-12-24",
        )
        self.expires_in(1.5)
        self.assertIn("expires in 1 day,", self.worries()["certificate"])
        self.expires_in(0)
        self.assertIn("has expired on 2026-12-24", self.worries()["certificate"])
        self.assertEqual(self.meters.state, "ok")
        self.expires_in(90)
        self.assertEqual(self.worries(), {})

    def test_a_renewal_that_is_refused(self) -> None:
        self.certificate.refused = "the key has a passphrase"
        self.assertEqual(
            self.worries()["certificate_renewal"],
            "The new TLS certificate is refused: the key has a passphrase. The old one goes on "
            "until 2026-12-24",
        )
        self.certificate.refused = None
        self.assertEqual(self.worries(), {})

    def test_metrics(self) -> None:
        self.certificate.reloads = {"refused": 2}
        self.meters.turn_away("plain_http")
        metrics = self.metrics()
        expiry = metrics["apptuner_relay_certificate_expiry_timestamp_seconds"].samples[0]
        self.assertEqual(expiry.value, self.certificate.expires_s)
        reloads = metrics["apptuner_relay_certificate_reloads"].samples
        self.assertEqual(
            {one.labels["result"]: one.value for one in reloads}, {"taken": 0, "refused": 2}
        )
        away = {one.labels["reason"]: one.value for one in metrics[TURNED_AWAY].samples}
        self.assertEqual((away["plain_http"], away["timeout"]), (1, 0))

    def test_a_relay_without_tls(self) -> None:
        names = {metric.name for metric in MeterCollector(Relay().service.meters).collect()}
        self.assertNotIn("apptuner_relay_certificate_reloads", names)
        self.assertIn(TURNED_AWAY, names)


TURNED_AWAY = "apptuner_relay_turned_away"
