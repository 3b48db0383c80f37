"""The processes of a run: relays, Redis and the clients, each on its host."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from chaos_lib.network import ROUTER, Network

REDIS_PORT = 6379
RELAY_PORT = 3000
DRAIN_S = 20
"""The relays' ``--drain-timeout``."""
STOP_LIMIT_S = DRAIN_S + 5
"""Within which a relay that is stopped has to have ended."""
START_LIMIT_S = 60.0
SECRET = "only-for-this-run"
SIGNS_OF_ERRORS = ("Traceback", "Unhandled", "THE SPOOL IS OFF")
REDIS_FULL_BYTES = 1
READ_LIMIT_BYTES = 1024 * 1024


class Failed(Exception):
    """The run can't go on; for people."""


class Process:
    """A program on a host, which can be ended and started again. Its output goes to a file."""

    def __init__(self, network: Network, host: str, command: list[str], out: Path) -> None:
        self.host = host
        self._command = [*network.within(host), *command]
        self._out: IO[bytes] = out.open("ab")
        self.path = out
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, ready: str, env: dict[str, str] | None = None) -> None:
        """Start it, and wait until a line of its output has this text.

        :raises Failed: it ended before, or takes very long.
        """
        begins = self.path.stat().st_size
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdout=self._out, stderr=self._out, env=env
        )
        give_up_s = time.monotonic() + START_LIMIT_S
        while ready.encode() not in self.path.read_bytes()[begins:]:
            if self.process.returncode is not None or time.monotonic() > give_up_s:
                raise Failed(f"{self.host} did not start: see {self.path}")
            await asyncio.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def over(self) -> int:
        """Its exit status, when it has ended."""
        assert self.process is not None
        return await self.process.wait()

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.over()


class Redis(Process):
    """``redis-server``, which keeps nothing on disk."""

    def __init__(self, network: Network, out: Path) -> None:
        server = shutil.which("redis-server")
        if server is None:
            raise Failed("needs Debian's redis-server: ops/test installs it")
        self.address = network.address["redis"]
        command = [server, "--bind", self.address, "--port", str(REDIS_PORT)]
        command += ["--protected-mode", "no", "--save", "", "--appendonly", "no"]
        super().__init__(network, "redis", command, out)
        self._network = network

    async def command(self, *words: str) -> None:
        """Send a command, from its own host."""
        lines = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        script = (
            "import socket, sys\n"
            f"s = socket.create_connection(({self.address!r}, {REDIS_PORT}), 10)\n"
            f"s.sendall({f'*{len(words)}'!r}.encode() + b'\\r\\n' + {lines!r}.encode())\n"
            "s.settimeout(10); s.recv(1000)\n"
        )
        command = [*self._network.within("redis"), sys.executable, "-c", script]
        process = await asyncio.create_subprocess_exec(*command)
        await process.wait()


class Relay(Process):
    """``twistd -n apptuner-relay`` of this checkout."""

    def __init__(
        self,
        network: Network,
        name: str,
        options: list[str],
        twistd: list[str],
        env: dict[str, str],
        out: Path,
    ) -> None:
        address = f"{network.address[name]}:{RELAY_PORT}"
        self.url = f"ws://{address}"
        self._env = env
        redis = f"redis://{network.address['redis']}:{REDIS_PORT}"
        command = [*twistd, "apptuner-relay"]
        command += ["--listen", f"tcp:{RELAY_PORT}:interface={network.address[name]}"]
        command += ["--redis", redis, "--cluster-secret", SECRET, "--node", name]
        command += ["--node-address", self.url, "--drain-timeout", str(DRAIN_S)]
        # All clients of a session are one address here.
        command += ["--connect-rate", "0", "--failed-joins", "0", "--tune", "failed-joins-total=0"]
        super().__init__(network, name, [*command, *options], out)
        self._starting = asyncio.Lock()

    async def up(self) -> None:
        """Start it, unless it runs: a stop may have taken until another fault's turn. Returns when
        it listens, also where it was being started for an earlier fault, which takes a while on a
        busy machine."""
        async with self._starting:
            if self.process is None or self.process.returncode is not None:
                await self.start("listening on", self._env)

    def errors(self) -> list[str]:
        """What its log has that none should have."""
        text = self.path.read_text(errors="replace")
        return [
            f"{sign!r} is {text.count(sign)} times in {self.path}"
            for sign in SIGNS_OF_ERRORS
            if sign in text
        ]


class Clients:
    """clients.mjs: takes orders, says what happens."""

    def __init__(
        self, network: Network, script: Path, out: Path, on_event: Callable[[dict[str, Any]], None]
    ) -> None:
        node = shutil.which("node")
        if node is None:
            raise Failed("needs Node: ops/test installs it")
        self._command = [*network.within(ROUTER), node, str(script)]
        self._out = out.open("wb")
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=READ_LIMIT_BYTES,
        )
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            self._out.write(line)
            self._on_event(json.loads(line))

    def order(self, op: str, **what: Any) -> None:
        assert self._process is not None and self._process.stdin is not None
        if self._process.returncode is not None:
            raise Failed("the clients have ended")
        self._process.stdin.write(json.dumps({"op": op, **what}).encode() + b"\n")

    async def stop(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        self._out.close()
