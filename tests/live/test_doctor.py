"""``apptuner-relay doctor`` and the way to a relay: real relays, and what else may be there."""

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from apptuner_relay.client.address import Relay
from apptuner_relay.client.doctor.examination import Complaint, Examination
from apptuner_relay.client.doctor.finding import CheckState, Finding
from tests.certificates import Authority
from tests.live.doctor_case import PROGRAM, DoctorCase
from tests.live.odd_servers import BlackHole, IdleProxy, OddServer
from tests.live.ports import free_port
from tests.live.processes import Child, RelayProcess, checkout_env, within_patience
from tests.live.test_clock import WallClock

WAY = ["tcp", "http", "websocket", "compression", "round_trip", "clock", "transfer"]
OVER_WEBSOCKETS = ["compression", "round_trip", "clock", "transfer"]


HEALTH = b'{"status":"ok","connections":0,"sessions":0}'


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def http_url(relay: RelayProcess) -> str:
    return f"http://127.0.0.1:{relay.port}"


class HealthyTest(DoctorCase):
    async def test_a_relay(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.settle()
        found = await self.diagnose(relay.url("", "").rstrip("/"))
        self.assertEqual(found.exit_code, 0, repr(found.child))
        self.assertEqual(found.states("ok"), WAY)
        self.assertEqual(found.states("skipped"), ["dns"])
        self.assertTrue(found.document["ok"])
        self.assertEqual(found.document["relay"], f"ws://127.0.0.1:{relay.port}")
        self.assertEqual(found.figures("transfer")["bytes"], 100_000)
        self.assertEqual(found.figures("round_trip")["answered"], 7)
        self.assertEqual(found.figures("http")["state"], "ok")
        # Nobody was disturbed, and nothing stays behind.
        self.assertEqual(await cli.settle(), [])
        self.assertEqual(await phone.settle(), [])
        status = (await relay.get("/api/status")).json()
        self.assertEqual(status["sessions"], 1)
        sessions = (await relay.get("/api/sessions")).json()["sessions"]
        self.assertEqual(len(sessions), 1, sessions)

    async def test_a_relay_that_lets_pages_of_one_origin_in(self) -> None:
        relay = await self.relay("--allowed-origin", "https://app.example")
        found = await self.diagnose(http_url(relay))
        self.assertEqual(found.states("failed"), [], repr(found.child))

    async def test_by_name(self) -> None:
        relay = await self.relay()
        found = await self.diagnose(f"http://localhost:{relay.port}")
        self.assertEqual(found.states("failed"), [], repr(found.child))
        self.assertIn("127.0.0.1", found.figures("dns")["addresses"])

    async def test_what_people_see(self) -> None:
        relay = await self.relay()
        child = await self.transcript(http_url(relay))
        self.assertEqual(child.exit_code, 0)
        lines = child.out.splitlines()
        self.assertEqual(len(lines), 9)
        self.assertTrue(lines[1].startswith("✓ TCP          port "), child.out)
        self.assertEqual(lines[-1], "8 checks: nothing is wrong")
        child = await self.transcript(http_url(relay), "--quiet")
        self.assertEqual((child.exit_code, child.out, child.err), (0, "", ""))
        child = await self.transcript(f"http://127.0.0.1:{free_port()}", "--quiet")
        self.assertEqual((child.exit_code, child.out), (3, ""))
        self.assertIn("TCP: port", child.err)

    async def test_a_terminal_that_knows_no_ticks(self) -> None:
        relay = await self.relay()
        env = checkout_env(PYTHONIOENCODING="ascii")
        child = Child([*PROGRAM, "--relay", http_url(relay)], env=env)
        await within_patience(child.over(), lambda: repr(child))
        self.assertTrue(child.out.splitlines()[1].startswith("+ TCP "), child.out)

    async def test_without_compression(self) -> None:
        relay = await self.relay("--compression", "off")
        found = await self.diagnose(http_url(relay))
        self.assertEqual(found.states("warning"), ["compression"])
        self.assertEqual(found.exit_code, 0)

    async def test_a_relay_whose_clock_is_wrong(self) -> None:
        clock = WallClock(Path(self.mktemp()))
        clock.set(30)
        relay = await self.relay(env=clock.env)
        found = await self.diagnose(http_url(relay))
        self.assertEqual(found.states("warning"), ["clock"], repr(found.child))
        self.assertAlmostEqual(found.figures("clock")["relay_ahead_s"], 30, delta=1)
        self.assertIn("ahead of this machine's", found.text("clock"))

    async def test_a_managed_service(self) -> None:
        relay = await self.relay("--managed", "relay://the-key")
        found = await self.diagnose(http_url(relay), "--managed", "relay://the-key")
        self.assertEqual(found.states("failed"), [], repr(found.child))
        self.assertIn("knows the key", found.text("managed"))
        found = await self.diagnose(http_url(relay), "--managed", "relay://another")
        self.assertFails(found, "managed", "4001", "--managed")


class NobodyThereTest(DoctorCase):
    async def test_nothing_listens(self) -> None:
        found = await self.diagnose(f"ws://127.0.0.1:{free_port()}")
        self.assertFails(found, "tcp", "refused the connection", "Is the relay running", 3)
        self.assertEqual(found.states("skipped"), ["dns", *WAY[1:]])
        self.assertEqual(found.text("http"), "not checked, as TCP failed")

    async def test_a_black_hole(self) -> None:
        hole = BlackHole()
        self.addCleanup(hole.close)
        found = await self.diagnose(f"ws://127.0.0.1:{hole.port}")
        self.assertFails(found, "tcp", "no answer in", "firewall", 3)

    async def test_a_name_that_nobody_knows(self) -> None:
        found = await self.diagnose("ws://relay.invalid:3000")
        self.assertEqual(found.states("failed"), ["dns"], repr(found.child))
        self.assertEqual(found.exit_code, 3)

    async def test_a_resolver_that_hangs(self) -> None:
        script = (
            "import socket, threading, sys\n"
            "socket.getaddrinfo = lambda *_, **__: threading.Event().wait()\n"
            "from apptuner_relay.client.main import main\n"
            "sys.exit(main(['doctor', *sys.argv[1:]]))"
        )
        found = await self.diagnose(
            "ws://relay.example:3000", program=[sys.executable, "-c", script]
        )
        self.assertFails(found, "dns", "no answer from the name servers", "resolv.conf", 3)

    async def test_a_server_that_says_nothing(self) -> None:
        server = OddServer(lambda request: None)
        self.addCleanup(server.stop)
        found = await self.diagnose(f"ws://127.0.0.1:{server.port}")
        self.assertFails(found, "http", "nothing came back in", "hangs")
        found = await self.diagnose(f"wss://127.0.0.1:{server.port}")
        self.assertFails(found, "tls", "no answer to the handshake", "speaks no TLS")

    async def test_a_server_that_is_silent_behind_tls(self) -> None:
        authority = Authority()
        trust = Path(self.mktemp()).resolve()
        trust.write_bytes(authority.pem)
        server = OddServer(lambda request: None, authority.issue(names=("127.0.0.1",)))
        self.addCleanup(server.stop)
        url = f"wss://127.0.0.1:{server.port}"
        found = await self.diagnose(url, env={"SSL_CERT_FILE": str(trust)})
        self.assertFails(found, "http", "nothing came back in", "hangs")

    async def test_a_server_that_upgrades_nothing(self) -> None:
        health = answer(200, HEALTH)
        server = OddServer(lambda request: health if b"/health" in request else None)
        self.addCleanup(server.stop)
        found = await self.diagnose(f"ws://127.0.0.1:{server.port}")
        self.assertFails(found, "websocket", "no answer to the upgrade", "proxy_set_header")
        self.assertEqual(found.states("skipped"), ["dns", *OVER_WEBSOCKETS])
        self.assertIn("an older relay", found.text("http"))

    async def test_what_is_no_relay(self) -> None:
        for answer, words, hint in (
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server", "host and port"),
            (b"\0\0\x12\x04\0\0\0\0\0" + bytes(18), "HTTP/2", "HTTP/1.1"),
            (
                b"HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 23\r\n\r\n"
                b"<title>It works</title>",
                "Server: Apache",
                "some other web site",
            ),
            (
                b"HTTP/1.1 301 Moved\r\nLocation: https://relay.example/health\r\n"
                b"Content-Length: 0\r\n\r\n",
                "https://relay.example/health",
                "wss://",
            ),
        ):
            server = OddServer(lambda request, answer=answer: answer)  # type: ignore[misc]
            self.addCleanup(server.stop)
            found = await self.diagnose(f"ws://127.0.0.1:{server.port}")
            self.assertIn("http", found.states("failed"), repr(found.child))
            self.assertIn(words, found.text("http"))
            self.assertIn(hint, found.hint("http"))
            self.assertEqual(found.exit_code, 1)

    async def test_interrupted(self) -> None:
        server = OddServer(lambda request: None)
        self.addCleanup(server.stop)
        argv = [*PROGRAM, "--relay", f"ws://127.0.0.1:{server.port}"]
        came: Deferred[None] = Deferred()

        def line(text: str) -> None:
            if "TCP" in text:
                came.callback(None)

        child = Child(argv, env=checkout_env(PYTHONIOENCODING="utf-8"), on_line=line)
        await within_patience(came, lambda: repr(child))
        child.signal("INT")
        await within_patience(child.over(), lambda: repr(child))
        self.assertEqual(child.exit_code, 130, repr(child))
        self.assertIn("not checked: interrupted", child.out)
        self.assertEqual(child.err, "")


class LimitTest(DoctorCase):
    async def test_too_many_connections(self) -> None:
        health, full = answer(200, HEALTH), answer(429, b'{"error":"more than --connect-rate"}')
        server = OddServer(lambda request: health if b"/health" in request else full)
        self.addCleanup(server.stop)
        found = await self.diagnose(f"ws://127.0.0.1:{server.port}")
        self.assertFails(found, "websocket", "HTTP 429: more than --connect-rate", "Wait a minute")

    async def test_a_relay_that_expects_a_balancer(self) -> None:
        listen = ["--listen", "proxy:tcp:0:interface=127.0.0.1", "--trusted-proxy", "127.0.0.1"]
        relay = RelayProcess(listen)
        self.addCleanup(relay.stop)
        await relay.listening()
        found = await self.diagnose(http_url(relay))
        self.assertFails(found, "http", "closed without an answer", "PROXY protocol")


class PatienceTest(DoctorCase):
    async def examine(self, port: int, patience_s: float) -> dict[str, Finding]:
        """As the program does, but with less patience."""
        relay = Relay(False, "127.0.0.1", port)
        told: list[str] = []
        examination = Examination(
            Complaint(relay, patience_s=patience_s), reactor, lambda _: None, told.append
        )
        await examination.run()
        self.assertTrue(all("silent for" in line for line in told), told)
        return {one.name: one for one in examination.findings}

    async def test_pings_keep_it(self) -> None:
        relay = await self.relay("--ping-interval", "0.2")
        found = (await self.examine(relay.port, 1.0))["idle"]
        self.assertEqual(found.state, CheckState.OK, found)
        self.assertIn("pings", found.text)

    async def test_without_pings(self) -> None:
        relay = await self.relay()
        found = (await self.examine(relay.port, 0.5))["idle"]
        self.assertEqual(found.state, CheckState.WARNING, found)

    async def test_a_proxy_that_cuts(self) -> None:
        relay = await self.relay("--ping-interval", "30")
        proxy = IdleProxy(relay.port, 1.0)
        self.addCleanup(proxy.stop)
        found = (await self.examine(proxy.listening_port, 25.0))["idle"]
        self.assertEqual(found.state, CheckState.FAILED, found)
        self.assertIn("without a Close", found.text)
        self.assertIn("proxy_read_timeout", found.hint)
        self.assertIsNone(found.figures["close_code"])

    async def test_a_relay_that_stops(self) -> None:
        relay = await self.relay("--ping-interval", "30")
        url = http_url(relay)
        child = Child(
            [*PROGRAM, "--relay", url, "--patient"], env=checkout_env(PYTHONIOENCODING="utf-8")
        )
        waiting = within_patience(child.over(), lambda: repr(child))
        await relay.logged("cli connected")
        await relay.logged("mobile (.*)disconnected|disconnected(.*)mobile")
        await relay.stop()
        await waiting
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("with code 1012", child.out)
