"""What an answer to ``/health`` means, whose it is, and what one to a handshake means."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.answerers import name_answerer
from apptuner_relay.client.doctor.finding import CheckState
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.doctor.judge_http import HttpProblem, judge_health, judge_silence
from apptuner_relay.client.doctor.judge_upgrade import (
    judge_compression,
    judge_no_upgrade,
    judge_no_welcome,
    judge_upgrade,
)


def health(code: int = 200, **value: object) -> HttpAnswer:
    body = {"status": "ok", "connections": 4, "sessions": 2, "version": "0.2.0", **value}
    return HttpAnswer(code, "OK", {}, json.dumps(body).encode())


class HealthTest(SynchronousTestCase):
    def test_relays(self) -> None:
        for answer, state, words in (
            (health(), CheckState.OK, "relay 0.2.0: ok; 3.0 ms"),
            (health(node="b"), CheckState.OK, "relay 0.2.0, node b: ok"),
            (health(version=None), CheckState.OK, "an older relay"),
            (
                health(503, status="degraded", reasons=["the disk is full", "late"]),
                CheckState.WARNING,
                "degraded (the disk is full; late)",
            ),
            (health(503, status="draining"), CheckState.WARNING, "draining"),
            (health(status="odd", reasons="odd"), CheckState.WARNING, "odd"),
        ):
            found = judge_health(answer, 0.003)
            self.assertEqual(found.state, state)
            self.assertIn(words, found.text)
            self.assertTrue(found.hint or state is CheckState.OK)

    def test_others(self) -> None:
        for status, fields, body, words, hint in (
            (502, {"server": "nginx/1.22"}, b"", "Server: nginx/1.22", "reaches no relay"),
            (502, {"server": "Caddy"}, b"", "Server: Caddy", "reaches no relay"),
            (
                503,
                {},
                b"<html><body><h1>503 Service Unavailable</h1>\n"
                b"No server is available to handle this request.\n</body></html>",
                "HAProxy",
                "no relay that is well",
            ),
            (504, {"server": "awselb/2.0"}, b"", "awselb/2.0", "in time"),
            (522, {"server": "cloudflare", "cf-ray": "1"}, b"", "Cloudflare", "reaches no relay"),
            (404, {"server": "nginx"}, b"<title>404</title>", "title '404'", "/health"),
            (404, {}, b'{"error":"Not found"}', "Not found", "changed the path"),
            (200, {}, b"<TITLE>\n Hello </TITLE>", "title 'Hello'", "other web site"),
            (200, {"via": "1.1 squid"}, b"", "Via: 1.1 squid", "other web site"),
            (301, {"location": "https://x/"}, b"", "leads to https://x/", "wss://"),
            (302, {"location": "http://x/"}, b"", "leads to http://x/", "follow no redirections"),
            (401, {}, b"", "HTTP 401", "password"),
            (400, {}, b"sent to HTTPS port", "HTTP 400", "speaks TLS"),
            (421, {}, b"", "HTTP 421", "other hosts"),
            (429, {}, b"", "HTTP 429", "Wait"),
            (418, {}, b"", "does not name itself", "right host"),
        ):
            answer = HttpAnswer(status, "", fields, body)
            found = judge_health(answer, 0.003)
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint, name_answerer(answer))

    def test_silence(self) -> None:
        for problem, words, hint in (
            (HttpProblem.TLS, "speaks TLS", "wss://"),
            (HttpProblem.SILENT, "nothing came back in 2.50 s", "hangs"),
            (HttpProblem.ENDLESS, "did not end in 2.50 s", "slow"),
            (HttpProblem.CLOSED, "without an answer", "PROXY"),
            (HttpProblem.NO_HTTP, "Redis", "host and port"),
            (HttpProblem.LOST, "lost: Redis", "restarted"),
        ):
            found = judge_silence(problem, 2.5, "Redis")
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)
        self.assertIn("HTTP/1.1", judge_silence(HttpProblem.NO_HTTP, 0, "HTTP/2").hint)


class UpgradeTest(SynchronousTestCase):
    def test_an_upgrade(self) -> None:
        found = judge_upgrade(HttpAnswer(101), 0.012)
        self.assertEqual((found.state, found.text), (CheckState.OK, "101 for /cli/…; 12 ms"))

    def test_refusals(self) -> None:
        own = b'{"error":"why"}'
        for status, body, words, hint in (
            (426, own, "the relay refused", "Upgrade $http_upgrade"),
            (400, own, "the relay refused", "HTTP/1.0"),
            (404, own, "the relay refused", "rewrites the path"),
            (403, own, "the relay refused", "--allowed-origin"),
            (503, own, "the relay refused", "stopping"),
            (429, own, "the relay refused", "--trusted-proxy"),
            (426, b"", "no upgrade", "end to end"),
            (200, b"<title>x</title>", "no upgrade", "as an upgrade"),
            (400, b"", "no upgrade", "does not know upgrades"),
            (464, b"", "no upgrade", "HTTP/1.1"),
            (502, b"", "no upgrade", "reaches no relay"),
            (404, b"", "no upgrade", "no such path"),
            (301, b"", "no upgrade", "redirections"),
        ):
            answer = HttpAnswer(status, "", {"server": "nginx"}, body)
            found = judge_upgrade(answer, 0.012)
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)
            self.assertEqual(found.figures["server"], "nginx")

    def test_no_answer(self) -> None:
        for found in (
            judge_no_upgrade(2.5, ""),
            judge_no_upgrade(0.1, "odd"),
            judge_no_welcome(2.5, ""),
            judge_no_welcome(2.5, "odd"),
        ):
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertTrue(found.hint)

    def test_compression(self) -> None:
        both = "server_no_context_takeover; client_no_context_takeover"
        for extensions, state in (
            (f"permessage-deflate; {both}", CheckState.OK),
            (f"Permessage-Deflate; {both}; server_max_window_bits=15", CheckState.OK),
            ("permessage-deflate", CheckState.WARNING),
            ("permessage-deflate; server_no_context_takeover", CheckState.WARNING),
            ("", CheckState.WARNING),
            ("x-webkit-deflate-frame", CheckState.WARNING),
        ):
            found = judge_compression(extensions)
            self.assertEqual(found.state, state, extensions)
            self.assertEqual(bool(found.hint), state is not CheckState.OK)
