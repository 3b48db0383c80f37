"""What ops/bench/cores measures, and what follows of it for more cores. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

CORES = (1, 2, 4, 8)

HAPROXY = """
global
    maxconn 9500
    nbthread 1

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 3m

frontend relay
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend relays

backend relays
    # As ops/haproxy/haproxy.cfg has it.
    balance hash path,field(3,/)
    hash-type consistent
{servers}
"""


def haproxy_config(port: int, relays: Sequence[int]) -> str:
    """A HAProxy that sends all clients of a session to one of the relays at these ports."""
    servers = "\n".join(f"    server relay{n} 127.0.0.1:{own}" for n, own in enumerate(relays, 1))
    return HAPROXY.format(port=port, servers=servers).lstrip()


class CoresWork(NamedTuple):
    """What the sessions do, a CLI and a phone each."""

    name: str
    what: str
    sessions: int
    log_every_s: float
    bundle_every_s: float = 0


WORKS = (
    CoresWork("logs", "a log line every second from each phone", 4000, 1),
    CoresWork("bundles", "a log line every 5 s, 15 MB every 30 s", 100, 5, 30),
)


class CoresRun(NamedTuple):
    """What each part took of one core, while all sessions were served."""

    sessions: int
    relays: tuple[float, ...]
    balancer: float = 0.0
    redis: float = 0.0

    @property
    def total(self) -> float:
        """All of it, in cores."""
        return sum(self.relays) + self.balancer + self.redis

    @property
    def per_core(self) -> float:
        """How many such sessions a core serves, of which balancer and Redis have their part."""
        return self.sessions / self.total

    @property
    def uneven(self) -> float:
        """How much more the busiest relay has to do than the mean one: 1.0 for no more."""
        return max(self.relays) * len(self.relays) / sum(self.relays)


def run_of(
    sessions: int, wall_s: float, cpu_s: Mapping[str, float], relays: Sequence[str]
) -> CoresRun:
    """A run of what the processes took, by name, in seconds."""
    return CoresRun(
        sessions,
        tuple(cpu_s[name] / wall_s for name in relays),
        cpu_s.get("haproxy", 0.0) / wall_s,
        cpu_s.get("redis", 0.0) / wall_s,
    )


def middle(runs: Sequence[CoresRun]) -> CoresRun:
    """The medians of several runs of the same."""
    relays = tuple(median(column) for column in zip(*(run.relays for run in runs), strict=True))
    return CoresRun(
        runs[0].sessions,
        relays,
        median(run.balancer for run in runs),
        median(run.redis for run in runs),
    )


def expected(cores: int, alone: CoresRun, shared: CoresRun) -> float:
    """How many sessions so many cores serve, if all of them are busy: one relay alone on one core;
    on more, relays, the balancer and Redis, which share the cores between them. How unevenly
    sessions are spread takes its part: where the busiest relay is full, others have room."""
    if cores == 1:
        return alone.per_core
    return cores * shared.per_core / shared.uneven


def cores_table(runs: Mapping[str, CoresRun]) -> str:
    """What was measured, as text."""
    lines = [
        f"{'':<36} {'relays':>14} {'balancer':>9} {'Redis':>7} {'together':>9} "
        f"{'a core serves':>14}"
    ]
    for title, run in runs.items():
        relays = " + ".join(f"{share:.1%}" for share in run.relays)
        lines.append(
            f"{title:<36} {relays:>14} {run.balancer:>9.1%} {run.redis:>7.1%} {run.total:>9.1%} "
            f"{run.per_core:>14,.0f}"
        )
    return "\n".join(lines)
