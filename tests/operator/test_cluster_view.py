"""What the meters tell of a relay that shares its sessions, and of its Redis."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.log_lines import minute_fields, minute_line
from apptuner_relay.operator.views import Views
from tests.memory import Relay
from tests.operator.fake_cluster import MadeCluster


class ClusterFigures(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.meters = self.relay.service.meters

    def share(self, *nodes: str) -> MadeCluster:
        cluster = MadeCluster(*nodes)
        self.meters.watch_cluster(cluster)
        return cluster

    def row(self) -> dict[str, Any]:
        row = Views(self.meters).status()["cluster"]
        assert isinstance(row, dict)
        return row

    def changes(self, after_s: float) -> list[tuple[bool, str]]:
        self.relay.clock.advance(after_s)
        return [(one.started, one.condition.name) for one in self.meters.health.check()]

    def test_a_relay_that_is_alone(self) -> None:
        self.assertIsNone(Views(self.meters).status()["cluster"])
        self.assertNotIn("redis", self.meters.health.conditions.levels)
        self.assertNotIn("Redis", minute_line(self.meters))
        self.assertNotIn("redis", minute_fields(self.meters))

    def test_the_status(self) -> None:
        self.share()
        row = self.row()
        self.assertEqual(Views(self.meters).status()["node"], "a")
        self.assertEqual((row["redis"], row["redis_away_s"]), ("connected", None))
        self.assertEqual((row["bridged"], row["visitors"], row["node_count"]), (3, 0, 2))
        self.assertEqual(
            row["nodes"][1],
            {
                "node": "b",
                "address": "ws://10.0.0.2:3000",
                "sessions": 20,
                "connections": 40,
                "since_ms": 900_000,
                "uptime_s": 100.0,
                "draining": True,
                "version": "0.1.0",
            },
        )

    def test_a_big_cluster(self) -> None:
        self.share(*(f"n{n}" for n in range(150)), "a")
        row = self.row()
        self.assertEqual(row["node_count"], 151)
        self.assertEqual([one["node"] for one in row["nodes"]][:2], ["a", "n0"])
        self.assertEqual(len(row["nodes"]), 100)
        every = Views(self.meters).cluster()
        assert every is not None and isinstance(every["nodes"], list)
        self.assertEqual(len(every["nodes"]), 151)

    def test_redis_away(self) -> None:
        cluster = self.share()
        self.assertEqual(self.changes(0), [])
        cluster.go_away(self.relay.clock.seconds())
        # Claims are away with it, which is no second warning.
        assert cluster.claims is not None
        cluster.claims.go_away(self.relay.clock.seconds())
        # It may only be failing over.
        self.assertEqual(self.changes(4), [])
        self.assertEqual(self.row()["redis_away_s"], 4.0)
        self.assertEqual(self.changes(86), [(True, "redis")])
        (condition,) = self.meters.health.conditions.active
        self.assertIn("Redis has been unreachable for 1 min 30 s", condition.text)
        self.assertIn("knows only the claims that it has seen", condition.text)
        # The relay goes on, and the others miss it as well.
        self.assertEqual((self.meters.health.state, self.meters.health.reasons), ("ok", []))
        cluster.come_back()
        self.assertEqual(self.changes(10), [(False, "redis"), (True, "claims")])

    def test_claims_that_are_not_shared(self) -> None:
        cluster = self.share()
        assert cluster.claims is not None
        cluster.claims.refuse(self.relay.clock.seconds(), "READONLY")
        self.assertEqual(self.changes(4), [])
        self.assertEqual(self.changes(26), [(True, "claims")])
        (condition,) = self.meters.health.conditions.active
        self.assertIn("claims that it has seen: Redis refuses them (READONLY)", condition.text)
        self.assertIn("For 30 s ", condition.text)
        row = self.row()
        self.assertEqual((row["claims"], row["claims_refusal"]), ("refused", "READONLY"))
        self.assertEqual(self.meters.health.state, "ok")
        cluster.claims = None
        self.assertEqual(self.changes(10), [(False, "claims")])
        self.assertEqual(self.row()["claims"], "off")

    def test_a_redis_that_drops_keys(self) -> None:
        cluster = self.share()
        cluster.directory.eviction_policy = "allkeys-lru"
        self.assertEqual(self.changes(0), [(True, "redis_eviction")])
        (condition,) = self.meters.health.conditions.active
        self.assertIn("maxmemory-policy allkeys-lru", condition.text)
        cluster.directory.eviction_policy = None
        self.assertEqual(self.changes(0), [(False, "redis_eviction")])

    def test_watching_it_again(self) -> None:
        """A service that is stopped and started anew."""
        cluster = self.share()
        cluster.node = "b"
        self.meters.watch_cluster(cluster)
        self.assertEqual(Views(self.meters).status()["node"], "b")
        cluster.go_away(0)
        self.assertEqual(self.changes(0), [(True, "redis")])

    def test_the_minutes_line(self) -> None:
        cluster = self.share()
        cluster.go_away(0)
        self.assertIn(
            "; 3 bridged to other relays, 0 from them; 2 relays, Redis away",
            minute_line(self.meters),
        )
        fields = minute_fields(self.meters)
        self.assertEqual(
            {name: fields[name] for name in ("bridged", "visitors", "nodes", "redis")},
            {"bridged": 3, "visitors": 0, "nodes": 2, "redis": "away"},
        )
