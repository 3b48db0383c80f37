"""`nodes` as a command: what it makes of a relay's answer, and of what is none."""

from __future__ import annotations

import copy
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.web.server import Site

from apptuner_relay.client.outcome import Exit

from .cases import TOKEN, Asked, OperatorCommandCase
from .little_relay import Recorder

ANSWER: dict[str, Any] = {
    "node": "a",
    "connections": 1_024,
    "cluster": {
        "redis": "connected",
        "redis_away_s": None,
        "bridged": 128,
        "visitors": 99,
        "node_count": 2,
        "nodes": [
            {
                "node": name,
                "address": f"ws://10.0.0.{n}:3000",
                "sessions": 700 * n,
                "connections": 1000 * n,
                "since_ms": 1_795_000_000_000,
                "uptime_s": 266_400.5,
                "draining": name == "b",
                "version": "0.1.0",
            }
            for n, name in enumerate("ab", 1)
        ],
    },
}


class NodesTest(OperatorCommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked = Asked()
        self.answer(ANSWER)
        site = Site(self.asked)
        site.noisy = False
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    def answer(self, value: object) -> None:
        self.asked.body = json.dumps(value).encode()

    @inlineCallbacks
    def ask(self, *arguments: str, code: Exit = Exit.DONE) -> Any:
        running, screen = self.begin("nodes", *arguments, "--relay", self.url)
        ended = yield running.done
        self.assertEqual(ended, code, screen.err.getvalue())
        return screen

    def rows(self, screen: Recorder) -> list[list[str]]:
        lines = screen.out.getvalue().splitlines()
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return [row for row in cells if len(row) > 1]

    @inlineCallbacks
    def test_a_table(self) -> Any:
        screen = yield self.ask()
        titles, a, b = self.rows(screen)
        self.assertEqual(titles[:4], ["relay", "address", "sessions", "connections"])
        self.assertEqual(
            a, ["a", "ws://10.0.0.1:3000", "700", "1,000", "0.1.0", "3 d 2 h", "asked"]
        )
        self.assertEqual(b[-1], "draining")
        self.assertIn(
            "Clients of a: 1,024, bridged to other relays: 128 (12%). ", screen.out.getvalue()
        )
        self.assertIn("Redis: connected.", screen.out.getvalue())
        self.assertEqual(screen.err.getvalue(), "")
        self.assertEqual(self.asked.paths, [b"/api/nodes"])

    @inlineCallbacks
    def test_json(self) -> Any:
        screen = yield self.ask("--json")
        said = json.loads(screen.out.getvalue())
        self.assertEqual((said["node"], said["connections"]), ("a", 1_024))
        self.assertEqual(said["cluster"]["bridged"], 128)
        self.assertEqual(said["cluster"]["nodes"][1]["sessions"], 1_400)

    @inlineCallbacks
    def test_redis_away(self) -> Any:
        away = copy.deepcopy(ANSWER)
        away["cluster"] |= {"redis": "away", "redis_away_s": 75.5}
        self.answer(away)
        for option in ([], ["--json"]):
            screen = yield self.ask(*option, code=Exit.FAILED)
            self.assertIn("Redis has been unreachable for 1 min 15 s", screen.err.getvalue())
            self.assertIn("10.0.0.2", screen.out.getvalue())

    @inlineCallbacks
    def test_claims_that_are_not_shared(self) -> Any:
        refused = copy.deepcopy(ANSWER)
        refused["cluster"] |= {"claims": "refused", "claims_refusal": "READONLY"}
        self.answer(refused)
        screen = yield self.ask()
        self.assertIn("Claims: refused (READONLY), known to each relay", screen.out.getvalue())
        screen = yield self.ask("--json")
        self.assertEqual(json.loads(screen.out.getvalue())["cluster"]["claims"], "refused")

    @inlineCallbacks
    def test_a_relay_that_is_alone(self) -> Any:
        self.answer(ANSWER | {"cluster": None})
        screen = yield self.ask(code=Exit.FAILED)
        self.assertIn("a is alone: it runs without --redis", screen.err.getvalue())
        self.assertEqual(screen.out.getvalue(), "")
        screen = yield self.ask("--json", code=Exit.FAILED)
        self.assertIsNone(json.loads(screen.out.getvalue())["cluster"])

    @inlineCallbacks
    def test_nobody_connected(self) -> Any:
        self.answer(ANSWER | {"connections": 0})
        screen = yield self.ask()
        self.assertIn("Clients of a: 0, bridged to other relays: 128. ", screen.out.getvalue())

    @inlineCallbacks
    def test_the_token(self) -> Any:
        yield self.ask("--admin-token", TOKEN)
        self.assertEqual(self.asked.tokens, [f"Bearer {TOKEN}"])

    @inlineCallbacks
    def test_what_is_no_answer(self) -> Any:
        for code, body, words in (
            (401, "", "asks for a token: --admin-token, or $APPTUNER_ADMIN_TOKEN"),
            (404, "", "has no /api/nodes: it is no relay of this version, or none at all"),
            (200, "oops", "not as a relay of this version does: it is no JSON"),
        ):
            self.asked.code, self.asked.body = code, body.encode()
            screen = yield self.ask(code=Exit.FAILED)
            self.assertIn(words, screen.err.getvalue())

    @inlineCallbacks
    def test_answers_with_something_wrong(self) -> Any:
        for where, value, words in (
            (("node",), 7, "the answer has no text 'node'"),
            (("connections",), -1, "the answer has no count 'connections'"),
            (("cluster",), [], "cluster is no JSON object"),
            (("cluster", "nodes"), {}, "cluster.nodes is no list"),
            (("cluster", "redis_away_s"), "1", "cluster has no time 'redis_away_s'"),
            (("cluster", "nodes", 1, "uptime_s"), None, "cluster.nodes[1] has no time 'uptime_s'"),
            (("cluster", "nodes", 0), "a", "cluster.nodes[0] is no JSON object"),
        ):
            wrong = copy.deepcopy(ANSWER)
            inner: Any = wrong
            for key in where[:-1]:
                inner = inner[key]
            inner[where[-1]] = value
            self.answer(wrong)
            screen = yield self.ask(code=Exit.FAILED)
            self.assertIn(words, screen.err.getvalue())

    @inlineCallbacks
    def test_names_that_would_move_the_cursor(self) -> Any:
        evil = copy.deepcopy(ANSWER)
        evil["cluster"]["nodes"][1]["node"] = "\x1b[2J"
        self.answer(evil)
        screen = yield self.ask()
        self.assertIn("\\x1b[2J", screen.out.getvalue())
        self.assertNotIn("\x1b", screen.out.getvalue())
