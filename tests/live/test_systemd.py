"""The units, checked by systemd's own tools, and what the relay does with what systemd gives it."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.certificates import Authority, Live
from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import (
    MIB,
    REPOSITORY,
    Child,
    RelayProcess,
    checkout_env,
    exchange,
    http,
    run,
    twistd_command,
    within_patience,
)
from tests.live.systemd import ADOPTED, BACKLOG, NotifySocket, listening_socket

UNITS = REPOSITORY / "ops/systemd"
SERVICES = (
    "apptuner-relay.service",
    "apptuner-relay@3001.service",
    "apptuner-relay-alert@apptuner-relay.service.service",
)
OTHERS = ("apptuner-relay.socket", "apptuner-relay@3001.socket", "apptuner-relay.target")
PROGRAMS = (
    "opt/apptuner-relay/current/bin/twistd",
    "bin/sh",
    "usr/local/lib/apptuner-relay/alert",
)
"""What they run."""
MOST_EXPOSED = 15
"""Tenths of systemd-analyze's measure, which goes from 0 to 100."""
DROP_INS = ("config.conf", "systemd-254.conf")


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
        version = subprocess.run(
            ["systemd-analyze", "--version"], capture_output=True, text=True, check=True
        )
        newest = int(version.stdout.split()[1])
        for drop_in in DROP_INS:
            # As ops/systemd/install does it: keys of a newer systemd are for that alone.
            if int((re.findall(r"\d+", drop_in) or ["0"])[0]) <= newest:
                for service in ("apptuner-relay.service.d", "apptuner-relay@.service.d"):
                    (self.units / service).mkdir(exist_ok=True)
                    shutil.copy(UNITS / drop_in, self.units / service)
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
        return (child.out + child.err).splitlines()

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
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        path = folder / "relay.sock"
        env = checkout_env()
        variables = [f"--setenv={name}" for name in env if re.fullmatch(r"[A-Z_]+", name)]
        child = Child(
            [
                *("systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--listen={path}"),
                "--fdname=relay:relay",
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
        self.assertIn(f"listening on unix:{path}", child.out)
        self.assertEqual((await http(f"unix:{path}", "/live")).status, 200)

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
        for listen in ("systemd:domain=INET:index=0", "systemd:name=relay"):
            line = await self.refused([], "", listen)
            self.assertIn("no such socket", line)

    async def refused(self, sockets: Sequence[socket.socket], names: str, listen: str) -> str:
        """Start with what it can't take: it must end with 1 and one line, which is returned."""
        relay = RelayProcess(["--listen", listen], sockets=sockets, names=names)
        relay.forget()
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        self.assertEqual(relay.child.exit_code, 1, repr(relay.child))
        self.assertNotIn("Traceback", relay.child.out + relay.child.err)
        (line,) = relay.child.err.splitlines()
        return line

    async def test_what_can_not_be_adopted(self) -> None:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        datagrams.bind(("127.0.0.1", 0))
        idle = socket.socket()
        self.addCleanup(idle.close)
        idle.bind(("127.0.0.1", 0))
        held = self.held()
        for one, names, listen, why in (
            (datagrams, "relay", "systemd:name=relay", "SOCK_DGRAM"),
            (idle, "relay", "systemd:name=relay", "not listening"),
            (held, "", "systemd:name=relay", "LISTEN_FDNAMES is missing"),
            (held, "web", "systemd:name=relay", "socket 0 (web), 127.0.0.1:"),
            (held, "relay", "systemd:index=1", "no such socket"),
            (held, "relay", "systemd:port=1", "name=… or index=…"),
        ):
            self.assertIn(why, await self.refused([one], names, listen))

    def held(self) -> socket.socket:
        held = listening_socket()
        self.addCleanup(held.close)
        return held

    async def serving(
        self,
        sockets: Sequence[socket.socket],
        *options: str,
        names: str | None = None,
    ) -> RelayProcess:
        relay = RelayProcess(options, sockets=sockets, names=names)
        self.addCleanup(relay.stop)
        await relay.logged("listening on")
        return relay

    async def test_without_names(self) -> None:
        held = self.held()
        relay = await self.serving([held], "--listen", "systemd:domain=INET:index=0", names="")
        relay.port = held.getsockname()[1]
        self.assertEqual((await relay.get("/live")).status, 200)

    async def test_all_of_a_name_and_who_is_left(self) -> None:
        one, other, idle = self.held(), self.held(), self.held()
        relay = await self.serving(
            [one, idle, other], "--listen", "systemd:name=relay", names="relay:admin:relay"
        )
        for held in (one, other):
            relay.port = held.getsockname()[1]
            await relay.logged(rf"listening on tcp:127\.0\.0\.1:{relay.port}$")
            self.assertEqual((await relay.get("/live")).status, 200)
        await relay.logged(
            rf"no endpoint of --listen is for .*\(admin\), 127\.0\.0\.1:{idle.getsockname()[1]}\."
        )

    async def test_an_ipv6_socket_of_the_units_as_whatever(self) -> None:
        """The clients of ``BindIPv6Only=both`` are who they are."""
        try:
            held = socket.create_server(
                ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        except OSError as wrong:
            self.skipTest(f"no IPv6 here: {wrong}")
        self.addCleanup(held.close)
        for domain in ("INET", "INET6", "UNIX"):
            relay = await self.serving(
                [held],
                *("--listen", f"systemd:domain={domain}:name=relay"),
                *("--trusted-proxy", "127.0.0.1"),
            )
            relay.port = held.getsockname()[1]
            await relay.logged(rf"listening on tcp:\[::\]:{relay.port}")
            node = await self.node(relay)
            await node.join("cli", "ABC234")
            await relay.logged("cli connected from 127\\.0\\.0\\.1(;|$)")
            phone = await node.join("mobile", "ABC234", headers={"X-Forwarded-For": "192.0.2.7"})
            await relay.logged("mobile connected from 192\\.0\\.2\\.7(;|$)")
            await phone.close()
            await relay.stop()

    async def test_a_unix_socket_is_left_as_it_was(self) -> None:
        # The path of a UNIX socket may have some 100 characters, and that of a test has more.
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        path = folder / "relay.sock"
        held = socket.socket(socket.AF_UNIX)
        self.addCleanup(held.close)
        held.bind(str(path))
        path.chmod(0o660)
        held.listen(BACKLOG)
        for domain in ("UNIX", "INET6"):
            relay = await self.serving([held], "--listen", f"systemd:domain={domain}:index=0")
            await relay.logged(f"listening on unix:{path}$")
            self.assertEqual((await http(f"unix:{path}", "/health")).status, 200)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
            self.assertEqual(backlog_of(path), BACKLOG)
            await relay.stop()
            self.assertTrue(path.exists())

    async def test_tls_and_proxy_headers_on_two_sockets(self) -> None:
        live = Live(Path(self.mktemp()).resolve())
        pair = Authority().issue(90)
        live.install(pair.chain, pair.key)
        sockets = [self.held(), self.held()]
        relay = await self.serving(
            sockets,
            *("--listen", "proxy:tls:systemd:name=relay", "--trusted-proxy", "127.0.0.1"),
            *("--tls-cert", str(live.chain), "--tls-key", str(live.key)),
        )
        for held in sockets:
            port = held.getsockname()[1]
            await relay.logged(rf"listening on proxy:tls:tcp:127\.0\.0\.1:{port}")
            answer = await exchange(
                f"tcp:127.0.0.1:{port}",
                "PROXY TCP4 192.0.2.7 10.0.0.9 5000 443\r\nGET / HTTP/1.1\r\n",
            )
            self.assertIn(b"speaks TLS", answer)

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


def backlog_of(path: Path) -> int:
    """How many may wait in the queue of a UNIX socket that listens, as ss(8) shows it."""
    command = ["ss", "--no-header", "--listening", "--unix", "src", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(shown.split()[3])


class RelayStandIn:
    """For `NodeClients`: a relay that something else has started."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self._port = port

    def url(self, role: str, session: str, query: str = "") -> str:
        return f"ws://127.0.0.1:{self._port}/{role}/{session}?{query}"


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
        self.addCleanup(child.kill)
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
