"""`apptuner_relay.web.probes`: what monitors and load balancers are told."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay import __version__
from apptuner_relay.support.version import commit
from apptuner_relay.web import probes
from tests.memory import Relay
from tests.operator.fake_managed import MadeManaged
from tests.web.http import REMOTE, Requester


class HealthTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(memory_limit=1024, admin_token="correct-horse")
        # They are open to everybody, whatever the guard is.
        self.requester = Requester(self.relay.service, REMOTE)

    def degrade(self) -> None:
        for _ in range(2):
            self.relay.service.meters.health.check()
            self.relay.clock.advance(60)
        self.relay.service.meters.health.check()

    def test_ok(self) -> None:
        self.relay.connect("/cli/ABC234")
        self.relay.clock.advance(5)
        answer = self.requester.ask("/health")
        self.assertEqual(answer.status, 200)
        # What clients in the field look at stands as it always did.
        self.assertTrue(answer.body.startswith(b'{"status":"ok","connections":1,"sessions":1'))
        self.assertEqual(
            answer.json(),
            {
                "status": "ok",
                "connections": 1,
                "sessions": 1,
                "uptime_s": 5,
                "version": __version__,
                "commit": commit(),
            },
        )
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_what_was_deployed(self) -> None:
        self.assertNotIn("release", self.requester.ask("/health").json())
        self.patch(probes, "deployed_as", lambda: "20261126T140312512345Z-0.2.0")
        found = self.requester.ask("/health").json()["release"]
        self.assertEqual(found, "20261126T140312512345Z-0.2.0")

    def test_degraded(self) -> None:
        self.degrade()
        answer = self.requester.ask("/health")
        self.assertEqual((answer.status, answer.json()["status"]), (503, "degraded"))
        (reason,) = answer.json()["reasons"]
        self.assertIn("memory", reason)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        # A platform that took it out of service, or restarted it, would make it worse.
        self.assertEqual(self.requester.ask("/ready").status, 200)
        self.assertEqual(self.requester.ask("/live").status, 200)

    def test_a_managed_service_that_is_away(self) -> None:
        managed = MadeManaged()
        self.relay = Relay()
        self.requester = Requester(self.relay.service, REMOTE)
        self.relay.service.meters.watch_managed(managed)
        self.assertEqual(
            self.requester.ask("/health").json()["managed"],
            {"state": "up", "channels": 2, "members": 3},
        )
        managed.go_away(0)
        self.relay.clock.advance(10)
        self.relay.service.meters.health.check()
        answer = self.requester.ask("/health")
        # No relay would serve clients better, and this one goes on with its own.
        self.assertEqual((answer.status, answer.json()["status"]), (200, "degraded"))
        self.assertIn("managed service has been away", answer.json()["reasons"][0])
        self.assertEqual(answer.json()["managed"]["state"], "away")

    def test_draining(self) -> None:
        self.degrade()
        self.relay.service.stopService()
        answer = self.requester.ask("/health")
        self.assertEqual((answer.status, answer.json()["status"]), (503, "draining"))
        self.assertEqual(answer.json()["reasons"][0], "The relay restarts")
        ready = self.requester.ask("/ready")
        self.assertEqual((ready.status, ready.json()), (503, {"status": "draining"}))
        self.assertEqual(self.requester.ask("/live").status, 200)

    def test_ready_and_live(self) -> None:
        for path, status in (("/ready", "ready"), ("/live", "alive")):
            answer = self.requester.ask(path)
            self.assertEqual((answer.status, answer.json()), (200, {"status": status}))
            self.assertEqual(self.requester.ask(path, "HEAD").body, b"")
            self.assertEqual(self.requester.ask(path, "POST").status, 405)

    def test_not_ready_before_it_runs(self) -> None:
        self.relay.service.running = 0
        answer = self.requester.ask("/ready")
        self.assertEqual((answer.status, answer.json()), (503, {"status": "starting"}))
