"""A relay's log when nobody reads it, and the signals that must not end a relay."""

import json
import os
import re
import signal
from itertools import groupby
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.live.harness import LiveCase
from tests.live.processes import (
    RelayProcess,
    checkout_env,
    run,
    twistd_command,
    within_patience,
)

PIPE_BYTES = 64 * 1024
"""What a pipe holds that nobody reads."""
LINE_BYTES = 90
"""What is logged of a client that comes or goes is at least so long."""
DROPPED = r"^apptuner_relay_log_lines_dropped_total (\S+)$"
HANDSHAKE = (
    "GET /cli/ABC234 HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Visitor(Protocol):
    """A client that goes away without a word once it is in."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(HANDSHAKE.encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if b'"connected"' in data:
            self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class UnreadTest(LiveCase):
    def standard_output(self, relay: RelayProcess) -> Any:
        """The end of its standard output that is read here."""
        return relay.child.process.pipes[1]

    async def visitors(self, relay: RelayProcess, count: int) -> None:
        """Clients that come and go, each two lines of the log or more."""
        for _ in range(count):
            visitor = Visitor()
            await connectProtocol(clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}"), visitor)
            await within_patience(visitor.gone, lambda: repr(relay.child))

    async def test_nobody_reads_standard_output(self) -> None:
        for form in ("text", "json"):
            relay = await self.relay("--log-format", form)
            self.standard_output(relay).pauseProducing()
            await self.visitors(relay, 2 * PIPE_BYTES // LINE_BYTES // 2)
            self.assertEqual((await relay.get("/health")).json()["status"], "ok")
            self.standard_output(relay).resumeProducing()
            await self.visitors(relay, 1)
            gone = r"session [0-9a-f]{8}: cli "
            while len(re.findall(gone, relay.log)) < 4 * PIPE_BYTES // LINE_BYTES // 2:
                await deferLater(reactor, 0.02)

    async def test_it_ends_all_the_same(self) -> None:
        relay = await self.relay()
        self.standard_output(relay).pauseProducing()
        await self.visitors(relay, 2 * PIPE_BYTES // LINE_BYTES // 2)
        relay.child.signal("TERM")
        # What the pipe holds keeps this process from being told of the end.
        while process_is_there(relay.child.pid):
            await deferLater(reactor, 0.05)
        self.standard_output(relay).resumeProducing()
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        self.assertEqual(relay.child.exit_signal, signal.SIGTERM)
        relay.forget()

    async def test_the_reader_goes_away(self) -> None:
        relay = await self.relay()
        self.standard_output(relay).loseConnection()
        await self.visitors(relay, 20)
        count = 0.0
        # What is logged together is written together, a moment later.
        while count <= 20:
            metrics = (await relay.get("/metrics")).body
            found = re.search(DROPPED, metrics, re.MULTILINE)
            assert found, metrics
            count = float(found[1])
        self.assertEqual((await relay.get("/health")).json()["status"], "ok")

    async def test_the_last_lines_arrive(self) -> None:
        relay = await self.relay()
        # Only when it answers has Twisted taken SIGTERM over.
        await relay.get("/live")
        await relay.stop()
        self.assertIn("Server Shut Down.", relay.log.splitlines()[-1])


class LinesTest(LiveCase):
    """What stands in the log of a relay that real clients come to."""

    async def test_the_first_line_and_no_noise(self) -> None:
        relay = await self.relay("--max-mobiles", "3", "--admin-token", "correct-horse-battery")
        await relay.get("/live")
        await relay.stop()
        lines = relay.log.splitlines()
        self.assertRegex(
            lines[0],
            rf"AppTuner Relay \d\S+ (\(\w+(-dirty)?\) )?starts: listens on "
            rf"tcp:127\.0\.0\.1:{relay.port}; options --admin-token \*\*\*, --max-mobiles 3",
        )
        self.assertNotIn("correct-horse", relay.log)
        for noise in ("factory", "reactor class", "starting", "Closed)", "Main loop"):
            self.assertNotIn(noise, relay.log)

    async def test_the_first_line_as_json(self) -> None:
        relay = await self.relay("--log-format", "json", "--max-mobiles", "3")
        line = json.loads(relay.log.splitlines()[0])
        self.assertEqual(line["listening"], [f"tcp:127.0.0.1:{relay.port}"])
        self.assertEqual(line["options"]["max-mobiles"], "3")
        self.assertTrue(line["message"].startswith("AppTuner Relay"), line)

    async def test_who_comes_and_goes(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234", headers={"User-Agent": "apptuner/3.1"})
        phone = await node.join(
            "mobile", "ABC234", "deviceId=5f2b&name=Pixel+9%1b[1m&platform=android&agent=kit/1.0"
        )
        label = (await relay.logged(r"session (\w{8}): cli connected from 127\.0\.0\.1"))[1]
        came = await relay.logged(rf"session {label}: cli connected from 127\.0\.0\.1(.*)")
        self.assertEqual(came[1], "; apptuner/3.1")
        came = await relay.logged(rf"session {label}: mobile connected from 127\.0\.0\.1(.*)")
        self.assertEqual(came[1], '; "Pixel 9[1m", android, 5f2b; kit/1.0')
        await phone.close(4001, "enough")
        gone = await relay.logged(rf"session {label}: mobile disconnected: (.*)")
        self.assertRegex(
            gone[1],
            r'^closed by the client \(4001\), after \d\.\d s; "Pixel 9\[1m", android, 5f2b; '
            r"kit/1\.0$",
        )
        await cli.close()
        await relay.logged(rf"session {label}: cli disconnected: closed by the client \(1000\)")
        self.assertNotIn("ABC234", relay.log)

    async def test_who_is_refused_and_why(self) -> None:
        relay, node = await self.stage("--max-mobiles", "1")
        await node.join("mobile", "ABC234")
        for _ in range(5):
            await node.refused("mobile", "ABC234")
        await node.refused("mobile", "no.id")
        line = await relay.logged("a handshake from (.*403.*)")
        self.assertRegex(
            line[1],
            r"^127\.0\.0\.1 as mobile of session \w{8} was refused with 403: This session already "
            r"has 1 phones, the most it may have$",
        )
        await relay.logged("was refused with 400: Bad session id")
        self.assertEqual(relay.log.count("refused with 403"), 1)
        for secret in ("ABC234", "no.id"):
            self.assertNotIn(secret, relay.log)
        events = (await relay.get("/api/status")).json()["events"]
        full = next(one for one in events if "with 403" in one["text"])
        self.assertEqual((full["kind"], full["count"]), ("refused", 5))

    async def test_a_minute_in_which_nothing_happens_is_none(self) -> None:
        relay, node = await self.stage("--log-format", "json", "--tune", "log-interval=1s")
        cli = await node.join("cli", "ABC234")
        await relay.logged('"kind":"minute","connections":1')
        await cli.close()
        await relay.logged('"kind":"minute","connections":0')
        lines = [json.loads(line) for line in relay.log.splitlines()]
        minutes = [line["connections"] for line in lines if line.get("kind") == "minute"]
        self.assertEqual(minutes, [one for one, _ in groupby(minutes)])


def process_is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class SignalTest(LiveCase):
    """Those of `apptuner_relay.operator.signals`."""

    async def survives(self, relay: RelayProcess, said: str) -> None:
        for name in ("USR1", "USR2", "HUP"):
            relay.child.signal(name)
        await relay.logged(f"SIGHUP: {said}")
        self.assertEqual((await relay.get("/live")).status, 200)

    async def test_none_ends_a_relay(self) -> None:
        for options in ((), ("--log-format", "json"), ("--spool-dir", "off")):
            await self.survives(await self.relay(*options), "there is nothing to reload")

    async def test_nor_one_that_drains(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await cli.send_frame(1, b'{"type":"bundle_update",' + b" " * 70_000, fin=False)
        await cli.ping("all of it is there")
        await cli.pong()
        relay.child.signal("TERM")
        await relay.logged("draining")
        await self.survives(relay, "there is nothing to reload")
        await cli.send_frame(0, b'"payload":{}}')
        self.assertEqual((await cli.closed())[0], 1012)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        self.assertEqual(relay.child.exit_signal, signal.SIGTERM)
        relay.forget()

    async def test_a_daemon(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        log, pidfile = folder / "relay.log", folder / "relay.pid"
        daemonize = [word for word in twistd_command() if word not in ("-n", "--pidfile=")]
        child = await run(
            [
                *(*daemonize, f"--pidfile={pidfile}", f"--logfile={log}", "apptuner-relay"),
                *("--listen", "tcp:0:interface=127.0.0.1", "--log-format", "json"),
            ],
            env=checkout_env(),
        )
        self.assertEqual(child.exit_code, 0, repr(child))
        pid = int(pidfile.read_text())
        self.addCleanup(end, pid)

        async def logged(path: Path, text: str) -> None:
            while not path.exists() or text not in path.read_text():
                self.assertTrue(process_is_there(pid))
                await deferLater(reactor, 0.05)

        await logged(log, "listening on")
        os.kill(pid, signal.SIGUSR2)
        os.kill(pid, signal.SIGUSR1)
        await logged(folder / "relay.log.1", "listening on")
        # As logrotate does it.
        log.rename(folder / "relay.log.old")
        os.kill(pid, signal.SIGHUP)
        await logged(log, "")
        os.kill(pid, signal.SIGHUP)
        await logged(log, "SIGHUP: reloading the log file")
        os.kill(pid, signal.SIGTERM)
        while process_is_there(pid):
            await deferLater(reactor, 0.05)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(lines[-1]["message"], "Server Shut Down.")


def end(pid: int) -> None:
    if process_is_there(pid):
        os.kill(pid, signal.SIGKILL)
