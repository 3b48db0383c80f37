"""Plain HTTP: health, and handshakes that are refused."""

import shutil

from tests.live.harness import LiveCase, together
from tests.live.processes import Reply, run


class RefusalTest(LiveCase):
    def assertRefused(self, reply: Reply, status: int) -> None:
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(reply.headers["content-type"].partition(";")[0], "application/json")
        error = reply.json()["error"]
        self.assertIsInstance(error, str)
        self.assertTrue(error)

    async def test_a_path_that_is_no_role(self) -> None:
        _, node = await self.stage()
        for role in ("phone", "CLI", "clix", "metrics/cli"):
            self.assertRefused(await node.refused(role, "ABC234"), 404)

    async def test_a_path_to_nowhere(self) -> None:
        relay = await self.relay()
        self.assertRefused(await relay.get("/nothing"), 404)
        self.assertRefused(await relay.get("/nothing/here"), 404)

    async def test_a_bad_session_id(self) -> None:
        _, node = await self.stage()
        for role in ("cli", "dashboard", "desktop", "mobile"):
            for session in ("", "a" * 65, "a.b", "a%20b", "%C3%BC", "a%2Fb", "ABC/more"):
                self.assertRefused(await node.refused(role, session), 400)

    async def test_a_role_without_a_session(self) -> None:
        relay, node = await self.stage()
        url = f"ws://127.0.0.1:{relay.port}/cli"
        self.assertRefused(await node.refused("cli", "", url=url), 400)

    async def test_a_bad_device(self) -> None:
        _, node = await self.stage()
        for query in ("deviceId=a%20b", "deviceId=" + "x" * 65, "deviceId=a%0Ab"):
            self.assertRefused(await node.refused("mobile", "ABC234", query), 400)

    async def test_a_plain_request_to_a_role(self) -> None:
        relay = await self.relay()
        for path in ("/cli/ABC234", "/mobile/ABC234?deviceId=d0"):
            reply = await relay.get(path)
            self.assertRefused(reply, 426)
            self.assertEqual(reply.headers["upgrade"].lower(), "websocket")

    async def test_another_websocket_version(self) -> None:
        relay = await self.relay()
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade, close",
            "Sec-WebSocket-Version": "8",
        }
        reply = await relay.get("/cli/ABC234", headers=headers)
        self.assertRefused(reply, 426)
        self.assertEqual(reply.headers["sec-websocket-version"], "13")
        await relay.logged(
            r"as cli of session \w{8} was refused with 426: Only WebSocket version 13"
        )

    async def test_a_handshake_without_a_key(self) -> None:
        relay = await self.relay()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        self.assertRefused(await relay.get("/cli/ABC234", headers=headers), 400)

    async def test_a_method_that_is_not_served(self) -> None:
        relay = await self.relay()
        for method in ("POST", "OPTIONS", "BREW"):
            reply = await relay.get("/health", method)
            self.assertRefused(reply, 405)
            self.assertEqual(reply.headers["allow"], "GET, HEAD")
        self.assertRefused(await relay.get("/health/x"), 404)

    async def test_a_body(self) -> None:
        relay = await self.relay()
        for path in ("/health", "/cli/ABC234"):
            for header in ("Content-Length: 150000000", "Transfer-Encoding: chunked"):
                raw = await relay.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n")
                self.assertTrue(raw.startswith(b"HTTP/1.1 413 "), raw)
                self.assertIn(b'{"error":', raw)

    async def test_a_request_that_never_ends(self) -> None:
        relay = await self.relay("--handshake-timeout", "1")
        raw = await relay.raw("GET /health HTTP/1.1\r\nHost: x\r\n")
        self.assertTrue(raw.startswith(b"HTTP/1.1 408 "), raw)
        self.assertIn(b'{"error":', raw)
        self.assertEqual(await relay.raw(""), b"")

    async def test_a_connection_is_kept_for_longer_than_a_request_may_take(self) -> None:
        """Node's agent uses one connection for both: nothing is lost when it does so late."""
        relay = await self.relay("--handshake-timeout", "1", "--http-keep-alive", "20")
        script = """
            const http = require('node:http')
            const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
            const ports = []
            const ask = (then) => http.get(process.argv[1], { agent }, (it) => {
                ports.push(it.socket.localPort)
                it.resume().on('end', then)
            })
            ask(() => setTimeout(() => ask(() => {
                console.log(ports[0] === ports[1] ? 'the same' : 'another')
                agent.destroy()
            }), 2500))
        """
        url = f"http://127.0.0.1:{relay.port}/live"
        child = await run([shutil.which("node") or "node", "-e", script, url])
        self.assertEqual(child.out, "the same\n", repr(child))

    async def test_a_refusal_disturbs_nobody(self) -> None:
        relay, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await cli.settle()
        await node.refused("cli", "A B")
        await node.refused("mobile", "ABC234", "deviceId=%20")
        await relay.get("/cli/ABC234")
        await phone.send({"type": "console_log"})
        self.assertEqual((await cli.next()).type, "console_log")
        self.assertEqual((await relay.get("/health")).json()["connections"], 2)


class HealthTest(LiveCase):
    async def test_health(self) -> None:
        relay, node = await self.stage()
        reply = await relay.get("/health")
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-type"].partition(";")[0], "application/json")
        self.assertEqual(reply.headers["access-control-allow-origin"], "*")
        self.assertHealth(reply, connections=0, sessions=0)
        await together(
            node.join("cli", "ABC234"), node.join("mobile", "ABC234"), node.join("cli", "XYZ789")
        )
        self.assertHealth(await relay.get("/health"), connections=3, sessions=2)

    async def test_head(self) -> None:
        # Load balancers ask so.
        relay = await self.relay()
        reply = await relay.get("/health", "HEAD")
        self.assertEqual((reply.status, reply.body), (200, ""))

    def assertHealth(self, reply: Reply, connections: int, sessions: int) -> None:
        health = reply.json()
        self.assertEqual(health["status"], "ok")
        self.assertEqual(health["connections"], connections)
        self.assertEqual(health["sessions"], sessions)
