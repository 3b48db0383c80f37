"""`apptuner_relay.web.runtime`: what operators change of a running relay."""

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.log_threshold import LogThreshold
from apptuner_relay.support.client_address import TrustedProxies
from apptuner_relay.web.site import make_site
from tests.log_capture import capture_log
from tests.memory import Relay
from tests.web.http import LOCAL, REMOTE, Answer, Requester

TOKEN = "correct-horse-battery"
BEARER = f"Bearer {TOKEN}"
PATHS = ("/api/drain", "/api/block", "/api/log-level")


class RuntimeCase(SynchronousTestCase):
    def setUp(self) -> None:
        proxies = TrustedProxies.parse("10.0.0.0/8")
        self.relay = Relay(admin_token=TOKEN, trusted_proxy=proxies)
        self.there = Requester(self.relay.service, REMOTE)
        self.lines = capture_log(self)

    def ask(self, path: str, method: str = "GET", body: object = None) -> Answer:
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        return self.there.ask(path, method, text, Authorization=BEARER)

    def done(self, path: str, method: str = "GET", body: object = None) -> Any:
        answer = self.ask(path, method, body)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def audited(self) -> str:
        return next(line for line in reversed(self.lines) if ", from 203.0.113.9 (token): " in line)


class All(RuntimeCase):
    def test_only_operators(self) -> None:
        for path in PATHS:
            for method in ("GET", "POST"):
                self.assertEqual(self.there.ask(path, method, "{}").status, 401, path)
                here = Requester(Relay().service, LOCAL)
                answer = here.ask(path, method, "{}", Origin="https://evil.example")
                self.assertEqual(answer.status, 403, path)

    def test_what_is_no_object_of_these(self) -> None:
        for path in PATHS:
            for body in (None, "[", "[" * 2000, "[]", "1", {"more": 1}, '{"on":'):
                answer = self.ask(path, "POST", body)
                self.assertEqual(answer.status, 400, (path, body))
                self.assertIn("refused: ", self.audited())
            self.assertEqual(self.ask(path, "POST", " " * 5000).status, 413)

    def test_other_methods(self) -> None:
        for path in PATHS:
            answer = self.ask(path, "PUT")
            allowed = "GET, HEAD, POST" + (", DELETE" if path == "/api/block" else "")
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed))


class DrainTest(RuntimeCase):
    def test_there_and_back(self) -> None:
        self.relay.connect("/cli/ABC234")
        self.assertFalse(self.done("/api/drain")["drain"])
        found = self.done("/api/drain", "POST", {"on": True})
        self.assertEqual(
            found, {"drain": True, "state": "drained", "sessions": 1, "connections": 1}
        )
        self.assertTrue(self.audited().startswith("drain on, "))
        self.assertEqual(self.there.ask("/ready").status, 503)
        health = self.there.ask("/health")
        self.assertEqual((health.status, health.json()["status"]), (503, "draining"))
        self.assertIn("drains", health.json()["reasons"][0])
        metrics = self.ask("/metrics").body
        self.assertIn(b'apptuner_relay_state{state="draining"} 1.0', metrics)
        self.done("/api/drain", "POST", {"on": True})
        self.assertIn("it was so", self.audited())
        self.assertFalse(self.done("/api/drain", "POST", {"on": False})["drain"])
        self.assertEqual(self.there.ask("/ready").status, 200)

    def test_what_is_wrong(self) -> None:
        for on in (1, "true", None):
            self.assertEqual(self.ask("/api/drain", "POST", {"on": on}).status, 400)
        self.relay.connect("/cli/ABC234")
        self.relay.service.stopService()
        self.assertEqual(self.ask("/api/drain", "POST", {"on": True}).status, 409)


class BlockTest(RuntimeCase):
    def test_blocked_and_lifted(self) -> None:
        body = {"address": "192.0.2.4", "for": "1h", "reason": "it guesses"}
        [row] = self.done("/api/block", "POST", body)["blocked"]
        self.assertEqual((row["address"], row["reason"]), ("192.0.2.4", "it guesses"))
        self.assertEqual(row["until_ms"] - row["since_ms"], 3_600_000)
        self.assertTrue(self.audited().startswith("block 192.0.2.4, "))
        self.assertEqual(self.done("/api/block", "DELETE", {"address": "192.0.2.4"})["blocked"], [])
        again = self.ask("/api/block", "DELETE", {"address": "192.0.2.4"})
        self.assertEqual((again.status, again.error), (404, "192.0.2.4 is not blocked"))

    def test_what_is_never_blocked(self) -> None:
        for address in ("127.0.0.1", "10.9.9.9", "203.0.113.9", "203.0.113.0/24", "", 4, "nobody"):
            answer = self.ask("/api/block", "POST", {"address": address})
            self.assertEqual(answer.status, 400, address)
        for more in ({"for": "soon"}, {"for": "0"}, {"reason": 1}):
            answer = self.ask("/api/block", "POST", {"address": "192.0.2.4", **more})
            self.assertEqual(answer.status, 400, more)
        self.assertEqual(self.done("/api/block")["blocked"], [])

    def test_its_clients_are_closed_and_refused(self) -> None:
        site = make_site(self.relay.service)
        site.startFactory()
        proxy = IPv4Address("TCP", "10.0.0.1", 1)
        target, fields = "/cli/ABC234", {"X_Forwarded_For": "192.0.2.4"}
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec_WebSocket_Version": "13",
        }
        open_socket = Requester(self.relay.service, proxy)
        joined = open_socket.open(target, **fields, **upgrade)
        self.assertIn(b" 101 ", joined.value())
        self.done("/api/block", "POST", {"address": "192.0.2.0/24"})
        self.assertIn("1 client closed", self.audited())
        self.assertIn(b"\x03\xf0Your address is blocked", joined.value())
        refused = open_socket.open(target, **fields, **upgrade).value()
        self.assertIn(b" 403 ", refused)
        other = open_socket.open(target, X_Forwarded_For="198.51.100.1", **upgrade).value()
        self.assertIn(b" 101 ", other)


class LogLevelTest(RuntimeCase):
    def test_for_a_time(self) -> None:
        threshold = LogThreshold("info", self.relay.clock)
        self.there._site = make_site(self.relay.service, threshold=threshold)
        self.there._site.startFactory()
        found = self.done("/api/log-level", "POST", {"level": "debug", "for": "10m"})
        self.assertEqual(found, {"level": "debug", "usual": "info", "left_s": 600})
        self.relay.clock.advance(600)
        found = self.done("/api/log-level")
        self.assertEqual(found, {"level": "info", "usual": "info", "left_s": None})
        for wrong in ({"level": "all"}, {"level": None}, {"level": "debug", "for": "x"}):
            self.assertEqual(self.ask("/api/log-level", "POST", wrong).status, 400)

    def test_the_log_is_another_ones(self) -> None:
        self.assertIsNone(self.done("/api/log-level")["level"])
        self.assertEqual(self.ask("/api/log-level", "POST", {"level": "debug"}).status, 409)
