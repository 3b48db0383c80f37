"""`apptuner_relay.operator.audit`: the lines of what operators do."""

import json
from typing import Any

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.audit import Actor, Audit
from apptuner_relay.operator.classic_line import classic_line
from apptuner_relay.operator.logs import json_line
from tests.memory import Relay
from tests.web.http import REMOTE, Requester

TOKEN = "correct-horse-battery"
BEARER = f"Bearer {TOKEN}"
FIELDS = ("level", "logger", "action", "address", "via", "session", "result")


class AuditCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)  # type: ignore[arg-type]

    def lines(self) -> list[tuple[object, ...]]:
        rows = [json.loads(json_line(e)) for e in self.events if e["log_namespace"] == "audit"]
        return [tuple(row[name] for name in FIELDS) for row in rows]


class Lines(AuditCase):
    def test_fields_and_text(self) -> None:
        Audit().record(Actor("192.0.2.4", "token"), "close", "done, 2 clients", "1f2e3d4c" * 8)
        self.assertEqual(
            self.lines(),
            [("info", "audit", "close", "192.0.2.4", "token", "1f2e3d4c", "done, 2 clients")],
        )
        self.assertIn(
            "[audit#info] session 1f2e3d4c: close, from 192.0.2.4 (token): done, 2 clients",
            classic_line(self.events[0]),  # type: ignore[arg-type]
        )

    def test_a_refusal_is_a_warning(self) -> None:
        Audit().record(Actor(None, "nothing"), "drain on", "refused: no")
        self.assertIs(self.events[0]["log_level"], LogLevel.warn)
        self.assertEqual(self.lines()[0][3], "an unknown address")

    def test_what_others_send_is_one_short_line(self) -> None:
        Audit().record(Actor("192.0.2.4", "token"), "a\nb\x1b[1m" + "x" * 999, "done\r\nforged")
        _, _, action, _, _, _, result = self.lines()[0]
        self.assertEqual(result, "done forged")
        self.assertTrue(str(action).startswith("a b"))
        self.assertEqual(len(str(action)), 200)


class Requests(AuditCase):
    def test_sign_in_and_out_and_closing(self) -> None:
        relay = Relay(admin_token=TOKEN)
        there = Requester(relay.service, REMOTE)
        relay.connect("/cli/ABC234")
        [session] = relay.service.sessions
        there.ask("/api/login", "POST", Authorization=BEARER)
        there.ask(f"/api/sessions/{session[:8]}/close", "POST", Authorization=BEARER)
        there.ask("/api/sessions/00000000/close", "POST", Authorization=BEARER)
        there.ask("/api/logout", "POST", Authorization=BEARER)
        address, via = "203.0.113.9", "token"
        refused = "refused: No session 00000000 is connected"
        self.assertEqual(
            self.lines(),
            [
                ("info", "audit", "sign in", address, via, None, "done"),
                ("info", "audit", "close", address, via, session[:8], "done, 1 client"),
                ("warn", "audit", "close", address, via, None, refused),
                ("info", "audit", "sign out", address, via, None, "done"),
            ],
        )
        self.assertNotIn(TOKEN, repr(self.events))

    def test_what_is_denied_is_logged_once_in_a_while(self) -> None:
        relay = Relay(admin_token=TOKEN)
        there = Requester(relay.service, REMOTE)
        for _ in range(3):
            there.ask("/api/sessions/00000000/close", "POST")
            there.ask("/api/sessions")
        [line] = self.lines()
        self.assertEqual(line[2], "sessions/00000000/close")
        self.assertIn("denied: This needs the relay's admin token (1 since", str(line[6]))
