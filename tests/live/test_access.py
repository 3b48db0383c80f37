"""Who may do what: secrets, join tokens, origins, guessers, floods and slow requests, with real
relays, Node's clients and the companion program."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.session.session import session_hash
from tests.live.clients import TYPESCRIPT
from tests.live.cluster import ClusterCase
from tests.live.floods import errors_in, flood, lines_in
from tests.live.harness import LiveCase
from tests.live.processes import Child, RelayProcess, checkout_env, run, within_patience

KEY, OTHER = "0123456789abcdefSECRET", "fedcba9876543210OTHER"
DISTANT = "203.0.113.7"
TRUST = ("--trusted-proxy", "127.0.0.1")


def bearer(secret: str) -> dict[str, Any]:
    """What Node's `ws` takes to show a secret or a token."""
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def at(address: str) -> dict[str, Any]:
    """What it takes to come from somewhere."""
    return {"headers": {"X-Forwarded-For": address}}


class Companion(LiveCase):
    """Tests that run ``apptuner-relay``."""

    def command(self, name: str, relay: RelayProcess, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "apptuner_relay.client.main", name),
            *("--relay", f"ws://127.0.0.1:{relay.port}", "--session", "ABC234"),
            *arguments,
        ]

    async def run_it(self, name: str, relay: RelayProcess, *arguments: str) -> Child:
        return await run(self.command(name, relay, *arguments), env=checkout_env())

    def start(self, name: str, relay: RelayProcess, *arguments: str) -> Child:
        child = Child(self.command(name, relay, *arguments), env=checkout_env())
        self.addCleanup(self.end, child)
        return child

    async def end(self, child: Child) -> None:
        child.signal("TERM")
        await within_patience(child.over(), lambda: repr(child))

    def file(self, text: str) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_text(text)
        return str(path)


class ClaimTest(Companion):
    async def test_a_claimed_session(self) -> None:
        relay, node = await self.stage()
        key = "@" + self.file(KEY + "\n")
        pushing = self.start("push", relay, "--key", key, str(TYPESCRIPT))
        await relay.logged("cli connected")
        for role in ("cli", "dashboard", "desktop"):
            refusal = await node.refused(role, "ABC234")
            self.assertEqual(refusal.status, 401)
            self.assertIn("secret", refusal.json()["error"])
            self.assertEqual(refusal.headers["www-authenticate"], 'Bearer realm="AppTuner session"')
            refusal = await node.refused(role, "ABC234", f"key={OTHER}")
            self.assertEqual(refusal.status, 403)
        watching = await self.run_it("watch", relay)
        self.assertEqual(watching.exit_code, 3, repr(watching))
        self.assertIn("401", watching.err)
        dashboard = await node.join("dashboard", "ABC234", **bearer(KEY))
        phone = await self.run_it("join", relay, "--once")
        self.assertEqual(phone.exit_code, 0, repr(phone))
        await within_patience(pushing.over(), lambda: repr(pushing))
        self.assertEqual(pushing.exit_code, 0, repr(pushing))
        self.assertEqual((await dashboard.expect("bundle_ack")).data["success"], True)
        self.assertEqual((await node.refused("cli", "ABC234")).status, 401, "it is remembered")
        await node.join("cli", "XYZ567")
        for secret in (KEY, OTHER, "ABC234"):
            self.assertNotIn(secret, relay.log)

    async def test_a_claim_outlives_its_relay(self) -> None:
        await self.outlive("TERM")

    async def test_a_claim_outlives_a_relay_that_is_killed_at_once(self) -> None:
        await self.outlive("KILL")

    async def outlive(self, signal: str) -> None:
        state = str(Path(self.mktemp()).absolute())
        first = await self.relay("--state-dir", state)
        node = await self.node(first)
        await node.join("cli", "ABC234", "tokens=1", **bearer(KEY))
        first.child.signal(signal)
        await within_patience(first.child.over(), lambda: repr(first.child))
        first.forget()
        second = await self.relay("--state-dir", state)
        for role in ("cli", "mobile"):
            refusal = await node.refused(role, "ABC234", url=second.url(role, "ABC234"))
            self.assertEqual(refusal.status, 401)
        refusal = await node.refused(
            "cli", "ABC234", url=second.url("cli", "ABC234"), **bearer(OTHER)
        )
        self.assertEqual(refusal.status, 403)
        url = second.url("cli", "ABC234")
        await node.join("cli", "ABC234", url=url, **bearer(KEY))
        self.assertNotIn("not kept", second.log)

    async def test_a_relay_that_takes_no_claims_says_so(self) -> None:
        relay = await self.relay("--claims", "off")
        child = await self.run_it("push", relay, "--key", KEY, "--wait", "0", str(TYPESCRIPT))
        self.assertEqual(child.exit_code, 4, repr(child))
        self.assertIn("takes no secrets", child.err)


class TokenTest(Companion):
    async def test_a_phone_is_let_in_with_what_share_prints(self) -> None:
        spool = str(Path(self.mktemp()).absolute())
        relay, node = await self.stage("--spool-dir", spool)
        early = await node.join("mobile", "ABC234")
        pushing = self.start("push", relay, "--key", KEY, "--tokens", str(TYPESCRIPT))
        code, reason = await early.closed()
        self.assertEqual((code, "token" in reason), (1008, True))
        self.assertEqual((await node.refused("mobile", "ABC234")).status, 401)
        shared = await self.run_it("share", relay, "--key", KEY, "--lasts", "1h", "--loopback")
        self.assertEqual(shared.exit_code, 0, repr(shared))
        url = shared.out.strip()
        token = url.partition("?token=")[2]
        self.assertTrue(url.startswith(f"ws://127.0.0.1:{relay.port}/mobile/ABC234?token="), url)
        phone = await node.open("mobile", "ABC234", url=url)
        self.assertEqual((await phone.next()).data["claimed"], True)
        bundle = await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True})
        await within_patience(pushing.over(), lambda: repr(pushing))
        self.assertEqual(pushing.exit_code, 0, repr(pushing))

        joined = await self.run_it("join", relay, "--once")
        self.assertEqual((joined.exit_code, "token" in joined.err), (3, True), repr(joined))
        for announced in ((), ("--announce",)):
            joined = await self.run_it("join", relay, "--once", "--token", token, *announced)
            self.assertEqual(joined.exit_code, 0, repr(joined))
            assert bundle.code is not None
            self.assertIn(bundle.code.sha256, joined.out)

        target = Path(self.mktemp()).absolute()
        for shown in (("--token", token), ("--key", KEY)):
            fetched = await self.run_it("fetch", relay, "--output", str(target), *shown)
            self.assertEqual(fetched.exit_code, 0, repr(fetched))
        fetched = await self.run_it("fetch", relay, "--output", str(target))
        self.assertEqual((fetched.exit_code, "401" in fetched.err), (1, True), repr(fetched))
        reply = await relay.get(f"/bundles/ABC234?token={token}")
        self.assertEqual((reply.status, reply.headers["cache-control"]), (200, "private, no-cache"))
        reply = await relay.get("/bundles/ABC234")
        self.assertEqual(reply.status, 401)
        self.assertIn("www-authenticate", reply.headers)
        self.assertNotIn(token, relay.log)

    async def test_a_bad_token(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", "ABC234", "tokens=1", **bearer(KEY))
        now_s = time.time()
        here = session_hash("ABC234")
        for token, status in (
            (sign_token(KEY, here, now_s - 1), 401),
            (sign_token(OTHER, here, now_s + 999), 403),
            (sign_token(KEY, session_hash("XYZ567"), now_s + 999), 403),
            ("junk", 403),
        ):
            refusal = await node.refused("mobile", "ABC234", f"token={token}")
            self.assertEqual(refusal.status, status)
            self.assertIn("token", refusal.json()["error"])
        await node.join("mobile", "ABC234", **bearer(sign_token(KEY, here, now_s + 999)))
        metrics = (await relay.get("/metrics")).body
        self.assertIn('apptuner_relay_denied_total{reason="token"} 4.0', metrics)


class LimitTest(LiveCase):
    async def test_pages_of_others(self) -> None:
        _, node = await self.stage(
            *("--allowed-origin", "https://dash.example.com"),
            *("--allowed-origin", "https://*.apptuner.dev"),
        )
        for origin in ("https://dash.example.com", "https://eu.apptuner.dev"):
            await node.join("dashboard", "ABC234", headers={"Origin": origin})
        refusal = await node.refused("dashboard", "ABC234", headers={"Origin": "https://evil.com"})
        self.assertEqual((refusal.status, "origin" in refusal.json()["error"]), (403, True))
        await node.join("cli", "ABC234")
        await node.join("mobile", "ABC234", headers={"Origin": "http://127.0.0.1"})

    async def test_a_guesser(self) -> None:
        relay, node = await self.stage("--failed-joins", "5", *TRUST)
        await node.join("cli", "ABC234", **at("203.0.113.1"))
        for n in range(5):
            await node.join("mobile", f"No{n}", **at(DISTANT))
        for session in ("ABC234", "No5"):
            refusal = await node.refused("mobile", session, **at(DISTANT))
            self.assertEqual(refusal.status, 429)
            self.assertGreater(int(refusal.headers["retry-after"]), 0)
            self.assertIn("--failed-joins", refusal.json()["error"])
        reply = await relay.get("/bundles/No6", headers={"X-Forwarded-For": DISTANT})
        self.assertEqual((reply.status, "retry-after" in reply.headers), (429, True))
        await node.join("mobile", "ABC234", **at("203.0.113.2"))
        metrics = (await relay.get("/metrics")).body
        self.assertIn('apptuner_relay_limited_total{limit="failed-joins"} 3.0', metrics)
        self.assertIn('handshakes_refused_total{reason="too_many_requests"} 2.0', metrics)
        # That of the CLI, who was the first of its session, is one.
        self.assertIn("apptuner_relay_failed_joins_total 6.0", metrics)

    async def test_guessing_bundles(self) -> None:
        relay = await self.relay("--failed-joins", "3", *TRUST)
        statuses = [
            (await relay.get(f"/bundles/No{n}", headers={"X-Forwarded-For": DISTANT})).status
            for n in range(5)
        ]
        self.assertEqual(statuses, [404, 404, 404, 429, 429])

    async def test_connects(self) -> None:
        relay, node = await self.stage("--connect-rate", "3", *TRUST)
        for _ in range(3):
            await node.join("cli", "ABC234", **at(DISTANT))
        lines = relay.log.count("\n")
        for _ in range(20):
            self.assertEqual((await node.refused("cli", "ABC234", **at(DISTANT))).status, 429)
        await node.join("mobile", "ABC234")
        await relay.logged("mobile connected")
        self.assertLess(relay.log.count("\n") - lines, 12, relay.log)

    async def test_sessions(self) -> None:
        _, node = await self.stage("--sessions-per-address", "2", *TRUST)
        for session in ("A", "B"):
            await node.join("cli", session, **at(DISTANT))
        refusal = await node.refused("cli", "C", **at(DISTANT))
        self.assertEqual(refusal.status, 429)
        self.assertIn("--sessions-per-address", refusal.json()["error"])

    async def test_a_flood_of_logs(self) -> None:
        relay, node = await self.stage("--message-rate", "10")
        for deflate in (False, True):
            cli = await node.join("cli", "ABC234")
            phone = await node.join("mobile", "ABC234", perMessageDeflate=deflate)
            await cli.settle()
            await phone.send_burst({"type": "console_log", "payload": n} for n in range(1000))
            seen, dropped = 0, None
            while dropped is None:
                message = await cli.expect("console_log")
                payload = message.data["payload"]
                if isinstance(payload, dict):
                    dropped = re.search(r"([0-9]+) log messages were dropped", payload["args"][0])
                    self.assertEqual(payload["level"], "warn")
                else:
                    seen += 1
            self.assertGreaterEqual(seen, 50)
            told = await phone.expect("error")
            self.assertIn(dropped[0], told.data["error"])
            # A real bundle, in chunks, whatever its sender has sent before.
            await cli.send_burst({"type": "hint", "n": n} for n in range(60))
            sent = await cli.push(TYPESCRIPT, chunked=True)
            self.assertEqual((await phone.bundle()).code, sent.code)
            await phone.close()
            await phone.closed()
        metrics = (await relay.get("/metrics")).body
        self.assertGreater(
            float(re.findall(r"^apptuner_relay_logs_dropped_total (\S+)", metrics, re.M)[0]), 0
        )

    async def test_errors_in_a_flood_and_the_last_lines_before_a_phone_goes(self) -> None:
        _, node = await self.stage()
        for deflate in (False, True):
            cli = await node.join("cli", "ABC234", perMessageDeflate=deflate)
            phone = await node.join("mobile", "ABC234", perMessageDeflate=deflate)
            await cli.settle()
            lines = flood(1500, errors=(300, 600, 900, 1200, 1498))
            await phone.send_burst(lines)
            await phone.terminate()
            await cli.expect("mobile_disconnected")
            self.assertEqual(errors_in(cli), [300, 600, 900, 1200, 1498])
            self.assertEqual(lines_in(cli)[-50:], list(range(1450, 1500)))
            await cli.close()


class SlowRequest(Protocol):
    """Sends a request's lines, one now and then, for as long as somebody listens."""

    def __init__(self) -> None:
        self.received = b""
        self.sent = 0
        self.over: Deferred[bytes] = Deferred()
        self._lines = LoopingCall(self._send)

    def connectionMade(self) -> None:
        self.transport.write(b"GET /cli/ABC234 HTTP/1.1\r\n")  # type: ignore[union-attr]
        self._lines.start(0.1)

    def _send(self) -> None:
        self.sent += 1
        self.transport.write(b"X-Slow: 1\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lines.stop()
        self.over.callback(self.received)


class RequestTest(LiveCase):
    async def test_one_that_trickles(self) -> None:
        relay = await self.relay("--handshake-timeout", "1")
        slow = SlowRequest()
        await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}"), slow)
        answer = await within_patience(slow.over, lambda: "it may go on for ever")
        self.assertGreater(slow.sent, 2)
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertIn("--handshake-timeout", json.loads(answer.partition(b"\r\n\r\n")[2])["error"])

    async def test_one_that_is_too_large(self) -> None:
        relay = await self.relay("--tune", "header-limit=4KiB")
        start = "GET /health HTTP/1.1\r\nHost: x\r\n"
        for head in (
            f"GET /{'x' * 5000} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET /{'x' * 200_000}",
            f"{start}X: {'x' * 5000}\r\n\r\n",
            start + "X: 123456789\r\n" * 99 + "Y: 2\r\n" * 5 + "\r\n",
            start + "X-Long: 12345678901234567890123456789012345678901234567890\r\n" * 99 + "\r\n",
        ):
            raw = await relay.raw(head)
            self.assertTrue(raw.startswith(b"HTTP/1.1 431 "), raw[:200])
            self.assertIn("--tune header-limit", json.loads(raw.partition(b"\r\n\r\n")[2])["error"])
        fits = "X-Long: 1234567890\r\n" * 90
        raw = await relay.raw(f"{start}Connection: close\r\n{fits}\r\n")
        self.assertTrue(raw.startswith(b"HTTP/1.1 200 "), raw[:200])


class SharedClaimTest(ClusterCase):
    async def test_a_claim_counts_at_every_relay(self) -> None:
        redis, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli", query="tokens=1", **bearer(KEY))
        refusal = await node.refused("cli", "ABC234", url=b.url("cli", "ABC234"))
        self.assertEqual(refusal.status, 401)
        refusal = await node.refused("mobile", "ABC234", url=b.url("mobile", "ABC234"))
        self.assertEqual(refusal.status, 401)
        now_s = time.time()
        token = sign_token(KEY, session_hash("ABC234"), now_s + 999)
        await cli.settle()
        phone = await self.join(node, b, "mobile", query=f"token={token}")
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        self.assertEqual((await b.get("/bundles/ABC234")).status, 401)
        reply = await b.get(f"/bundles/ABC234?token={token}")
        self.assertEqual((reply.status, reply.headers["cache-control"]), (200, "private, no-cache"))
        # The claim outlives the relay that took it, and an outage of Redis.
        a.child.signal("KILL")
        await a.child.over()
        a.forget()
        refusal = await node.refused("cli", "ABC234", url=b.url("cli", "ABC234"))
        self.assertEqual(refusal.status, 401)
        await redis.kill()
        await b.logged("claims: Redis: unreachable")
        refusal = await node.refused("cli", "ABC234", url=b.url("cli", "ABC234"))
        self.assertEqual(refusal.status, 401)

    async def test_strangers_go_wherever_they_are(self) -> None:
        _, (a, b), node = await self.cluster(2)
        dashboard = await self.join(node, a, "dashboard")
        phone = await self.join(node, b, "mobile")
        await phone.settle()
        await self.join(node, b, "cli", query="tokens=1", **bearer(KEY))
        self.assertEqual((await dashboard.closed())[0], 1008)
        self.assertEqual((await phone.closed())[0], 1008)

    async def test_an_old_cli_at_another_relay_is_not_locked_out(self) -> None:
        _, (a, b), node = await self.cluster(2)
        old = await self.join(node, a, "cli")
        refusal = await node.refused("cli", "ABC234", url=b.url("cli", "ABC234"), **bearer(KEY))
        self.assertEqual(refusal.status, 409)
        self.assertEqual(await old.settle(), [])
