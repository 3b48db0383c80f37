"""Starting servers and the load generator, each on its core, and ending them whatever
happens."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
START_SECONDS = 30
STOP_SECONDS = 5
SETTLE_SECONDS = 0.3
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


class Failed(Exception):
    """A server did not start, or the load generator did not finish a case."""


def cores() -> tuple[int, int]:
    """The server's core and the load generator's, as far as this machine has two."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[SERVER_CORE], usable[min(LOAD_CORE, len(usable) - 1)]


def free_port() -> int:
    """A port nobody listens on, below the range that outgoing connections use."""
    for _ in range(100):
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("no free port between 20000 and 30000")


@contextmanager
def server(
    command: list[str],
    port: int,
    says_ready: bool,
    log: Path,
    env: dict[str, str],
    cwd: Path,
    on: set[int] | None = None,
) -> Iterator[list[int]]:
    """Run a server for the length of a `with`, on the server's core or those of ``on``; gives the
    ids of its processes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        start = output.tell()
        where = on or {cores()[0]}
        process = _start(command, where, stdout=output, stderr=output, env=env, cwd=cwd)
        try:
            _wait_until_ready(process, port, says_ready, log, start)
            yield [process.pid, *_lasting_children(process.pid)]
        finally:
            _stop(process)


def load(
    command: list[str],
    timeout_s: float,
    on: set[int] | None = None,
    told: Callable[[str], None] = lambda key: None,
) -> dict[str, float]:
    """Run the load generator to its end, on its core or those of ``on``; its results by name.

    :param told: called with the name of each result, when it comes.
    """
    process = _start(command, on or {cores()[1]}, stdout=subprocess.PIPE, text=True)
    overdue = threading.Timer(timeout_s, process.kill)
    overdue.start()
    results = {}
    try:
        for line in process.stdout or ():
            key, _, value = line.rstrip("\n").partition(" ")
            if key == "error":
                raise Failed(value)
            results[key] = float(value)
            told(key)
        process.wait()
    finally:
        is_overdue = not overdue.is_alive()
        overdue.cancel()
        _stop(process)
    if is_overdue:
        raise Failed(f"the load generator took more than {timeout_s:g} s")
    if process.returncode:
        raise Failed(f"the load generator ended with {process.returncode}")
    return results


def _start(command: list[str], on: set[int], **options: object) -> subprocess.Popen:
    def in_child() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, on)

    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=in_child, start_new_session=True, **options
    )


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(
    process: subprocess.Popen, port: int, says_ready: bool, log: Path, start: int
) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Failed(f"the server ended with {process.returncode}: see {log}")
        if _ready(port, says_ready, log, start):
            return
        time.sleep(0.05)
    raise Failed(f"the server was not ready in {START_SECONDS} s: see {log}")


def _ready(port: int, says_ready: bool, log: Path, start: int) -> bool:
    if says_ready:
        return b"ready" in log.read_bytes()[start:]
    # What a relay runs while it starts is not to be taken for a part of it: it has ended when the
    # relay answers.
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def _lasting_children(pid: int) -> list[int]:
    """The ids of a server's processes but for those that soon end: a relay may ask git which commit
    it is."""
    before = descendants(pid)
    time.sleep(SETTLE_SECONDS)
    return [child for child in descendants(pid) if child in before]


def descendants(pid: int) -> list[int]:
    """The ids of all processes that a process has started, and those have."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
