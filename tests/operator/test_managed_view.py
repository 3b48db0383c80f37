"""What the meters tell of a managed service: that it is away or refuses, and what it bills."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.log_lines import minute_fields, minute_line
from apptuner_relay.operator.managed_view import ServiceRefusal
from apptuner_relay.operator.views import Views
from tests.memory import Relay
from tests.operator.fake_managed import MadeManaged


class ManagedFigures(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.meters = self.relay.service.meters

    def watch(self) -> MadeManaged:
        managed = MadeManaged()
        self.meters.watch_managed(managed)
        return managed

    def row(self) -> dict[str, Any]:
        row = json.loads(json.dumps(Views(self.meters).status(), allow_nan=False))["managed"]
        assert isinstance(row, dict)
        return row

    def changes(self, after_s: float) -> list[tuple[bool, str]]:
        self.relay.clock.advance(after_s)
        return [(one.started, one.condition.name) for one in self.meters.health.check()]

    def test_a_relay_without_one(self) -> None:
        self.assertIsNone(Views(self.meters).status()["managed"])
        self.assertNotIn("managed", self.meters.health.conditions.levels)
        self.assertNotIn("managed", minute_line(self.meters))
        self.assertNotIn("managed", minute_fields(self.meters))

    def test_the_status(self) -> None:
        managed = self.watch()
        managed.counters.count_published("client_event", 700, 3)
        managed.counters.count_published("http", 300, 2)
        managed.counters.count_dropped("full", 4)
        managed.counters.count_refused(4301)
        managed.counters.reconnects = 5
        managed.counters.requests = 6
        managed.counters.round_trip_s = 0.0123
        self.assertEqual(
            self.row(),
            {
                "state": "up",
                "away_s": None,
                "refusal": None,
                "connections": 1,
                "channels": 2,
                "members": 3,
                "round_trip_ms": 12.3,
                "published": 2,
                "deliveries": 3,
                "bytes": 1000,
                "dropped": 4,
                "refused": 1,
                "reconnects": 5,
            },
        )

    def test_it_is_away(self) -> None:
        managed = self.watch()
        self.assertEqual(self.changes(0), [])
        managed.go_away(self.relay.clock.seconds())
        # It may only be restarting.
        self.assertEqual(self.changes(4), [])
        self.assertEqual((self.row()["state"], self.row()["away_s"]), ("away", 4.0))
        self.assertEqual(self.changes(86), [(True, "managed")])
        health = self.meters.health
        self.assertEqual(health.state, "degraded")
        [reason] = health.reasons
        self.assertIn("has been away for 1 min 30 s", reason)
        # Clients go on, and every other relay misses it as well.
        self.assertFalse(health.diverts)
        managed.come_back()
        self.assertEqual(self.changes(10), [(False, "managed")])
        self.assertEqual((health.state, health.reasons), ("ok", []))

    def test_it_refuses(self) -> None:
        """One warning, be it up or away: a refusal is why it is away."""
        for code, text, words in (
            (4004, "no more connections", "does not do its part (4004): no more connections"),
            (403, "no more messages today", "(403): no more messages today"),
            (4001, "there is no such application", "(4001): there is no such application"),
        ):
            self.setUp()
            managed = self.watch()
            managed.refusal = ServiceRefusal(code, text)
            if code > 4000:
                managed.go_away(0)
            self.assertEqual(self.changes(60), [(True, "managed_refusal")])
            self.assertIn(words, self.meters.health.reasons[0])
            self.assertEqual(self.row()["state"], "refused")
            self.assertEqual(self.row()["refusal"], {"code": code, "text": text})
            self.assertFalse(self.meters.health.diverts)
            managed.come_back()
            self.assertEqual(self.changes(60), [(False, "managed_refusal")])

    def test_watching_it_again(self) -> None:
        """A service that is stopped and started anew."""
        managed = self.watch()
        self.meters.watch_managed(managed)
        managed.go_away(self.relay.clock.seconds())
        self.assertEqual(self.changes(5), [(True, "managed")])

    def test_the_minutes_line(self) -> None:
        managed = self.watch()
        managed.go_away(0)
        self.assertIn("; 3 clients in 2 channels of the managed service, away",
                      minute_line(self.meters))  # fmt: skip
        fields = minute_fields(self.meters)
        self.assertEqual(
            [fields[name] for name in ("managed", "managed_members", "managed_channels")],
            ["away", 3, 2],
        )
