"""`apptuner_relay.web.health` and `status`: what monitors and platforms are told."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay import __version__
from tests.memory import Relay
from tests.web.http import REMOTE, Visitor


class HealthTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(memory_limit=1024, admin_token="correct-horse")
        # They are open to everybody, whatever the guard is.
        self.visitor = Visitor(self.relay.service, REMOTE)

    def degrade(self) -> None:
        for _ in range(2):
            self.relay.service.meters.check_worries()
            self.relay.clock.advance(60)
        self.relay.service.meters.check_worries()

    def test_ok(self) -> None:
        self.relay.connect("/cli/ABC234")
        self.relay.clock.advance(5)
        answer = self.visitor.ask("/health")
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
            },
        )
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_degraded(self) -> None:
        self.degrade()
        answer = self.visitor.ask("/health")
        self.assertEqual((answer.status, answer.json()["status"]), (503, "degraded"))
        (reason,) = answer.json()["reasons"]
        self.assertIn("memory", reason)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        # A platform that took it out of service, or restarted it, would make it worse.
        self.assertEqual(self.visitor.ask("/ready").status, 200)
        self.assertEqual(self.visitor.ask("/live").status, 200)

    def test_draining(self) -> None:
        self.degrade()
        self.relay.service.stopService()
        answer = self.visitor.ask("/health")
        self.assertEqual((answer.status, answer.json()["status"]), (503, "draining"))
        self.assertEqual(answer.json()["reasons"][0], "The relay restarts")
        ready = self.visitor.ask("/ready")
        self.assertEqual((ready.status, ready.json()), (503, {"status": "draining"}))
        self.assertEqual(self.visitor.ask("/live").status, 200)

    def test_ready_and_live(self) -> None:
        for path, status in (("/ready", "ready"), ("/live", "alive")):
            answer = self.visitor.ask(path)
            self.assertEqual((answer.status, answer.json()), (200, {"status": status}))
            self.assertEqual(self.visitor.ask(path, "HEAD").body, b"")
            self.assertEqual(self.visitor.ask(path, "POST").status, 405)

    def test_not_ready_before_it_runs(self) -> None:
        self.relay.service.running = 0
        answer = self.visitor.ask("/ready")
        self.assertEqual((answer.status, answer.json()), (503, {"status": "starting"}))


class StatusTest(SynchronousTestCase):
    def test_the_meters_as_json(self) -> None:
        relay = Relay()
        relay.connect("/cli/ABC234")
        answer = Visitor(relay.service).ask("/api/status")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json()["connections"]["cli"], 1)
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_it_is_guarded(self) -> None:
        self.assertEqual(Visitor(Relay().service, REMOTE).ask("/api/status").status, 403)
        relay = Relay(admin_token="correct-horse")
        self.assertEqual(Visitor(relay.service).ask("/api/status").status, 401)
        answer = Visitor(relay.service, REMOTE).ask(
            "/api/status", Authorization="Bearer correct-horse"
        )
        self.assertEqual(answer.status, 200)
