"""`apptuner_relay.web.managed_metrics`, read as Prometheus reads it."""

from apptuner_relay.operator.managed_view import ServiceRefusal
from tests.operator.fake_managed import MadeManaged
from tests.web.test_metrics import MetricsCase


class ManagedMetricsTest(MetricsCase):
    def of_the_service(self) -> dict[str, float]:
        prefix = "apptuner_relay_managed_"
        return {
            name.removeprefix(prefix): value
            for name, value in self.scrape().items()
            if name.startswith(prefix)
        }

    def test_a_relay_without_one_has_none(self) -> None:
        self.assertEqual(self.of_the_service(), {})
        self.assertNotIn("apptuner_relay_worry{level=warning,name=managed}", self.scrape())

    def test_what_was_exchanged(self) -> None:
        managed = MadeManaged()
        self.relay.service.meters.watch_managed(managed)
        done = managed.counters
        done.count_published("client_event", 500, 3)
        done.count_published("http", 100, 2)
        done.count_dropped("full", 4)
        done.requests, done.reconnects, done.round_trip_s = 7, 2, 0.025
        for code in (4004, 403, 403, 418, 4321, -1, 10**30):
            done.count_refused(code)
        got = self.of_the_service()
        for name, value in {
            "up": 1,
            "connections": 1,
            "channels": 2,
            "members": 3,
            "round_trip_seconds": 0.025,
            "published_total{way=client_event}": 1,
            "published_total{way=http}": 1,
            "deliveries_total": 3,
            "bytes_total": 600,
            "requests_total": 7,
            "reconnects_total": 2,
            "dropped_total{reason=full}": 4,
            "dropped_total{reason=away}": 0,
            "refused_total{refusal=4004}": 1,
            "refused_total{refusal=403}": 2,
            "refused_total{refusal=418}": 1,
            "refused_total{refusal=4321}": 1,
            "refused_total{refusal=other}": 2,
            "refused_total{refusal=4001}": 0,
        }.items():
            self.assertEqual(got[name], value, name)

    def test_before_anything_happens(self) -> None:
        managed = MadeManaged()
        self.relay.service.meters.watch_managed(managed)
        got = self.of_the_service()
        self.assertNotIn("round_trip_seconds", got)
        self.assertEqual(got["published_total{way=http}"], 0)
        self.assertEqual(got["dropped_total{reason=refused}"], 0)

    def test_away_and_refused(self) -> None:
        managed = MadeManaged()
        self.relay.service.meters.watch_managed(managed)
        managed.go_away(0)
        self.assertEqual(self.of_the_service()["up"], 0)
        managed.come_back()
        managed.refusal = ServiceRefusal(403, "no more messages today")
        self.assertEqual(self.of_the_service()["up"], 0)
        self.relay.service.meters.health.check()
        scraped = self.scrape()
        self.assertEqual(scraped["apptuner_relay_worry{level=warning,name=managed_refusal}"], 1)
        self.assertEqual(scraped["apptuner_relay_worry{level=warning,name=managed}"], 0)
