"""Other programs' paths, forwarded to a Node server as it stands behind the Node relay today."""

import hashlib
import hmac
import json
import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.certificates import Authority, Live
from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import (
    MIB,
    RelayProcess,
    Reply,
    exchange,
    run,
    twistd_command,
    within_patience,
)
from tests.live.test_handshakes import handshake
from tests.live.upstream import Upstream

SECRET = b"whsec_test"
BIG_BYTES = 60 * MIB


class ForwardCase(LiveCase):
    async def start(self, *options: str) -> tuple[RelayProcess, Upstream]:
        upstream = Upstream()
        self.addCleanup(upstream.stop)
        await upstream.start()
        route = f"/api/=http://127.0.0.1:{upstream.port}"
        return await self.relay("--forward", route, *options), upstream

    async def ask(
        self,
        relay: RelayProcess,
        method: str,
        path: str,
        body: bytes = b"",
        **fields: str,
    ) -> Reply:
        head = {"Host": "relay.example", "Connection": "close"}
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        if body:
            head["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items()), "", ""]
        raw = await exchange(
            f"tcp:127.0.0.1:{relay.port}", "\r\n".join(lines) + body.decode("latin-1")
        )
        return parse(raw)


def parse(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode("ascii").split("\r\n")
    fields: dict[str, str] = {}
    for name, value in (line.split(": ", 1) for line in rest):
        name = name.lower()
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    if fields.get("transfer-encoding") == "chunked":
        body = b"".join(re.split(rb"[0-9a-f]+\r\n", body.replace(b"\r\n0\r\n\r\n", b"")))
    return Reply(int(status.split()[1]), fields, body.decode())


class AnswerTest(ForwardCase):
    async def test_json_both_ways(self) -> None:
        relay, _ = await self.start()
        sent = {"name": "ü"}
        reply = await self.ask(
            relay,
            "POST",
            "/api/builds?a=%2F&b=;c?",
            json.dumps(sent).encode(),
            Content_Type="application/json",
            Authorization="Bearer abc",
            X_Custom="as it is",
            Connection="close, X-Hop",
            X_Hop="of this connection",
            Keep_Alive="timeout=5",
            X_Forwarded_For="192.0.2.1",
            X_Real_IP="192.0.2.1",
        )
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(reply.headers["location"], "/api/builds/7")
        self.assertEqual(reply.headers["set-cookie"], "a=1; Path=/\nb=2")
        self.assertNotIn("server", reply.headers)
        seen = reply.json()
        self.assertEqual((seen["body"], seen["url"]), (sent, "/api/builds?a=%2F&b=;c?"))
        fields = seen["headers"]
        self.assertEqual(fields["authorization"], "Bearer abc")
        self.assertEqual(fields["x-custom"], "as it is")
        self.assertEqual(fields["host"], "relay.example")
        self.assertEqual(fields["x-forwarded-host"], "relay.example")
        self.assertEqual(fields["x-forwarded-proto"], "http")
        # Nobody says who a client is but who is trusted to.
        self.assertEqual(fields["x-forwarded-for"], "127.0.0.1")
        self.assertNotIn("x-real-ip", fields)
        self.assertNotIn("keep-alive", fields)
        self.assertNotIn("x-hop", fields)

    async def test_behind_a_proxy(self) -> None:
        relay, _ = await self.start("--trusted-proxy", "127.0.0.1", "--forward-host", "upstream")
        reply = await self.ask(
            relay,
            "GET",
            "/api/builds/7?",
            X_Forwarded_For="192.0.2.1",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="public.example",
        )
        seen = reply.json()
        fields = seen["headers"]
        self.assertEqual(seen["url"], "/api/builds/7?")
        self.assertEqual(fields["x-forwarded-for"], "192.0.2.1, 127.0.0.1")
        self.assertEqual(fields["x-forwarded-proto"], "https")
        self.assertEqual(fields["x-forwarded-host"], "public.example")
        self.assertRegex(fields["host"], r"127\.0\.0\.1:\d+")

    async def test_other_methods(self) -> None:
        relay, _ = await self.start()
        reply = await self.ask(relay, "HEAD", "/api/builds/7")
        self.assertEqual((reply.status, reply.headers["content-length"]), (200, "4321"))
        self.assertEqual((reply.headers["x-head"], reply.body), ("1", ""))
        self.assertEqual((await self.ask(relay, "DELETE", "/api/builds/7")).status, 204)
        reply = await self.ask(relay, "OPTIONS", "/api/builds", Origin="https://dash.example")
        self.assertEqual(reply.status, 204)
        self.assertEqual(reply.headers["access-control-allow-origin"], "https://dash.example")
        reply = await self.ask(relay, "PATCH", "/api/nothing", b"x")
        self.assertEqual(
            (reply.status, reply.json()), (404, {"error": "Cannot PATCH /api/nothing"})
        )

    async def test_a_signed_body(self) -> None:
        relay, _ = await self.start()
        body = bytes(range(32, 127)) * 40
        signature = hmac.digest(SECRET, body, "sha256").hex()
        for made, status in ((signature, 200), ("0" * 64, 400)):
            reply = await self.ask(
                relay, "POST", "/api/stripe-webhook", body, Stripe_Signature=made
            )
            self.assertEqual((reply.status, reply.json()["bytes"]), (status, len(body)))

    async def test_one_after_the_other_on_a_connection(self) -> None:
        relay, _ = await self.start()
        url = f"http://127.0.0.1:{relay.port}"
        words = ["curl", "-sSv", "-H", "Expect: 100-continue", "-d", '{"a":1}', f"{url}/api/builds"]
        words += ["--next", "-sSv", f"{url}/api/builds/7", "--next", "-sSv", f"{url}/live"]
        words += ["--next", "-sSv", "-d", '{"a":2}', f"{url}/api/builds"]
        child = await run(words)
        self.assertEqual(child.err.count("* Connected to") + child.err.count("Trying"), 2, child)
        self.assertEqual(child.err.count("< HTTP/1.1 201"), 2, child)
        self.assertEqual(child.err.count("< HTTP/1.1 200"), 2, child)

    async def test_the_relays_own_paths(self) -> None:
        relay, _ = await self.start()
        status = await relay.get("/api/status")
        self.assertIn("sessions", status.json())
        reply = await self.ask(relay, "GET", "/api/%73tatus")
        self.assertIn("--admin-token", reply.json()["error"])
        reply = await self.ask(relay, "GET", "/api/statusx")
        self.assertEqual(reply.json()["error"], "Cannot GET /api/statusx")
        self.assertEqual((await self.ask(relay, "POST", "/other", b"x")).status, 413)
        node = await self.node(relay)
        await node.join("cli", "ABC234")

    async def test_until_the_connection_ends(self) -> None:
        relay, _ = await self.start()
        reply = await self.ask(relay, "GET", "/api/old")
        self.assertEqual((reply.status, reply.body), (200, "until the end"))
        self.assertNotIn("content-type", reply.headers)


class StreamTest(ForwardCase):
    async def test_sixty_megabytes_up_and_down(self) -> None:
        relay, _ = await self.start()
        before = relay.rss()
        url = f"http://127.0.0.1:{relay.port}/api"
        path = Path(self.mktemp()).resolve()
        path.write_bytes(b"0123456789abcdef" * (BIG_BYTES // 16))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        for how in ([], ["-H", "Transfer-Encoding: chunked"]):
            child = await run(["curl", "-sS", *how, "-T", str(path), f"{url}/upload"])
            self.assertEqual(
                json.loads(child.out), {"bytes": BIG_BYTES, "sha256": sha256}, repr(child)
            )
        there = path.with_suffix(".there")
        words = ["curl", "-sS", "-o", str(there), f"{url}/builds/7/download?bytes={BIG_BYTES}"]
        child = await run(words)
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertEqual(hashlib.sha256(there.read_bytes()).hexdigest(), sha256)
        self.assertLess(relay.peak_rss(), before + 20 * MIB)

    async def test_an_answer_before_the_whole_body(self) -> None:
        relay, _ = await self.start()
        path = Path(self.mktemp()).resolve()
        path.write_bytes(bytes(8 * MIB))
        url = f"http://127.0.0.1:{relay.port}/api/limited"
        for how in ([], ["-H", "Transfer-Encoding: chunked"]):
            child = await run(["curl", "-sS", "-w", "%{http_code}", *how, "-T", str(path), url])
            self.assertEqual(child.out, '{"error":"too much"}413', repr(child))

    async def test_a_client_that_reads_nothing_holds_the_upstream(self) -> None:
        relay, upstream = await self.start()
        client = await Held.connect(relay, f"/api/builds/7/download?bytes={BIG_BYTES}")
        told = await upstream.tells("full")
        self.assertLess(told["full"], BIG_BYTES)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await within_patience(client.over, lambda: f"{client.received} bytes came")
        self.assertGreater(client.received, BIG_BYTES)

    async def test_a_client_that_leaves(self) -> None:
        relay, upstream = await self.start()
        for path, waited, closed in (
            ("/api/slow", "waiting", "slow"),
            ("/api/builds/7/download?bytes=99999999", "full", "download"),
        ):
            client = await Held.connect(relay, path)
            await upstream.tells(waited)
            client.transport.abortConnection()  # type: ignore[union-attr]
            await upstream.tells("closed", closed)

    async def test_a_client_that_closes_while_it_waits(self) -> None:
        relay, upstream = await self.start()
        client = await Held.connect(relay, "/api/slow")
        await upstream.tells("waiting")
        client.transport.loseConnection()  # type: ignore[union-attr]
        await upstream.tells("closed", "slow")

    async def test_a_client_that_sends_no_more_and_waits(self) -> None:
        relay, _ = await self.start()
        told = await handshake("half-close", f"tcp:{relay.port}", "/api/late")
        self.assertIn("102 Processing", told["head"])
        self.assertGreater(told["bytes"], len('{"late":true}'))

    async def test_a_body_that_stays_away(self) -> None:
        relay, _ = await self.start("--forward-timeout", "500ms")
        head = "PUT /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this"
        reply = parse(await exchange(f"tcp:127.0.0.1:{relay.port}", head))
        self.assertEqual((reply.status, reply.headers["connection"]), (408, "close"))

    async def test_an_upstream_that_reads_nothing_holds_the_client(self) -> None:
        relay, _ = await self.start("--forward-timeout", "1s")
        path = Path(self.mktemp()).resolve()
        path.write_bytes(bytes(BIG_BYTES))
        before = relay.rss()
        url = f"http://127.0.0.1:{relay.port}/api/deaf"
        words = ["curl", "-sS", "-w", "%{http_code} %{size_upload}", "--data-binary", f"@{path}"]
        child = await run([*words, url])
        _, _, told = child.out.rpartition("}")
        status, taken = told.split()
        self.assertEqual(status, "504", repr(child))
        self.assertLess(int(taken), BIG_BYTES)
        self.assertLess(relay.peak_rss(), before + 20 * MIB)

    async def test_half_a_body(self) -> None:
        relay, upstream = await self.start()
        head = b"PUT /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this"
        client = await Held.connect(relay, "", head)
        client.transport.loseConnection()  # type: ignore[union-attr]
        await upstream.tells("failed", "/api/upload")


class FaultTest(ForwardCase):
    async def test_nobody_there(self) -> None:
        relay, upstream = await self.start()
        await upstream.stop()
        for method, body in (("GET", b""), ("POST", b"x" * 100_000)):
            reply = await self.ask(relay, method, "/api/builds", body)
            self.assertEqual(reply.status, 502, reply)
            self.assertIn("/api/", reply.json()["error"])
            self.assertNotIn(str(upstream.port), reply.body)
            self.assertEqual(reply.headers["access-control-allow-origin"], "*")
        await relay.logged(rf"forwarding /api/ to http://127.0.0.1:{upstream.port} has failed: ")
        self.assertEqual((await relay.get("/live")).status, 200)
        again = Upstream(upstream.port)
        self.addCleanup(again.stop)
        await again.start()
        self.assertEqual((await self.ask(relay, "GET", "/api/builds/7")).status, 200)

    async def test_no_answer(self) -> None:
        relay, _ = await self.start("--forward-timeout", "500ms")
        for method, path, body in (("GET", "/api/slow", b""), ("POST", "/api/deaf", b"x")):
            reply = await self.ask(relay, method, path, body)
            self.assertEqual((reply.status, "error" in reply.json()), (504, True))
        raw = await exchange(
            f"tcp:127.0.0.1:{relay.port}", "GET /api/hangs HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        self.assertTrue(raw.endswith(b"half"), raw)

    async def test_half_an_answer(self) -> None:
        relay, _ = await self.start()
        raw = await exchange(
            f"tcp:127.0.0.1:{relay.port}", "GET /api/dies HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        self.assertIn(b"Content-Length: 1000", raw)
        self.assertTrue(raw.endswith(b"half"), raw)
        await relay.logged("has failed: cut short: ")

    async def test_no_http(self) -> None:
        relay, _ = await self.start()
        self.assertEqual((await self.ask(relay, "GET", "/api/garbage")).status, 502)

    async def test_two_hosts(self) -> None:
        relay, _ = await self.start()
        raw = await exchange(
            f"tcp:127.0.0.1:{relay.port}",
            "GET /api/builds/7 HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        )
        reply = parse(raw)
        self.assertEqual((reply.status, reply.json()), (400, {"error": "More than one Host"}))

    async def test_too_large(self) -> None:
        relay, _ = await self.start("--forward-limit", "1KiB")
        for how in ([], ["-H", "Transfer-Encoding: chunked"]):
            url = f"http://127.0.0.1:{relay.port}/api/upload"
            path = Path(self.mktemp()).resolve()
            path.write_bytes(bytes(3 * MIB))
            child = await run(["curl", "-sS", "-w", "%{http_code}", *how, "-T", str(path), url])
            self.assertIn("--forward-limit", child.out, repr(child))
            self.assertTrue(child.out.endswith("413"), repr(child))

    async def test_too_many(self) -> None:
        relay, upstream = await self.start("--forward-requests", "1")
        client = await Held.connect(relay, "/api/slow")
        await upstream.tells("waiting")
        reply = await self.ask(relay, "GET", "/api/builds/7")
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "1"))
        client.transport.abortConnection()  # type: ignore[union-attr]
        await upstream.tells("closed", "slow")
        self.assertEqual((await self.ask(relay, "GET", "/api/builds/7")).status, 200)

    async def test_https(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        authority = Authority()
        pair = authority.issue(names=("127.0.0.1",))
        trust = folder / "authority.pem"
        trust.write_bytes(authority.pem)
        live = Live(folder / "live")
        live.install(pair.chain, pair.key)
        there = RelayProcess(["--listen", "tls:tcp:0:interface=127.0.0.1", *live.options])
        self.addCleanup(there.stop)
        await there.listening()
        forward = ("--forward", f"/api/=https://127.0.0.1:{there.port}")
        relay = await self.relay(*forward)
        self.assertEqual((await self.ask(relay, "GET", "/api/x")).status, 502)
        await relay.logged("has failed: .*certificate verify failed")
        # What a proxy passes on there is not for its own machine alone any more.
        relay = await self.relay(*forward, env={"SSL_CERT_FILE": str(trust)})
        reply = await self.ask(relay, "GET", "/api/x", Host="localhost")
        self.assertEqual((reply.status, "error" in reply.json()), (403, True))

    async def test_the_meters(self) -> None:
        relay, upstream = await self.start("--metrics", "open", "--forward-timeout", "500ms")
        for method, path, body in (
            ("GET", "/api/builds/7", b""),
            ("GET", "/api/nothing", b""),
            ("POST", "/api/deaf", b"x"),
        ):
            await self.ask(relay, method, path, body)
        client = await Held.connect(relay, "/api/slow")
        await upstream.tells("waiting", "slow")
        client.transport.abortConnection()  # type: ignore[union-attr]
        await upstream.tells("closed", "slow")
        metrics = (await relay.get("/metrics")).body
        for result, count in (("answered", 2), ("failed", 1), ("left", 1), ("refused", 0)):
            self.assertIn(f'apptuner_relay_forwarded_total{{result="{result}"}} {count}.0', metrics)

    async def test_in_a_circle(self) -> None:
        port = free_port()
        listen = ["--listen", f"tcp:{port}:interface=127.0.0.1"]
        relay = RelayProcess([*listen, "--forward", f"/api/=http://127.0.0.1:{port}"])
        self.addCleanup(relay.stop)
        await relay.listening()
        for method, body in (("GET", b""), ("POST", b"x")):
            self.assertEqual((await self.ask(relay, method, "/api/x", body)).status, 508)

    async def test_a_wrong_option(self) -> None:
        for route in ("/api/status=http://127.0.0.1:1", "/api/=http://127.0.0.1:1/x", "api"):
            child = await run([*twistd_command(), "apptuner-relay", "--forward", route])
            self.assertEqual(child.exit_code, 1)
            self.assertRegex(child.err, r"\Aapptuner-relay: --forward: [^\n]+\n\Z")


class Held(Protocol):
    """A client that reads nothing until it is told to."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = 0
        self.over: Deferred[None] = Deferred()

    @classmethod
    async def connect(cls, relay: RelayProcess, path: str, request: bytes = b"") -> "Held":
        from twisted.internet import reactor

        text = f"GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n".encode()
        held = cls(request or text)
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}")
        await connectProtocol(endpoint, held)
        return held

    def connectionMade(self) -> None:
        self.transport.write(self._request)  # type: ignore[union-attr]
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)
