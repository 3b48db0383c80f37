"""Redis servers and Sentinels for tests: Debian's, on free ports of 127.0.0.1 or a UNIX socket."""

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import mkdtemp

from twisted.internet.defer import Deferred

from tests.live.ports import free_port
from tests.live.processes import Child, within_patience

SERVER = shutil.which("redis-server")
SENTINEL = shutil.which("redis-sentinel")


def missing_redis() -> str | None:
    """Why tests with Redis can't run here, if they can't."""
    return None if SERVER and SENTINEL else "needs Debian's redis-server and redis-sentinel"


class RedisProcess:
    """A ``redis-server`` that keeps nothing on disk, unless told to, and can be started again."""

    def __init__(self, *options: str, tls: bool = False) -> None:
        self.folder = Path(mkdtemp(prefix="apptuner-redis-"))
        self.port = free_port()
        self.socket = self.folder / "redis.sock"
        self._tls = tls
        self._options = options
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, empty or with what it saved; it is ready when this returns."""
        assert SERVER is not None
        port = ["--port", "0", "--tls-port", str(self.port)] if self._tls else []
        common = ["--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        local = ["--unixsocket", str(self.socket)]
        mine = port or ["--port", str(self.port)]
        ready: Deferred[None] = Deferred()

        def line(text: str) -> None:
            if "Ready to accept connections" in text and not ready.called:
                ready.callback(None)

        self.child = child = Child([SERVER, *mine, *common, *local, *self._options], on_line=line)
        child.over().addCallback(
            lambda _: ready.called or ready.errback(AssertionError(f"did not start: {child!r}"))
        )
        await within_patience(ready, lambda: repr(child))

    async def kill(self) -> None:
        """Kill -9."""
        if self.child is not None:
            self.child.signal("KILL")
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


class SentinelProcess:
    """A ``redis-sentinel`` that watches one master, named ``relay``."""

    def __init__(self, master: RedisProcess, *lines: str, down_after_ms: int = 500) -> None:
        self.folder = Path(mkdtemp(prefix="apptuner-sentinel-"))
        self.port = free_port()
        self._configuration = self.folder / "sentinel.conf"
        # Sentinel writes to this file what it learns.
        self._configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor relay 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds relay {down_after_ms}\n"
            "sentinel failover-timeout relay 3000\n" + "".join(f"{line}\n" for line in lines)
        )
        self._lines: list[str] = []
        self._watches: list[tuple[str, Deferred[None]]] = []
        self.child: Child | None = None

    async def start(self) -> None:
        """Start it; it knows the master when this returns."""
        assert SENTINEL is not None
        self.child = Child([SENTINEL, str(self._configuration)], on_line=self._line)
        await self.logged("+monitor ")

    async def logged(self, text: str) -> None:
        """Wait until it has logged some text."""
        if any(text in line for line in self._lines):
            return
        watch: Deferred[None] = Deferred()
        self._watches.append((text, watch))
        await within_patience(watch, lambda: f"no {text}: {self.child!r}")

    def _line(self, line: str) -> None:
        self._lines.append(line)
        for text, watch in self._watches:
            if text in line and not watch.called:
                watch.callback(None)

    async def remove(self) -> None:
        """End it, and take its files away."""
        if self.child is not None:
            self.child.signal("KILL")
            await within_patience(self.child.over(), lambda: repr(self.child))
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisClient:
    """A blocking connection for tests that look into a server: replies as RESP2 has them."""

    def __init__(self, place: Path | int) -> None:
        if isinstance(place, int):
            self._socket = socket.create_connection(("127.0.0.1", place))
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(str(place))
        self._socket.settimeout(30)
        self._file = self._socket.makefile("rb")

    def __call__(self, *words: str | int) -> "Reply":
        """Send a command and read its reply.

        :raises RuntimeError: the reply is an error.
        """
        self.send(*words)
        return self.read()

    def send(self, *words: str | int) -> None:
        """Send a command only."""
        encoded = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))

    def read(self) -> "Reply":
        """Read a reply."""
        line = self._file.readline().rstrip(b"\r\n").decode()
        kind, text = line[:1], line[1:]
        if kind == "+":
            return text
        if kind == "-":
            raise RuntimeError(text)
        if kind == ":":
            return int(text)
        if int(text) < 0:
            return None
        if kind == "$":
            return self._file.read(int(text) + 2)[:-2].decode()
        return [self.read() for _ in range(int(text))]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


Reply = str | int | None | list["Reply"]


@contextmanager
def client_of(server: RedisProcess) -> Iterator[RedisClient]:
    """A client of a server for a little while, through its UNIX socket."""
    client = RedisClient(server.socket)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def blocking_server(*options: str) -> Iterator[Path]:
    """A server for tests without a reactor: the path of its UNIX socket."""
    assert SERVER is not None
    folder = Path(mkdtemp(prefix="apptuner-redis-"))
    path = folder / "redis.sock"
    command = [SERVER, "--port", "0", "--unixsocket", str(path), "--save", "", *options]
    process = Popen(command, cwd=folder, stdout=PIPE, text=True)
    try:
        assert process.stdout is not None
        # Ends when the server does, at the latest.
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "ready to accept connections" in line.lower():
                break
        else:
            raise AssertionError(f"{command} did not start: {''.join(seen)}")
        yield path
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)
