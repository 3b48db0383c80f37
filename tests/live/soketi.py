"""A real Pusher-compatible server for tests: Soketi, on free ports of 127.0.0.1.

It is installed into soketi/ by ops/test. It is a tool of the tests and nothing else: nobody
maintains it any more, so it listens on this machine only, and ops/audit, which asks about what the
relay runs on, does not ask about it.
In soketi/package-lock.json, the replacement of its binary stands where Soketi asks for an address
at GitHub, as npm below 10 can't read an override of an address. Write that line again when the
lock is written anew.
"""

import json
import shutil
import signal
import socket
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlencode

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.live.ports import free_port
from tests.live.processes import Child, Reply, http, within_patience

FOLDER = Path(__file__).resolve().parent / "soketi"
SERVER = FOLDER / "node_modules/@soketi/soketi/bin/server.js"
KEY, SECRET, APP_ID = "relay-key", "relay-secret", "1"
"""Of the application that allows everything."""
FIRST_FRAME_S = 5.0
"""In which a server with its binary has greeted whoever connects."""


def missing_soketi() -> str | None:
    """Why tests with Soketi can't run here, if they can't; of its binary it is found out later."""
    if shutil.which("node") is None:
        return "needs Node: ops/test installs it"
    if not (FOLDER / "node_modules/.package-lock.json").exists():
        return f"needs `npm ci --ignore-scripts` in {FOLDER}: ops/test does it"
    return None


class Application(dict[str, Any]):
    """What one application may do, in the words of Soketi's configuration."""

    def __init__(self, number: int, key: str, secret: str, **more: Any) -> None:
        super().__init__(id=str(number), key=key, secret=secret, enableClientMessages=True, **more)


APPLICATIONS = (
    Application(1, KEY, SECRET),
    # As Pusher's own service limits one.
    Application(2, "slow-key", "slow-secret", maxClientEventsPerSecond=10, maxEventPayloadInKb=10),
    Application(3, "quiet-key", "quiet-secret") | {"enableClientMessages": False},
    Application(4, "full-key", "full-secret", maxConnections=1),
)


class SoketiProcess:
    """A Soketi server, which can be ended, frozen, and started again on the same port."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="apptuner-soketi-"))
        self.port = free_port()
        self._configuration = self.folder / "soketi.json"
        # Left to itself it listens on every address, and broadcasts.
        settings = {
            "host": "127.0.0.1",
            "port": self.port,
            "metrics.enabled": False,
            "metrics.host": "127.0.0.1",
            "cluster.address": "127.0.0.1",
            "cluster.unicast": "127.0.0.1",
            "cluster.port": _free_udp_port(),
            "shutdownGracePeriod": 200,
            "appManager.array.apps": APPLICATIONS,
        }
        self._configuration.write_text(json.dumps(settings))
        self.child: Child | None = None

    def url(self, key: str = KEY, app_id: str = APP_ID, **query: str) -> str:
        """The address for ``--managed``."""
        asked = f"?{urlencode(query)}" if query else ""
        return f"pusher://{key}@127.0.0.1:{self.port}/{app_id}{asked}"

    async def start(self) -> None:
        """Start it; it greets clients when this returns.

        :raises SkipTest: its binary does not fit this version of Node.
        """
        up: Deferred[None] = Deferred()

        def line(text: str) -> None:
            if "HTTP API server is available" in text and not up.called:
                up.callback(None)

        command = ["node", str(SERVER), "start", f"--config={self._configuration}"]
        self.child = child = Child(command, self.folder, on_line=line)
        child.over().addCallback(
            lambda _: up.called or up.errback(AssertionError(f"did not start: {child!r}"))
        )
        await within_patience(up, lambda: repr(child))
        ready = await self.get("/ready")
        assert (ready.status, ready.body) == (200, "OK"), ready
        if not await self._greets():
            await self.kill()
            raise SkipTest(await _no_binary())

    async def _greets(self) -> bool:
        """Whether it greets a client.

        Without its binary it falls back to JavaScript, which answers HTTP only.
        """
        greeted: Deferred[bool] = Deferred()
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{self.port}/app/{KEY}?protocol=7")
        factory.protocol = _Greeted
        factory.greeted = greeted
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)  # type: ignore[no-untyped-call]
        connection = await within_patience(endpoint.connect(factory), lambda: repr(self.child))
        greeted.addTimeout(FIRST_FRAME_S, reactor)  # type: ignore[arg-type]
        greeted.addErrback(_is_timeout)
        try:
            return await greeted
        finally:
            connection.transport.abortConnection()

    async def get(self, path: str) -> Reply:
        """What it answers over HTTP."""
        return await http(f"tcp:127.0.0.1:{self.port}", path)

    async def kill(self) -> None:
        """Kill -9."""
        await self._end("KILL")

    async def stop(self) -> None:
        """SIGTERM: it closes its clients with 4200, and ends."""
        await self._end("TERM")

    async def _end(self, name: str) -> None:
        if self.child is not None:
            self.child.signal(name)
            await within_patience(self.child.over(), lambda: repr(self.child))

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self.child is not None
        self.child.signal("STOP")

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.child is not None
        self.child.process.signalProcess(signal.SIGCONT)

    async def remove(self) -> None:
        """End it, and take its files away."""
        await self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Greeted(WebSocketClientProtocol):
    """A client that waits for the first frame."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not self.factory.greeted.called:
            self.factory.greeted.callback(b"pusher:connection_established" in payload)


def _is_timeout(failure: Failure) -> bool:
    failure.trap(TimeoutError)
    return False


async def _no_binary() -> str:
    script = "[process.version, process.platform, process.arch, process.versions.modules]"
    version = Child(["node", "-p", f"{script}.join(' ')"])
    await within_patience(version.over(), lambda: repr(version))
    return (
        "Node ABI: Soketi's binary is for Node 16, 18 and 20 (ABI 93, 108, 115) on x64 and arm64, "
        f"and this is Node {version.out.strip()}"
    )


def _free_udp_port() -> int:
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
