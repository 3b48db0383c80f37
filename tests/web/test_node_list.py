"""What `/health`, `/metrics` and `/api/nodes` tell of a relay that shares its sessions."""

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.operator.fake_cluster import MadeCluster
from tests.web.http import REMOTE, Requester, parse


class ClusterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.cluster = MadeCluster()
        self.relay.service.meters.watch_cluster(self.cluster)
        self.requester = Requester(self.relay.service)


class HealthTest(ClusterCase):
    def test_it_stands_behind_what_always_was_there(self) -> None:
        answer = self.requester.ask("/health")
        self.assertTrue(answer.body.startswith(b'{"status":"ok","connections":0,"sessions":0'))
        body = answer.json()
        self.assertEqual(body["node"], "a")
        self.assertEqual(
            body["cluster"],
            {
                "redis": "connected",
                "claims": "connected",
                "nodes": 2,
                "bridged": 3,
                "visitors": 0,
            },
        )

    def test_claims_that_redis_refuses(self) -> None:
        assert self.cluster.claims is not None
        self.cluster.claims.refuse(0, "OOM")
        answer = self.requester.ask("/health")
        cluster = answer.json()["cluster"]
        self.assertEqual(answer.status, 200)
        self.assertEqual((cluster["claims"], cluster["claims_refusal"]), ("refused", "OOM"))

    def test_without_redis_it_is_as_well_as_before(self) -> None:
        self.cluster.go_away(0)
        self.relay.service.meters.health.check()
        for path in ("/health", "/ready"):
            self.assertEqual(self.requester.ask(path).status, 200)
        self.assertEqual(self.requester.ask("/health").json()["cluster"]["redis"], "away")


class MetricsTest(ClusterCase):
    def scrape(self) -> dict[str, float]:
        answer = self.requester.ask("/metrics")
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
            if sample.labels.get("name", "redis") == "redis"
        }

    def test_the_metrics(self) -> None:
        samples = self.scrape()
        for name, value in {
            "redis_up": 1,
            "nodes": 2,
            "bridged_clients": 3,
            "visitors": 0,
            "claims_up": 1,
            "claims_refusals_total": 0,
            "redis_evicts": 0,
            "directory_commands_total": 120,
            "directory_claims_total": 17,
            "directory_leases_lost_total": 2,
            "worry": 0,
        }.items():
            self.assertEqual(samples[f"apptuner_relay_{name}"], value, name)

    def test_redis_away(self) -> None:
        self.cluster.go_away(0)
        self.relay.service.meters.health.check()
        samples = self.scrape()
        self.assertEqual(samples["apptuner_relay_redis_up"], 0)
        self.assertEqual(samples["apptuner_relay_worry"], 1)

    def test_a_relay_that_is_alone(self) -> None:
        text = Requester(Relay().service).ask("/metrics").body.decode()
        for word in ("redis", "nodes", "bridged", "visitors", "directory"):
            self.assertNotIn(word, text)


class NodesTest(ClusterCase):
    def test_they_are_asked_for_now(self) -> None:
        body = self.requester.ask("/api/nodes").json()
        self.assertEqual(self.cluster.looks, 1)
        self.assertEqual((body["node"], body["connections"]), ("a", 0))
        self.assertEqual([one["node"] for one in body["cluster"]["nodes"]], ["a", "b"])
        self.assertEqual(self.requester.ask("/api/nodes", "HEAD").body, b"")

    def test_a_relay_that_is_alone(self) -> None:
        body = Requester(Relay().service).ask("/api/nodes").json()
        self.assertIsNone(body["cluster"])

    def test_it_is_guarded(self) -> None:
        self.assertEqual(Requester(self.relay.service, REMOTE).ask("/api/nodes").status, 403)

    def test_a_fault(self) -> None:
        self.patch(self.cluster, "look", lambda: fail(RuntimeError("?")))
        answer = self.requester.ask("/api/nodes")
        self.assertEqual(
            (answer.status, answer.error), (500, "The relay has failed to list its nodes")
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_client_that_leaves(self) -> None:
        looking: Deferred[bool] = Deferred()
        self.patch(self.cluster, "look", lambda: looking)
        transport = self.requester.open("/api/nodes")
        transport.protocol.connectionLost(Failure(ConnectionLost()))  # type: ignore[attr-defined]
        looking.callback(True)
        self.assertEqual(transport.value(), b"")

    def test_an_answer_that_takes_its_time(self) -> None:
        looking: Deferred[bool] = Deferred()
        self.patch(self.cluster, "look", lambda: looking)
        transport = self.requester.open("/api/nodes")
        self.assertEqual(transport.value(), b"")
        looking.callback(True)
        self.assertEqual(parse(transport.value()).status, 200)
