"""`apptuner_relay.operator.day_counter`: what counts for which day."""

from apptuner_relay.operator.day_book import DAY_S
from tests.operator.meters_case import MetersCase


class DayTest(MetersCase):
    def test_midnight(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.relay.clock.advance(DAY_S - self.relay.clock.seconds() % DAY_S - 1)
        self.assertEqual(self.meters.days.take_finished(), [])
        self.relay.clock.advance(1)
        (over,) = self.meters.days.take_finished()
        self.assertEqual((over.date, over.peak_connections, over.bundles), ("1970-01-01", 2, 1))
        self.assertEqual(self.meters.days.take_finished(), [])
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        status = self.status()
        self.assertEqual(status["today"]["date"], "1970-01-02")
        self.assertEqual(status["today"]["bundles"], 2)
        self.assertEqual(status["total"]["bundles"], 3)
        # Those who are there at midnight are there on the new day, but didn't come on it.
        self.assertEqual(status["today"]["peak_connections"], 2)
        self.assertEqual(status["today"]["connections"], 0)
        self.assertEqual([day["date"] for day in status["days"]], ["1970-01-01"])
        self.assertEqual(status["days"][0]["bundles"], 1)
