"""A relay that is told to stop while clients are there."""

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.live.clients import NODE_DIRECTORY
from tests.live.harness import LiveCase
from tests.live.processes import MIB, PATIENCE_S, Child, RelayProcess, within_patience
from tests.live.systemd import ADOPTED, listening_socket

CODE = "x" * 300_000
HALVES = (f'{{"type":"bundle_update","payload":{{"code":"{CODE}'.encode(), f'{CODE}"}}}}'.encode())


class DrainTest(LiveCase):
    async def test_a_bundle_on_its_way_arrives(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("mobile_connected")
        await cli.send_frame(1, HALVES[0], fin=False)
        await phone.bytes_arrived(len(HALVES[0]))
        relay.child.signal("TERM")
        await relay.logged(r"draining: 2 clients; bundles on their way in 1 sessions")

        reply = await relay.get("/ready")
        self.assertEqual((reply.status, reply.json()["status"]), (503, "draining"))
        reply = await relay.get("/health")
        self.assertEqual((reply.status, reply.json()["status"]), (503, "draining"))
        refused = await node.refused("cli", "NEWONE")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "5"))
        self.assertIn("restarts", refused.json()["error"])
        await node.join("dashboard", "ABC234")

        await cli.send_frame(0, HALVES[1])
        bundle = await phone.bundle()
        assert bundle.code is not None
        self.assertEqual(bundle.code.chars, 2 * len(CODE))
        for client in (cli, phone):
            self.assertEqual(await client.closed(), (1012, "The relay restarts"))
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        self.assertNotIn("Traceback", relay.log)

    async def test_a_slow_phone_gets_all_of_it(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("mobile_connected")
        await phone.pause()
        sent = await cli.start_filler(9 * MIB)
        relay.child.signal("TERM")
        await relay.logged("draining: 2 clients; bundles on their way in 1 sessions")
        await phone.resume()
        self.assertEqual((await phone.bundle()).code, sent)
        for client in (cli, phone):
            self.assertEqual((await client.closed())[0], 1012)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()

    async def test_a_download_on_its_way_arrives(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await cli.push_filler(20 * MIB)
        with socket.socket() as reader:
            # So that most of it waits in the relay.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
            reader.settimeout(PATIENCE_S)
            await deferToThread(reader.connect, ("127.0.0.1", relay.port))
            reader.sendall(b"GET /bundles/ABC234 HTTP/1.1\r\nHost: relay\r\n\r\n")
            head = await deferToThread(reader.recv, 2000)
            self.assertIn(b" 200 OK", head)
            relay.child.signal("TERM")
            self.assertEqual((await cli.closed())[0], 1012)
            self.assertFalse(relay.child.is_over)
            rest = await deferToThread(read_all, reader)
        head, _, beginning = head.partition(b"\r\n\r\n")
        self.assertIn(f"content-length: {20 * MIB}".encode(), head.lower())
        self.assertEqual(len(beginning) + rest, 20 * MIB)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        self.assertNotIn("Traceback", relay.log)

    async def test_what_is_beyond_the_message_rate_arrives_at_once(self) -> None:
        relay, node = await self.stage("--drain-timeout", "10m")
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("mobile_connected")
        # At the default rate, the last of these would pass after 45 s.
        await cli.send_burst({"type": "hint", "n": n} for n in range(5000))
        await phone.expect("hint")
        relay.child.signal("TERM")
        for client in (cli, phone):
            self.assertEqual(await client.closed(), (1012, "The relay restarts"))
        hints = [one.data["n"] for one in phone.seen if one.type == "hint"]
        self.assertEqual(hints, list(range(5000)))
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        self.assertNotIn("Traceback", relay.log)

    async def test_a_second_sigterm_does_not_wait(self) -> None:
        await self.stop_twice("TERM")

    async def test_a_second_ctrl_c_does_not_wait(self) -> None:
        await self.stop_twice("INT")

    async def stop_twice(self, name: str) -> None:
        relay, node = await self.stage("--drain-timeout", "10m")
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("mobile_connected")
        await cli.send_frame(1, HALVES[0], fin=False)
        await phone.bytes_arrived(len(HALVES[0]))
        relay.child.signal(name)
        await relay.logged("draining: 2 clients")
        relay.child.signal(name)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        self.assertEqual((await cli.closed())[0], 1012)
        self.assertEqual((await phone.closed())[0], 1011)
        self.assertIn(f"received SIG{name} again", relay.log)
        for output in (relay.child.out, relay.child.err):
            self.assertNotIn("Traceback", output)
            self.assertNotIn("Unhandled", output)


def read_all(reader: socket.socket) -> int:
    """How many bytes come until the connection ends; not all of them at once."""
    count = 0
    while data := reader.recv(65536):
        count += len(data)
        time.sleep(0.001)
    return count


class RestartTest(LiveCase):
    """Restarts under load, with the listening socket held as systemd holds it."""

    async def test_a_hundred_sessions(self) -> None:
        held = listening_socket()
        self.addCleanup(held.close)
        first = await self.successor(held)
        load = Load(held, sessions=100, chars=60_000)
        self.addCleanup(load.kill)
        await load.until("acked", lambda event: event["count"] >= 300)
        first.child.signal("TERM")
        second = await self.successor(held)
        await within_patience(first.child.over(), lambda: repr(first.child))
        first.forget()
        await load.until("returned")
        result = await load.end()
        self.assertEqual(result["lost"], [], result)
        self.assertEqual(result["troubles"], [], result)
        self.assertEqual(set(result["codes"]), {"1012"}, result)
        self.assertGreaterEqual(result["codes"]["1012"], 200, result)
        self.assertGreater(result["believed"], 400, result)
        for relay in (first, second):
            for sign in ("Traceback", "cut short"):
                self.assertNotIn(sign, relay.log)

    async def successor(self, held: socket.socket) -> RelayProcess:
        spool = str(Path(self.mktemp()).resolve())
        relay = RelayProcess(ADOPTED, {"APPTUNER_SPOOL_DIR": spool}, sockets=[held])
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay


class Load:
    """node/restart.mjs."""

    def __init__(self, held: socket.socket, sessions: int, chars: int) -> None:
        url = f"ws://127.0.0.1:{held.getsockname()[1]}"
        self._events: list[dict[str, Any]] = []
        self._news: list[Deferred[None]] = []
        self._child = Child(
            [
                shutil.which("node") or "node",
                str(NODE_DIRECTORY / "restart.mjs"),
                *(url, str(sessions), str(chars)),
            ],
            on_line=self._line,
        )

    def _line(self, line: str) -> None:
        self._events.append(json.loads(line))
        news, self._news = self._news, []
        for one in news:
            one.callback(None)

    async def until(self, kind: str, test: Any = lambda event: True) -> dict[str, Any]:
        """The first event of a kind, past or to come, that passes the test."""
        while True:
            for event in self._events:
                if event["event"] == kind and test(event):
                    return event
            news: Deferred[None] = Deferred()
            self._news.append(news)
            await within_patience(news, lambda: f"no {kind}: {self._child!r}")

    async def end(self) -> dict[str, Any]:
        """Have it stop, and say what came of it."""
        self._child.process.closeStdin()
        return await self.until("done")

    async def kill(self) -> None:
        self._child.signal("KILL")
        await within_patience(self._child.over(), lambda: repr(self._child))
