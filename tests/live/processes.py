"""The processes of the live tests: any command, and a relay started through twistd.

Nothing here waits by the clock: every wait is for output of a process or for its end. `PATIENCE_S`
bounds the way to a failure, which then shows what was seen.
"""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import error, reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.live.forked_relays import can_fork, forge

PATIENCE_S = float(os.environ.get("APPTUNER_TEST_PATIENCE_S", "30"))
REPOSITORY = Path(__file__).resolve().parents[2]
KIB = 1024
MIB = 1024 * 1024
TWISTD_OPTIONS = ("-n", "--pidfile=")

T = TypeVar("T")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it runs in the background ignore SIGINT, and so would relays.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Child(ProcessProtocol):
    """A process: its output by line, and its end."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path = REPOSITORY,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda line: None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        self.out = ""
        self.err = ""
        self.exit_code: int | None = None
        self.exit_signal: int | None = None
        self._argv = argv
        self._on_line = on_line
        self._pending = b""
        self._ends: list[Deferred[None]] = []
        self.is_over = False
        self.process: Any = self.spawn(argv, cwd, os.environ if env is None else env, sockets)
        self.pid: int = self.process.pid

    def spawn(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        sockets: Sequence[socket.socket],
    ) -> Any:
        """Start the process."""
        # What it inherits has the numbers that systemd gives, from 3 on.
        inherited = {3 + n: one.fileno() for n, one in enumerate(sockets)}
        return reactor.spawnProcess(  # type: ignore[attr-defined]
            self,
            argv[0],
            argv,
            env=dict(env),
            path=str(cwd),
            childFDs={0: "w", 1: "r", 2: "r", **inherited},
        )

    def write_line(self, line: str) -> None:
        self.transport.write(line.encode() + b"\n")  # type: ignore[union-attr]

    def signal(self, name: str) -> None:
        """``TERM``, ``KILL``, ``STOP``, ``CONT``…"""
        if not self.is_over:
            self.process.signalProcess(getattr(signal, f"SIG{name}"))

    async def end(self) -> None:
        """End one that ends with its standard input, and see that it had nothing to complain of."""
        if not self.is_over:
            self.process.closeStdin()
        try:
            await within_patience(self.over(), lambda: f"goes on: {self!r}")
        finally:
            self.signal("KILL")
        assert self.exit_code == 0 and not self.err, repr(self)

    async def kill(self) -> None:
        """End it by SIGKILL, if it goes on, and wait until it has gone: trial takes what is left of
        it for a fault of the test."""
        self.signal("KILL")
        await within_patience(self.over(), lambda: f"goes on: {self!r}")

    def over(self) -> Deferred[None]:
        """Fires when the process has ended and all of its output has been read."""
        done: Deferred[None] = Deferred()
        if self.is_over:
            done.callback(None)
        else:
            self._ends.append(done)
        return done

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode("utf-8", "replace")
        self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode("utf-8", "replace")

    def processEnded(self, reason: Failure) -> None:
        self.is_over = True
        if isinstance(reason.value, error.ProcessTerminated):
            self.exit_code, self.exit_signal = reason.value.exitCode, reason.value.signal
        else:
            self.exit_code = 0
        ends, self._ends = self._ends, []
        for done in ends:
            done.callback(None)

    def __repr__(self) -> str:
        state = f"exit {self.exit_code}, signal {self.exit_signal}" if self.is_over else "running"
        return f"{' '.join(self._argv)} ({state})\n--- out\n{self.out}\n--- err\n{self.err}"


class ForkedChild(Child):
    """twistd in a process that didn't have to import it."""

    def spawn(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        sockets: Sequence[socket.socket],
    ) -> Any:
        """See `Child`."""
        return forge().fork(self, argv, cwd, env)


def within_patience(waiting: Deferred[T], explain: Callable[[], str]) -> Deferred[T]:
    """`waiting`, which fails with `explain()` if nothing comes for very long."""

    def give_up(failure: Failure) -> Failure:
        failure.trap(TimeoutError)
        return Failure(AssertionError(f"nothing for {PATIENCE_S:g} s. {explain()}"))

    waiting.addTimeout(PATIENCE_S, reactor)  # type: ignore[arg-type]
    return waiting.addErrback(give_up)  # type: ignore[return-value]


async def run(
    argv: Sequence[str], cwd: Path = REPOSITORY, env: Mapping[str, str] | None = None
) -> Child:
    """Run a command to its end."""
    child = Child(argv, cwd, env)
    try:
        await within_patience(child.over(), lambda: repr(child))
    finally:
        child.signal("KILL")
    return child


def checkout_env(checkout: Path = REPOSITORY, **more: str) -> dict[str, str]:
    """The environment in which the code of a checkout, this one, is what Python imports."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("APPTUNER_")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), env.get("PYTHONPATH")]))
    # A test's relay leaves nothing in the home of who runs it.
    env["APPTUNER_STATE_DIR"] = "off"
    return env | more


def twistd_command(python: str = sys.executable) -> list[str]:
    """twistd without its script, which may stand anywhere."""
    run = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
    return [python, "-c", run, *TWISTD_OPTIONS]


def _passing_on(sockets: Sequence[socket.socket], names: str | None) -> list[str]:
    """What goes before a command that is to find these as sd_listen_fds(3) has it."""
    if not sockets:
        return []
    if names is None:
        names = ":".join(["relay"] * len(sockets))
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(sockets)} LISTEN_FDNAMES={names} exec "$@"'
    return ["/bin/sh", "-c", script, "sh"]


class RelayProcess:
    """``twistd -n apptuner-relay`` from this checkout.

    :param host: where it listens.
    :param within: a command that runs another one.
    :param sockets: listening sockets that it inherits, as from systemd.
    :param names: of those, with colons between them; all are called "relay" unless it is given.
    :param checkout: whose code it runs.
    """

    def __init__(
        self,
        options: Sequence[str],
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
        sockets: Sequence[socket.socket] = (),
        names: str | None = None,
        checkout: Path = REPOSITORY,
    ) -> None:
        self._host = host
        self._lines: list[str] = []
        self._watches: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._is_stopped = False
        self.port = 0
        environment = checkout_env(checkout, **(env or {}))
        arguments = [*TWISTD_OPTIONS, "apptuner-relay", *options]
        if within or sockets or checkout != REPOSITORY or not can_fork(environment):
            before = [*within, *_passing_on(sockets, names)]
            self.child = Child(
                [*before, *twistd_command(), *arguments[len(TWISTD_OPTIONS) :]],
                # Which is where Python looks for modules first.
                cwd=checkout,
                env=environment,
                on_line=self._line,
                sockets=sockets,
            )
        else:
            self.child = ForkedChild(["twistd", *arguments], env=environment, on_line=self._line)

    @property
    def log(self) -> str:
        return self.child.out

    async def listening(self) -> None:
        found = await self.logged(rf"listening on \S*?{re.escape(self._host)}:(\d+)")
        self.port = int(found.group(1))

    async def logged(self, pattern: str) -> re.Match[str]:
        """The first log line, past or to come, in which `pattern` is found."""
        compiled = re.compile(pattern)
        for line in self._lines:
            if found := compiled.search(line):
                return found
        watch: Deferred[re.Match[str]] = Deferred()
        self._watches.append((compiled, watch))

        def ended(_: None) -> None:
            if not watch.called:
                watch.errback(AssertionError(f"ended before it logged {pattern}: {self.child!r}"))

        self.child.over().addCallback(ended)
        return await within_patience(watch, lambda: f"no {pattern}: {self.child!r}")

    def _line(self, line: str) -> None:
        self._lines.append(line)
        for compiled, watch in self._watches:
            if not watch.called and (found := compiled.search(line)):
                watch.callback(found)

    def url(self, role: str, session: str, query: str = "") -> str:
        return f"ws://{self._host}:{self.port}/{role}/{session}" + (f"?{query}" if query else "")

    async def get(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> "Reply":
        """An HTTP request, plain."""
        return await http(f"tcp:127.0.0.1:{self.port}", path, method, headers or {})

    async def raw(self, request: str) -> bytes:
        """All that a connection brings on which just this was sent."""
        return await exchange(f"tcp:127.0.0.1:{self.port}", request)

    def rss(self) -> int:
        """Resident memory now, in bytes."""
        return self._status("VmRSS")

    def peak_rss(self) -> int:
        """The most resident memory since the start or `reset_peak`, in bytes."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, status
        return int(found.group(1)) * KIB

    def forget(self) -> None:
        """It was ended on purpose, and not as an operator would."""
        self._is_stopped = True

    async def stop(self) -> None:
        """End it as an operator would, and see that it had nothing to complain of."""
        if self._is_stopped:
            return
        self._is_stopped = True
        was_over = self.child.is_over
        self.child.signal("TERM")
        try:
            await within_patience(self.child.over(), lambda: f"SIGTERM ignored: {self.child!r}")
        finally:
            self.child.signal("KILL")
        for sign in ("Traceback", "Unhandled"):
            for output in (self.child.out, self.child.err):
                assert sign not in output, repr(self.child)
        # twistd ends itself by the signal that it was stopped with.
        calm = self.child.exit_code == 0 or self.child.exit_signal == signal.SIGTERM
        assert calm and not was_over, repr(self.child)


@dataclass
class Reply:
    """An HTTP response: to a plain request, or to a handshake that was refused."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(endpoint: str, request: str) -> bytes:
    """Send ``request`` through an endpoint; all that comes until the connection is closed."""
    protocol = _Exchange()
    connecting = connectProtocol(clientFromString(reactor, endpoint), protocol)
    await within_patience(connecting, lambda: f"no connection to {endpoint}")
    protocol.ask(request)
    return await within_patience(protocol.over, lambda: f"{request!r}: {protocol.received!r}")


async def http(
    endpoint: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str = "",
) -> Reply:
    """An HTTP request through an endpoint, and every header of the reply as it came."""
    fields = {"Host": "relay", "Connection": "close", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body.encode()))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    raw = await exchange(endpoint, "\r\n".join([*lines, "", body]))
    head, _, content = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode("ascii").split("\r\n")
    pairs = (field.split(": ", 1) for field in rest)
    return Reply(
        int(status.split()[1]), {name.lower(): value for name, value in pairs}, content.decode()
    )


class _Exchange(Protocol):
    """A request, and all that comes until the connection is closed."""

    def __init__(self) -> None:
        self.received = b""
        self.over: Deferred[bytes] = Deferred()

    def ask(self, request: str) -> None:
        self.transport.write(request.encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.over.called:
            self.over.callback(self.received)
