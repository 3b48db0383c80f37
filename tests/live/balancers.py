"""The load balancers of ops/: Debian's, each run with the file that is shipped.

What ties that file to a machine (ports, certificates, the relays' addresses, users, logs) is put in
place of what the file says, and nothing else; where it no longer says so, the test fails.
"""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from tests.certificates import Authority
from tests.live.ports import free_port
from tests.live.processes import (
    PATIENCE_S,
    REPOSITORY,
    Child,
    RelayProcess,
    Reply,
    checkout_env,
    http,
    within_patience,
)

HOST = "127.0.0.1"
_STARTS = 3
_LOOK_INTERVAL_S = 0.02


def program(name: str) -> str | None:
    """Where a balancer is, if it is here. ops/test puts them beside Python."""
    return shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)


class Balancer:
    """A balancer in the foreground, before some relays, with TLS."""

    name: str
    shipped: str
    """The configuration's path below ops/."""
    logged = ""
    """How a CLI's handshake shows in its log."""
    quiet: tuple[str, ...] = ()
    """What its file calls the times after which it ends a WebSocket on which nothing passes."""
    in_turn: tuple[str, str]
    """The change that has it take the relays in turn, whatever the session."""

    def __init__(self, relays: Sequence[RelayProcess]) -> None:
        self.folder = Path(mkdtemp(prefix=f"apptuner-{self.name}-"))
        self.relays = relays
        authority = Authority()
        pair = authority.issue(names=(HOST,))
        self.certificate, self.key = self.folder / "certificate.pem", self.folder / "key.pem"
        self.certificate.write_bytes(pair.chain)
        self.key.write_bytes(pair.key)
        self._trusted = self.folder / "trusted"
        self._trusted.mkdir()
        (self._trusted / "authority.pem").write_bytes(authority.pem)
        self.port = self.plain_port = 0
        self.changes: list[tuple[str, str]] = []
        """What a test wants to have otherwise than it is shipped."""
        self.child: Child | None = None

    @property
    def ca(self) -> str:
        """What its clients have to trust."""
        return self.authority.read_text()

    @property
    def authority(self) -> Path:
        """The file of that."""
        return self._trusted / "authority.pem"

    def route_api(self, port: int) -> None:
        """Put to use what routes the Node relay's other paths to a program at ``port``, as the
        file says that it is done."""
        self.changes += [("~(?m)^#api ", ""), (f"{HOST}:4000", f"{HOST}:{port}")]

    def url(self, role: str, session: str, query: str = "") -> str:
        return f"wss://{HOST}:{self.port}/{role}/{session}" + (f"?{query}" if query else "")

    async def get(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str = "",
    ) -> Reply:
        """An HTTPS request."""
        endpoint = f"tls:{HOST}:{self.port}:trustRoots={self._trusted}"
        return await http(endpoint, path, method, {"Host": HOST, **(headers or {})}, body)

    async def get_plain(self, path: str) -> Reply:
        """An HTTP request."""
        return await http(f"tcp:{HOST}:{self.plain_port}", path)

    async def start(self) -> None:
        """Start it; it takes connections when this returns."""
        for attempt in range(_STARTS):
            self.port, self.plain_port = free_ports(2)
            text = (REPOSITORY / "ops" / self.shipped).read_text()
            for before, after in self.changes:
                text = replaced(text, before, after)
            path = self.folder / Path(self.shipped).name
            path.write_text(self.fit(text))
            self.child = Child(self.command(path), self.folder, self.env())
            if await self._accepts(self.child):
                return
            is_last = attempt == _STARTS - 1
            assert "in use" in self.said() and not is_last, f"did not start: {self!r}"

    def fit(self, text: str) -> str:
        """The configuration for this machine and this test."""
        raise NotImplementedError

    def command(self, path: Path) -> list[str]:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        return checkout_env()

    def said(self) -> str:
        """All that it has written to its logs."""
        assert self.child is not None
        logs = [path.read_text() for path in sorted(self.folder.glob("*.log"))]
        return "\n".join([self.child.out, self.child.err, *logs])

    async def stop_process(self) -> None:
        """End it."""
        if self.child is None:
            return
        try:
            # nginx has processes of its own, which end with it if it is asked.
            self.child.signal("TERM")
            await within_patience(self.child.over(), lambda: f"goes on: {self!r}")
        finally:
            self.child.signal("KILL")

    async def stop(self) -> None:
        """End it, and take its files away."""
        try:
            await self.stop_process()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _accepts(self, child: Child) -> bool:
        """Wait until both ports are listened on; False if it ends."""
        for port in (self.port, self.plain_port):
            for _ in range(int(PATIENCE_S / _LOOK_INTERVAL_S)):
                if child.is_over:
                    return False
                if await can_connect(port):
                    break
                await deferLater(reactor, _LOOK_INTERVAL_S)  # type: ignore[arg-type]
            else:
                raise AssertionError(f"does not listen: {self!r}")
        return not child.is_over

    def __repr__(self) -> str:
        return f"{self.name}: {self.child!r}\n--- logs\n{self.said()}"


class Nginx(Balancer):
    name = "nginx"
    shipped = "nginx/nginx.conf"
    logged = "GET /cli/... 101 "
    quiet = ("proxy_read_timeout", "proxy_send_timeout", "send_timeout")
    in_turn = ("        hash $relay_session consistent;\n", "")

    def fit(self, text: str) -> str:
        temporary = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        relays = "".join(
            f"        server {HOST}:{relay.port} max_fails=1 fail_timeout=5s;\n"
            for relay in self.relays
        )
        return replace_all(
            text,
            ("user www-data;\n", ""),
            ("pid /run/nginx.pid;", f"pid {self.folder}/nginx.pid;\ndaemon off;"),
            ("/var/log/nginx/", f"{self.folder}/"),
            ("http {\n", f"http {{\n{temporary}"),
            (r"~(        server 127\.0\.0\.1:300\d max_fails=1 fail_timeout=5s;\n)+", relays),
            ("listen 80;", f"listen {HOST}:{self.plain_port};"),
            ("listen 443 ssl;", f"listen {HOST}:{self.port} ssl;"),
            ("        listen [::]:80;\n", ""),
            ("        listen [::]:443 ssl;\n", ""),
            ("/etc/ssl/relay/fullchain.pem", str(self.certificate)),
            ("/etc/ssl/relay/privkey.pem", str(self.key)),
        )

    def command(self, path: Path) -> list[str]:
        # Until it has read the file it would use what it was built for.
        return [str(program("nginx")), "-c", str(path), "-p", str(self.folder), "-e", "stderr"]


class HAProxy(Balancer):
    name = "haproxy"
    shipped = "haproxy/haproxy.cfg"
    logged = "GET kind=cli 101 "
    quiet = ("timeout tunnel",)
    in_turn = (
        "    balance hash path,field(3,/)\n    hash-type consistent\n",
        "    balance roundrobin\n",
    )

    def fit(self, text: str) -> str:
        both = self.folder / "both.pem"
        both.write_text(self.certificate.read_text() + self.key.read_text())

        def servers(more: str = "") -> str:
            return "".join(
                f"    server relay{number} {HOST}:{relay.port}{more.format(number)}\n"
                for number, relay in enumerate(self.relays, 1)
            )

        return replace_all(
            text,
            # It would not start where it can't have the descriptors for them.
            ("maxconn 20000", "maxconn 500"),
            ("log /dev/log local0", "log stdout format raw local0"),
            ("    user haproxy\n", ""),
            ("    group haproxy\n", ""),
            ("    chroot /var/lib/haproxy\n", ""),
            ("/run/haproxy/admin.sock", f"{self.folder}/admin.sock"),
            ("bind :::80 v4v6", f"bind {HOST}:{self.plain_port}"),
            ("bind :::443 v4v6", f"bind {HOST}:{self.port}"),
            ("/etc/haproxy/relay.pem", str(both)),
            (r"~(    server relay\d 127\.0\.0\.1:300\d\n)+", servers()),
            (
                r"~(    server relay\d 127\.0\.0\.1:300\d track relays/relay\d\n)+",
                servers(" track relays/relay{}"),
            ),
        )

    def command(self, path: Path) -> list[str]:
        return [str(program("haproxy")), "-db", "-f", str(path)]


class Caddy(Balancer):
    name = "caddy"
    shipped = "caddy/Caddyfile"
    in_turn = ("lb_policy header X-Relay-Session", "lb_policy round_robin")

    def fit(self, text: str) -> str:
        # Its own interface would be on a port that is the same for every Caddy of a machine.
        ports = f"\tadmin off\n\thttp_port {self.plain_port}\n\thttps_port {self.port}\n"
        return replace_all(text, ("{\n\t# Paths hold", f"{{\n{ports}\t# Paths hold"))

    def command(self, path: Path) -> list[str]:
        return [str(program("caddy")), "run", "--config", str(path), "--adapter", "caddyfile"]

    def env(self) -> dict[str, str]:
        relays = " ".join(f"{HOST}:{relay.port}" for relay in self.relays)
        return checkout_env(
            HOME=str(self.folder),
            XDG_DATA_HOME=str(self.folder),
            XDG_CONFIG_HOME=str(self.folder),
            RELAY_SITE=HOST,
            RELAYS=relays,
            RELAY_APP=relays,
            RELAY_TLS=f"tls {self.certificate} {self.key}",
        )


def replace_all(text: str, *changes: tuple[str, str]) -> str:
    for before, after in changes:
        text = replaced(text, before, after)
    return text


def replaced(text: str, before: str, after: str) -> str:
    """``before`` is a regular expression if it begins with a ``~``."""
    pattern = before[1:] if before.startswith("~") else re.escape(before)
    text, count = re.subn(pattern, lambda _: after, text)
    assert count, f"the shipped file does not say {before!r}"
    return text


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


async def can_connect(port: int) -> bool:
    """Whether somebody listens there."""
    connecting = connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{port}"), Protocol())
    try:
        protocol = await connecting
    except ConnectError:
        return False
    protocol.transport.abortConnection()
    return True
