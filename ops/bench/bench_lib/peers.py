"""The servers that are compared, and what has to be built or installed for them."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .earlier import Build

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent.parent
PEERS = BENCH / "peers"
MODULES = PEERS / "node_modules"

RELAY = "relay"
BEFORE = "before"
NO_SPOOL = "relay-no-spool"
OURS = (RELAY, BEFORE, NO_SPOOL)
LEAN = "node-lean"
BUN = "bun-lean"
FLOOR = "floor"


@dataclass(frozen=True)
class Peer:
    """One server: how it is called and how it is started on a port."""

    name: str
    title: str
    command: Callable[[int], list[str]]
    says_ready: bool = True
    env: dict[str, str] = field(default_factory=dict)
    by_default: bool = True
    """Takes part when --only names nobody."""
    checkout: Path = REPOSITORY
    """Whose modules it imports, if it is one of ours; the folder it runs in."""


def peers(python: str, relay_args: str, output: Path, earlier: Build | None) -> list[Peer]:
    """All servers, in the order of the table's columns."""

    def relay(*more: str, bin_: Path = Path(python).parent) -> Callable[[int], list[str]]:
        def command(port: int) -> list[str]:
            listen = f"tcp:{port}:interface=127.0.0.1"
            base = [str(bin_ / "twistd"), "-n", "--pidfile=", "apptuner-relay", "--listen", listen]
            # The cases send more messages than any client may.
            base += ["--state-dir", "off", "--message-rate", "0"]
            return [*base, *more, *shlex.split(relay_args)]

        return command

    def script(program: str, name: str) -> Callable[[int], list[str]]:
        return lambda port: [program, str(PEERS / name), str(port)]

    return [
        Peer(RELAY, "this relay", relay(), says_ready=False),
        Peer(
            NO_SPOOL,
            "no spool",
            relay("--spool-dir", "off"),
            says_ready=False,
            by_default=False,
        ),
        *(
            Peer(
                BEFORE,
                f"before ({build.name})",
                relay(bin_=build.programs),
                says_ready=False,
                checkout=build.checkout,
            )
            for build in ([earlier] if earlier else [])
        ),
        Peer(LEAN, "lean Node", script("node", "node_lean.mjs")),
        Peer(
            "node-plain",
            "lean, plain ws",
            script("node", "node_lean.mjs"),
            env={"WS_NO_BUFFER_UTIL": "1"},
            by_default=False,
        ),
        Peer(BUN, "lean Bun", lambda port: script(str(bun()), "bun_lean.mjs")(port)),
        Peer("autobahn", "Autobahn", script(python, "autobahn_message.py")),
        Peer("node-today", "today's Node", script("node", "node_today.mjs")),
        Peer(FLOOR, "floor in C", lambda port: [str(output / "floor"), str(port)]),
    ]


def environment(peer: Peer) -> dict[str, str]:
    """What a server sees: its checkout's package and none of the operator's settings."""
    ours = ("APPTUNER_", "WS_NO_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**env, "PYTHONPATH": str(peer.checkout), **peer.env}


def bun() -> Path:
    """Bun's program: linked by its package's install script, or where npm unpacked it."""
    linked = MODULES / ".bin" / "bun"
    unpacked = sorted(MODULES.glob("@oven/bun-linux-*/bin/bun"))
    return unpacked[0] if unpacked else linked


def build(output: Path) -> None:
    """Compile the C programs and install the npm packages that are missing."""
    build_load(output)
    _compile(output / "floor", [PEERS / "floor.c"])
    if not all((MODULES / name).is_dir() for name in ("ws", "bufferutil")) or not bun().exists():
        npm = shutil.which("npm")
        if not npm:
            raise SystemExit("npm is needed once, to install the Node and Bun peers")
        subprocess.run([npm, "ci"], cwd=PEERS, check=True)


def build_load(output: Path) -> Path:
    """Compile the load generator; returns the program."""
    output.mkdir(parents=True, exist_ok=True)
    program = output / "load"
    _compile(program, sorted(BENCH.glob("*.c")))
    return program


def _compile(program: Path, sources: list[Path]) -> None:
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]
    command = ["gcc", *flags, "-o", str(program), *map(str, sources), "-lm"]
    subprocess.run(command, check=True)
