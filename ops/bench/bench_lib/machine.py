"""What the figures were measured on."""

import os
import platform
import subprocess
import time
from pathlib import Path

from .peers import MODULES, REPOSITORY, Peer, bun
from .processes import cores

VERSIONS = "import autobahn, twisted; print(twisted.__version__, autobahn.__version__)"


def facts(python: str) -> dict[str, str]:
    """The machine and the versions, each as one line of text."""
    server, load = cores()
    twisted, _, autobahn = _output([python, "-c", VERSIONS]).partition(" ")
    git = ["git", "-C", str(REPOSITORY)]
    changed = " with changes" if _output([*git, "status", "--porcelain", "apptuner_relay"]) else ""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "cores": f"server on {server}, load generator on {load}",
        "memory": f"{_memory_gib():.1f} GiB",
        "kernel": platform.release(),
        "load average": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        "relay": _output([*git, "rev-parse", "--short", "HEAD"]) + changed,
        "python": _output([python, "-VV"]),
        "twisted": twisted,
        "autobahn": autobahn,
        "node": _output(["node", "--version"]),
        "ws": _output(["node", "-p", f"require('{MODULES}/ws/package.json').version"]),
        "bufferutil": _output(["node", "-p", f"require('{MODULES}/bufferutil/package').version"]),
        "bun": _output([str(bun()), "--version"]),
        "gcc": _output(["gcc", "-dumpfullversion"]),
    }


def earlier(peers: list[Peer]) -> dict[str, str]:
    """The same of the build that the relay is compared with, if there is one."""
    said = {}
    for peer in peers:
        python = str(peer.checkout / ".venv" / "bin" / "python")
        twisted, _, autobahn = _output([python, "-c", VERSIONS]).partition(" ")
        said[peer.name] = f"{peer.title}, twisted {twisted}, autobahn {autobahn}"
    return said


def _output(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    return result.stdout.strip() if result.returncode == 0 else "?"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
