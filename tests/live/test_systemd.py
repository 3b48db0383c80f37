"""The units, checked by systemd's own tools, and what the relay does with what systemd gives it."""

import contextlib
import json
import os
import random
import re
import shutil
import socket
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.live.harness import LiveCase
from tests.live.processes import (
    MIB,
    REPOSITORY,
    Child,
    RelayProcess,
    checkout_env,
    run,
    twistd_command,
    within_patience,
)
from tests.live.systemd import ADOPTED, NotifySocket, listening_socket

UNITS = REPOSITORY / "ops/systemd"
SERVICES = (
    "apptuner-relay.service",
    "apptuner-relay@3001.service",
    "apptuner-relay-alert@apptuner-relay.service.service",
)
OTHERS = ("apptuner-relay.socket", "apptuner-relay@3001.socket", "apptuner-relay.target")
PROGRAMS = (
    "opt/apptuner-relay/current/bin/twistd",
    "usr/bin/kill",
    "usr/local/lib/apptuner-relay/alert",
)
"""What they run."""
MOST_EXPOSED = 15
"""Tenths of systemd-analyze's measure, which goes from 0 to 100."""
NEWER = r"Unknown key( name)? 'Restart(Steps|MaxDelaySec)' in section"
"""What systemd before 254 says of the units, and passes over."""


def lacks(*commands: str) -> str | None:
    missing = [command for command in commands if shutil.which(command) is None]
    return f"needs {' and '.join(missing)}: ops/test installs systemd" if missing else None


class UnitTest(TestCase):
    timeout = 120
    skip = lacks("systemd-analyze")

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.units = self.root / "etc/systemd/system"
        self.units.mkdir(parents=True)
        for kind in ("service", "socket", "target"):
            for unit in UNITS.glob(f"*.{kind}"):
                shutil.copy(unit, self.units)
        for program in PROGRAMS:
            (self.root / program).parent.mkdir(parents=True)
            shutil.copy("/bin/true", self.root / program)
        # What the units refer to.
        system = self.root / "usr/lib/systemd/system"
        shutil.copytree("/usr/lib/systemd/system", system, symlinks=True)

    async def analyze(self, verb: str, *arguments: str) -> Child:
        return await run(["systemd-analyze", verb, f"--root={self.root}", *arguments])

    async def complaints(self) -> list[str]:
        units = [str(self.units / unit) for unit in (*SERVICES, *OTHERS)]
        child = await self.analyze("verify", "--man=no", *units)
        lines = (child.out + child.err).splitlines()
        return [line for line in lines if not re.search(NEWER, line)]

    async def test_verify(self) -> None:
        self.assertEqual(await self.complaints(), [])

    async def test_verify_would_find_something(self) -> None:
        with (self.units / "apptuner-relay@.service").open("a") as unit:
            unit.write("[Service]\nRestart=sometimes\n")
        self.assertIn("sometimes", "".join(await self.complaints()))

    async def test_security(self) -> None:
        for service in SERVICES:
            template = re.sub(r"@.*\.service$", "@.service", service)
            child = await self.analyze(
                "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", template
            )
            self.assertEqual(child.exit_code, 0, repr(child))
            self.assertIn("Overall exposure level", child.out)

    def test_both_services_are_alike(self) -> None:
        one, several = (
            [
                line
                for line in (UNITS / name).read_text().splitlines()
                if line and line[0] not in "#" and not line.startswith(("PartOf=", "WantedBy="))
            ]
            for name in ("apptuner-relay.service", "apptuner-relay@.service")
        )
        several = [
            line.replace("@%i", "").replace("-%i", "").replace(" on port %i", "")
            for line in several
        ]
        several.remove("EnvironmentFile=-/etc/apptuner-relay/%i.env")
        self.assertEqual(one, several)


class AdoptedTest(LiveCase):
    """Sockets that somebody else listens on."""

    async def test_systemd_socket_activate(self) -> None:
        if why := lacks("systemd-socket-activate"):
            self.skipTest(why)
        port = free_port()
        env = checkout_env()
        variables = [f"--setenv={name}" for name in env if re.fullmatch(r"[A-Z_]+", name)]
        child = Child(
            [
                *("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=relay"),
                *variables,
                *(*twistd_command(), "apptuner-relay", *ADOPTED),
            ],
            env=env,
        )
        self.addCleanup(self.end, child)
        relay = RelayStandIn(child, port)
        while f"Listening on 127.0.0.1:{port}" not in child.err:
            await deferLater(reactor, 0.05)
            assert not child.is_over, repr(child)
        # The relay is started by the first who connects, and that one is served.
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        sent = await cli.push_filler(3 * MIB)
        self.assertEqual((await phone.bundle()).code, sent.code)
        self.assertIn(f"listening on tcp:127.0.0.1:{port}", child.out)

    async def end(self, child: Child) -> None:
        child.signal("TERM")
        await within_patience(child.over(), lambda: repr(child))
        self.assertNotIn("Traceback", child.out)

    async def test_ipv4_where_ipv6_was_expected(self) -> None:
        # Where IPv6 is turned off, that is what systemd has for a port alone.
        held = listening_socket()
        self.addCleanup(held.close)
        relay = RelayProcess(["--listen", "systemd:domain=INET6:name=relay"], sockets=[held])
        self.addCleanup(relay.stop)
        await relay.listening()
        self.assertEqual((await relay.get("/api/status")).status, 200)

    async def test_no_socket(self) -> None:
        for listen in ("systemd:domain=INET:index=0", "systemd:domain=INET:name=relay"):
            child = await run(
                [*twistd_command(), "apptuner-relay", "--listen", listen], env=checkout_env()
            )
            self.assertEqual(child.exit_code, 1, repr(child))
            self.assertEqual(len(child.err.splitlines()), 1, repr(child))
            self.assertIn("no such socket", child.err)

    async def test_it_stays_open_when_a_relay_ends(self) -> None:
        held = listening_socket()
        self.addCleanup(held.close)
        for _ in range(2):
            relay = await self.adopting(held)
            self.assertEqual((await relay.get("/health")).status, 200)
            await relay.stop()

    async def adopting(self, held: socket.socket) -> RelayProcess:
        relay = RelayProcess(ADOPTED, sockets=[held])
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay


class RelayStandIn:
    """For `NodeClients`: a relay that something else has started."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self._port = port

    def url(self, role: str, session: str, query: str = "") -> str:
        return f"ws://127.0.0.1:{self._port}/{role}/{session}?{query}"


def free_port() -> int:
    """One that is free, and outside of the range from which the kernel chooses for others."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class NotifyTest(LiveCase):
    async def notify_socket(self) -> NotifySocket:
        systemd = NotifySocket()
        self.addCleanup(systemd.close)
        return systemd

    async def test_a_relay_from_start_to_end(self) -> None:
        systemd = await self.notify_socket()
        relay = await self.relay(
            env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "400000"},
        )
        await systemd.told("WATCHDOG=1")
        self.assertIn("READY=1", systemd.messages[0])
        self.assertIn("STATUS=0 sessions, 0 connections", systemd.messages[0])
        self.assertEqual(sum("READY=1" in message for message in systemd.messages), 1)
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        await systemd.told("STATUS=1 sessions, 1 connections")
        await cli.send_frame(1, b'{"type":"bundle_update",' + b" " * 70_000, fin=False)
        await cli.ping("all of it is there")
        await cli.pong()
        relay.child.signal("TERM")
        await systemd.told("STOPPING=1")
        await systemd.told("EXTEND_TIMEOUT_USEC=15000000")
        await systemd.told("WATCHDOG=1")
        await cli.send_frame(0, b'"payload":{}}')
        self.assertEqual((await cli.closed())[0], 1012)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()

    async def test_a_stuck_loop_is_silent(self) -> None:
        systemd = await self.notify_socket()
        child = Child(
            [sys.executable, str(REPOSITORY / "tests/live/stuck_loop.py")],
            env=checkout_env(NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="200000"),
        )
        self.addCleanup(lambda: within_patience(child.over(), lambda: repr(child)))
        self.addCleanup(child.signal, "KILL")
        for _ in range(2):
            await systemd.told("WATCHDOG=1")
        child.signal("USR1")
        while "stuck" not in child.out:
            await deferLater(reactor, 0.02)
        # What it said before has arrived by now: a datagram is in the socket once it is sent.
        await deferLater(reactor, 0.1)
        systemd.messages.clear()
        await deferLater(reactor, 1)
        self.assertEqual(systemd.messages, [])
        child.write_line("go on")
        await systemd.told("WATCHDOG=1")


class AlertTest(LiveCase):
    """What OnFailure= runs."""

    async def alert(self, **variables: str) -> Child:
        env = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
        return await run(
            [sys.executable, str(UNITS / "alert"), "apptuner-relay.service"], env=env | variables
        )

    async def test_the_journal(self) -> None:
        child = await self.alert(
            MONITOR_SERVICE_RESULT="watchdog",
            MONITOR_EXIT_CODE="killed",
            MONITOR_EXIT_STATUS="ABRT",
        )
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertRegex(child.out, r"^<3>apptuner-relay\.service has failed: watchdog \(killed, ")

    async def test_the_alert_url(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60)
            port = server.getsockname()[1]
            alerting = self.alert(APPTUNER_ALERT_URL=f"http://127.0.0.1:{port}/hook?key=secret")
            running = ensureDeferred(alerting)
            request = await deferToThread(take_request, server)
            child = await running
        self.assertEqual(child.exit_code, 0, repr(child))
        head, _, body = request.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /hook?key=secret "), head)
        event = json.loads(body)
        self.assertEqual((event["event"], event["name"]), ("happened", "unit_failed"))
        self.assertIn("apptuner-relay.service has failed", event["text"])

    async def test_an_alert_url_that_says_no(self) -> None:
        child = await self.alert(APPTUNER_ALERT_URL="nonsense://127.0.0.1/?key=secret")
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertNotIn("secret", child.out + child.err)


def take_request(server: socket.socket) -> bytes:
    """Read one request and answer it."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(60)
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith(b"}"):
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    return data
