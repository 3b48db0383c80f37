"""Relays that start quickly: a process that has imported all that a relay needs forks one.

Importing takes 0.7 s of a core, and the live tests start some thousand relays. A forked one is the
relay in every other way: ``twistd`` reads its command line, and it has its own process, environment
and output. Tests of the start itself, and of what Python reads before it imports anything, start
relays by themselves (`processes.RelayProcess`).

That process is `relay_forge`, which takes orders on a socket of packets.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.process import ProcessReader
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.live.relay_forge import ORDER_BYTES

_BEFORE_IMPORTS = ("LANG", "LC_", "LD_", "MALLOC_", "OPENSSL_", "PYTHON", "SSL_")
"""How variables begin that are read before, or while, a relay's modules are imported."""


def can_fork(env: Mapping[str, str]) -> bool:
    """Whether a relay in this environment is the same as one that imports its modules in it."""

    root = str(Path(__file__).resolve().parents[2])

    def read(environment: Mapping[str, str]) -> dict[str, object]:
        found: dict[str, object] = {
            name: value
            for name, value in environment.items()
            if name.startswith(_BEFORE_IMPORTS) and name != "PYTHONPATH"
        }
        # Modules of other places, such as a sitecustomize that sets the clock.
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        return {**found, "other places": {path for path in paths if path not in ("", root)}}

    return read(env) == read(os.environ)


@implementer(IReadDescriptor)
class Forge:
    """The process that forks relays. It ends with this one."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._running: dict[int, ForkedProcess] = {}
        command = [sys.executable, "-m", "tests.live.relay_forge", str(theirs.fileno())]
        root = Path(__file__).resolve().parents[2]
        env = {**os.environ, "PYTHONPATH": str(root)}
        self._process = subprocess.Popen(
            command, cwd=root, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()

    def fork(
        self, protocol: ProcessProtocol, argv: Sequence[str], cwd: Path, env: Mapping[str, str]
    ) -> "ForkedProcess":
        """Fork a process in which ``twistd`` is run with ``argv``."""
        order = json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env)}).encode()
        out, err = os.pipe(), os.pipe()
        for fd in (out[0], err[0]):
            os.set_blocking(fd, False)
        socket.send_fds(self._control, [order], [out[1], err[1]])
        os.close(out[1])
        os.close(err[1])
        pid = 0
        while not pid:
            news = json.loads(self._control.recv(ORDER_BYTES))
            pid = news.get("forked", 0)
            if not pid:
                self._ended(**news)
        process = ForkedProcess(protocol, pid, out[0], err[0])
        if not self._running:
            # Only then: trial takes what is read between tests for a leak.
            reactor.addReader(self)  # type: ignore[attr-defined]
        self._running[pid] = process
        return process

    def _ended(self, ended: int, status: int) -> None:
        process = self._running.pop(ended)
        if not self._running:
            reactor.removeReader(self)  # type: ignore[attr-defined]
        process.ended(status)

    # IReadDescriptor

    def doRead(self) -> None:
        """A relay has ended."""
        self._ended(**json.loads(self._control.recv(ORDER_BYTES)))

    def fileno(self) -> int:
        """Of the socket of orders."""
        return self._control.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """Nobody loses it."""

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "forge"


class ForkedProcess:
    """A relay's process, as ``reactor.spawnProcess`` would return it; it has no standard input."""

    def __init__(self, protocol: ProcessProtocol, pid: int, out: int, err: int) -> None:
        self.pid = pid
        self._protocol = protocol
        self._status: int | None = None
        self.pipes = {
            name: ProcessReader(reactor, self, name, fd) for name, fd in ((1, out), (2, err))
        }
        """Its standard output and error."""
        protocol.makeConnection(self)  # type: ignore[arg-type]

    def signalProcess(self, which: int | str) -> None:
        """Send it a signal: its number, or its name without ``SIG``.

        :raises ProcessExitedAlready: it has ended.
        """
        if self._status is not None:
            raise ProcessExitedAlready()
        os.kill(self.pid, getattr(signal, f"SIG{which}") if isinstance(which, str) else which)

    def closeStdin(self) -> None:
        """It has none."""

    def childDataReceived(self, name: int, data: bytes) -> None:
        """Called by its readers."""
        self._protocol.childDataReceived(name, data)

    def childConnectionLost(self, name: int, reason: Failure) -> None:
        """Called by its readers."""
        os.close(self.pipes.pop(name).fileno())
        self._look_whether_over()

    def ended(self, status: int) -> None:
        """It has ended, with this status of wait(2)."""
        self._status = status
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._status is None or self.pipes:
            return
        code = os.waitstatus_to_exitcode(self._status)
        why: Exception = ProcessDone(self._status)
        if code < 0:
            why = ProcessTerminated(signal=-code, status=self._status)
        elif code:
            why = ProcessTerminated(exitCode=code, status=self._status)
        self._protocol.processEnded(Failure(why))


_forge: Forge | None = None


def forge() -> Forge:
    """The one of this process."""
    global _forge
    if _forge is None:
        _forge = Forge()
    return _forge
