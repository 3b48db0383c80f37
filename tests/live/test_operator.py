"""What an operator has of a relay that runs: log lines, metrics, alerts, and days that survive."""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.inotify import IN_MOVED_TO, INotify
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.live.harness import LiveCase
from tests.live.processes import (
    Child,
    RelayProcess,
    checkout_env,
    http,
    run,
    twistd_command,
    within_patience,
)

FILLER = 3_000_000


class OperatorCase(LiveCase):
    def directory(self) -> Path:
        return Path(self.mktemp()).resolve()

    def values(self, text: str) -> dict[tuple[str, str], float]:
        """Samples by name and the values of their labels."""
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


class LogTest(OperatorCase):
    async def test_the_minute_line_shows_what_passed(self) -> None:
        relay, node = await self.stage("--tune", "log-interval=1s")
        cli, phone = await node.join("cli", "ABC234"), await node.join("mobile", "ABC234")
        await cli.push_filler(FILLER)
        await phone.bundle()
        await relay.logged(
            r"2 connections \(cli 1, dashboard 0, desktop 0, mobile 1, upload 0\) in 1 session, "
            r"peak today 1; 1 bundle, 3\.0 MB since the start; "
            r"1 bundle, 3\.0 MB in the last minute; CPU \d+% of a core, "
            r"memory \d+\.\d MiB, loop lag \d+ ms"
        )
        await node.stop()
        await relay.stop()
        day = await relay.logged(r"day \d{4}-\d\d-\d\d so far: (.*)")
        self.assertRegex(
            day[1],
            r"^peak 1 session, 2 connections; 1 bundle, 3\.0 MB; "
            r"3\.\d MB sent; 2 clients connected$",
        )

    async def test_json(self) -> None:
        relay, node = await self.stage("--log-format", "json", "--tune", "log-interval=1s")
        await node.join("mobile", "ABC234", "name=L%C3%BCcke%0A")
        await relay.logged('"kind":"minute","connections":1')
        await relay.stop()
        lines = [json.loads(line) for line in relay.log.splitlines()]
        for line in lines:
            self.assertLessEqual({"time", "level", "logger", "message"}, set(line))
        (came,) = [line for line in lines if line.get("role") and " connected " in line["message"]]
        self.assertRegex(came["session"], r"^[0-9a-f]{8}$")
        self.assertNotIn("ABC234", relay.log)
        (day,) = [line for line in lines if line.get("kind") == "day"]
        self.assertEqual((day["so_far"], day["peak_connections"]), (True, 1))

    async def test_json_of_a_daemon(self) -> None:
        directory = self.directory()
        directory.mkdir()
        log, pidfile = directory / "relay.log", directory / "relay.pid"
        python, option, code = twistd_command()[:3]
        child = await run(
            [
                *(python, option, code, f"--pidfile={pidfile}", f"--logfile={log}"),
                *("apptuner-relay", "--listen", "tcp:0:interface=127.0.0.1"),
                *("--log-format", "json", "--state-dir", "state"),
            ],
            cwd=directory,
            env=checkout_env(),
        )
        self.assertEqual(child.exit_code, 0, repr(child))
        # It is nobody's child any more: `tail` ends when it does.
        pid = pidfile.read_text().strip()
        port: Deferred[str] = Deferred()

        def look(line: str) -> None:
            _, found, number = json.loads(line)["message"].partition("listening on tcp:127.0.0.1:")
            if found:
                port.callback(number)

        tail = Child(["tail", f"--pid={pid}", "-n", "+1", "-f", str(log)], on_line=look)
        number = await within_patience(port, lambda: repr(tail))
        self.assertEqual((await http(f"tcp:127.0.0.1:{number}", "/ready")).status, 200)
        await run(["kill", pid])
        await within_patience(tail.over(), lambda: repr(tail))
        messages = [json.loads(line)["message"] for line in tail.out.splitlines()]
        self.assertIn("Server Shut Down.", messages)
        kept = json.loads((directory / "state/days.json").read_text())
        self.assertIs(kept["run"]["clean"], True)

    async def test_json_and_syslog(self) -> None:
        child = await run(
            [*twistd_command(), "--syslog", "apptuner-relay", "--log-format", "json"],
            env=checkout_env(),
        )
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertEqual(
            child.err.splitlines(), ["apptuner-relay: --log-format: json does not go to syslog"]
        )


class HttpTest(OperatorCase):
    async def test_metrics(self) -> None:
        relay, node = await self.stage()
        cli, phone = await node.join("cli", "ABC234"), await node.join("mobile", "ABC234")
        sent = await cli.push_filler(FILLER, chunked=True)
        await phone.bundle()
        await node.refused("cli", "no.id")
        reply = await relay.get("/metrics")
        values = self.values(reply.body)
        self.assertEqual(values["apptuner_relay_connections", "mobile"], 1)
        self.assertEqual(values["apptuner_relay_bundles_total", ""], 1)
        chunks = values["apptuner_relay_messages_total", "in bundle_chunk"]
        self.assertEqual(chunks, sent.messages - 1)
        self.assertGreater(values["apptuner_relay_message_bytes_total", "out bundle_chunk"], FILLER)
        self.assertGreater(values["apptuner_relay_bytes_total", "out"], FILLER)
        self.assertEqual(values["apptuner_relay_handshakes_refused_total", "bad_request"], 1)
        await cli.close(4001)
        await cli.closed()
        await phone.close()
        await phone.closed()
        values = self.values((await relay.get("/metrics")).body)
        self.assertEqual(values["apptuner_relay_connections", "mobile"], 0)
        self.assertEqual(values["apptuner_relay_closes_total", "other"], 1)
        self.assertEqual(values["apptuner_relay_closes_total", "1000"], 1)

    async def test_who_is_there_and_what_has_happened(self) -> None:
        relay, node = await self.stage("--ping-interval", "2s")
        cli = await node.join("cli", "ABC234", headers={"User-Agent": "apptuner/3.1"})
        phone = await node.join("mobile", "ABC234", "deviceId=d1&name=Pixel+9&platform=android")
        await cli.push_filler(FILLER)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True})
        await cli.expect("bundle_ack")

        async def status() -> Any:
            return (await relay.get("/api/status")).json()

        while not (now := await status())["reload"]["count"]:
            await deferLater(reactor, 0.05)
        bundle, *others = now["events"]
        self.assertEqual((bundle["kind"], others[0]["kind"]), ("bundle", "connected"))
        self.assertRegex(
            bundle["text"], r"^3\.0 MB in \S+ s; 1 of 1 phone in \S+ s; acknowledged \S+ s$"
        )
        self.assertGreater(now["reload"]["median_s"], 0)
        self.assertLess(len(now["hour"]), 5)

        async def rows(query: str) -> Any:
            return (await relay.get(f"/api/sessions?{query}")).json()["sessions"]

        session = hashlib.sha256(b"ABC234").hexdigest()
        while True:
            (row,) = await rows(f"session={session}")
            if all(one["round_trip_ms"] is not None for one in row["clients"]):
                break
            await deferLater(reactor, 0.1)
        self.assertEqual([one["agent"] for one in row["clients"]], ["apptuner/3.1", None])
        (shown,) = row["bundles"]
        self.assertEqual((shown["phones"][0]["state"], row["failed"]), ("acknowledged", 0))
        self.assertEqual(row["reload_s"], shown["acknowledged_s"])
        self.assertEqual(await rows("session=" + "0" * 64), [])
        self.assertEqual((await relay.get("/advice")).status, 200)

    async def test_the_token_is_asked_for(self) -> None:
        token = self.directory()
        token.write_text("correct-horse\n")
        relay = await self.relay("--admin-token", f"@{token}")
        bearer = {"Authorization": "Bearer correct-horse"}
        for path in ("/metrics", "/api/status"):
            self.assertEqual((await relay.get(path)).status, 401)
            self.assertEqual((await relay.get(path, headers=bearer)).status, 200)
        for path in ("/health", "/ready", "/live"):
            self.assertEqual((await relay.get(path)).status, 200)
        self.assertNotIn("correct-horse", relay.log)

    async def test_degraded(self) -> None:
        relay = await self.relay(
            "--memory-limit",
            "16MiB",
            "--tune",
            "warning-time=1s lag-limit=off notice-cpu=off warning-cpu=off",
        )
        await relay.logged(r"warning: \d+\.\d MiB of memory, above 90% of its limit, 16\.0 MiB")
        reply = await relay.get("/health")
        self.assertEqual((reply.status, reply.json()["status"]), (503, "degraded"))
        self.assertEqual((await relay.get("/ready")).status, 200)


class AlertReceiver(Resource):
    """Answers with 503 twice, and takes what comes then."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[Any] = []
        self.taken: list[Any] = []
        self.paths: set[bytes] = set()
        self._waiters: list[tuple[int, Deferred[None]]] = []

    def render_POST(self, request: Request) -> bytes:
        self.paths.add(request.uri)
        alert = json.loads(request.content.read())
        if len(self.refused) < 2:
            self.refused.append(alert)
            request.setResponseCode(503)
            return b"later"
        self.taken.append(alert)
        for count, waiter in self._waiters:
            if len(self.taken) >= count and not waiter.called:
                waiter.callback(None)
        return b"ok"

    async def have(self, count: int) -> None:
        waiter: Deferred[None] = Deferred()
        if len(self.taken) < count:
            self._waiters.append((count, waiter))
            await within_patience(waiter, lambda: f"only {self.taken}, refused {self.refused}")


class AlertTest(OperatorCase):
    async def test_what_starts_and_ends_is_posted_until_it_is_taken(self) -> None:
        receiver = AlertReceiver()
        port = reactor.listenTCP(0, Site(receiver), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        url = f"http://me:pass@127.0.0.1:{port.getHost().port}/hook/s3cret?key=s3cret"
        relay, node = await self.stage(
            *(
                "--alert-url",
                url,
                "--warning-sessions",
                "0",
                "--tune",
                "warning-time=1s lag-limit=off notice-cpu=off warning-cpu=off",
            )
        )
        cli = await node.join("cli", "ABC234")
        await receiver.have(1)
        await cli.close()
        await receiver.have(2)
        started, ended = receiver.taken
        self.assertEqual(receiver.refused, [started, started])
        self.assertEqual(
            [(one["name"], one["event"], one["level"]) for one in receiver.taken],
            [("sessions_warning", "started", "warning"), ("sessions_warning", "ended", "warning")],
        )
        self.assertIn("1 session, consistently above --warning-sessions, 0", started["text"])
        self.assertEqual(started["since_ms"], ended["since_ms"])
        self.assertEqual(receiver.paths, {b"/hook/s3cret?key=s3cret"})
        await relay.logged(
            r"alert sessions_warning was not accepted by http://127\.0\.0\.1:\d+: ans"
        )
        for secret in ("s3cret", "pass"):
            self.assertNotIn(secret, relay.log)
        values = self.values((await relay.get("/metrics")).body)
        self.assertEqual(values["apptuner_relay_alerts_total", "delivered"], 2)

    async def test_a_receiver_that_is_away_does_not_hold_the_shutdown(self) -> None:
        port = reactor.listenTCP(0, Site(Resource()), interface="127.0.0.1")  # type: ignore[attr-defined]
        url = f"http://127.0.0.1:{port.getHost().port}/"
        await maybeDeferred(port.stopListening)
        relay = await self.relay(
            *(
                "--alert-url",
                url,
                "--memory-limit",
                "16MiB",
                "--tune",
                "warning-time=1s lag-limit=off notice-cpu=off warning-cpu=off",
            )
        )
        await relay.logged("was not accepted by .* refused")
        await relay.stop()
        await relay.logged("given up")


def kept(directory: Path, text: str) -> "Deferred[None]":
    """Fires when the day file has ``text`` in it."""
    found: Deferred[None] = Deferred()
    notify = INotify()

    def changed(_: object, path: FilePath[bytes], __: int) -> None:
        if path.basename() == b"days.json" and text.encode() in path.getContent():
            notify.loseConnection()
            found.callback(None)

    notify.startReading()
    notify.watch(FilePath(os.fsencode(directory)), mask=IN_MOVED_TO, callbacks=[changed])
    return within_patience(found, lambda: (directory / "days.json").read_text())


class StateTest(OperatorCase):
    async def killed(self, relay: RelayProcess) -> None:
        relay.child.process.signalProcess("KILL")
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        self.assertEqual(relay.child.exit_signal, signal.SIGKILL)
        relay._is_stopped = True

    async def test_a_killed_relay_is_told_of_and_its_day_goes_on(self) -> None:
        directory = self.directory()
        options = ("--state-dir", str(directory), "--tune", "log-interval=1s")
        relay, node = await self.stage(*options)
        cli, phone = await node.join("cli", "ABC234"), await node.join("mobile", "ABC234")
        await cli.push_filler(FILLER)
        await phone.bundle()
        await relay.logged("1 bundle, 3.0 MB since")
        await kept(directory, "1 bundle, 3.0 MB since")
        await node.stop()
        await self.killed(relay)

        relay = await self.relay(*options)
        line = await relay.logged(r"the previous run ended without shutdown; (.*)")
        self.assertRegex(
            line[1], r"^its last minute line: \d connections? .* 1 bundle, 3\.0 MB since"
        )
        today = (await relay.get("/api/status")).json()["today"]
        self.assertEqual((today["bundles"], today["peak_sessions"]), (1, 1))
        self.assertEqual((today["peak_connections"], today["connections"]), (2, 2))
        await relay.stop()

        relay = await self.relay(*options)
        await relay.logged("0 connections")
        self.assertNotIn("previous run", relay.log)
        today = (await relay.get("/api/status")).json()["today"]
        self.assertEqual(today["bundles"], 1)
