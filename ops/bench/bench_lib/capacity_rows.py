"""What ops/bench/capacity measures, and the table that it makes. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

RESERVED_FILES = 1200
"""What a relay reserves of its file descriptors, and some that are open besides."""
PING_EVERY_S = 25
LOG_EVERY_S = 5
KIB_PER_MIB = 1024
LEAST_FOR_A_SHARE = 1000
"""Of fewer sessions, what the relay takes by itself would count as theirs."""


class CapacityCase(NamedTuple):
    """One row: so many sessions, each a CLI and a phone, that do so much."""

    sessions: int
    log_every_s: float = 0
    """Every phone logs a line so often; 0 for never."""
    bundle_every_s: float = 0
    """Every CLI sends a bundle so often; 0 for never."""

    @property
    def what(self) -> str:
        """What its sessions do."""
        if self.bundle_every_s:
            return f"15 MB every {_span(self.bundle_every_s)}"
        return f"a log line every {_span(self.log_every_s)}" if self.log_every_s else "idle"

    @property
    def name(self) -> str:
        """As `--only` names it."""
        kind = "bundles" if self.bundle_every_s else "logs" if self.log_every_s else "idle"
        return f"{kind}-{self.sessions}"


CASES = (
    *(CapacityCase(sessions) for sessions in (100, 1000, 5000, 10_000)),
    *(CapacityCase(sessions, log_every_s=LOG_EVERY_S) for sessions in (100, 1000, 5000, 10_000)),
    CapacityCase(100, LOG_EVERY_S, bundle_every_s=120),
    CapacityCase(1000, LOG_EVERY_S, bundle_every_s=600),
    CapacityCase(1000, LOG_EVERY_S, bundle_every_s=240),
)


class CapacityRow(NamedTuple):
    """What was measured of a case."""

    case: CapacityCase
    sessions: int
    cpu_share: float
    """CPU time over the time that has passed: 1.0 is one core."""
    lag_p99_s: float
    memory_bytes: int
    base_memory_bytes: int
    """Before the first client."""
    mb_per_s: float
    bundle_mean_s: float | None
    """From the first byte that a CLI sends to the last that its phone gets; None without any."""


def sessions_that_fit(wanted: int, files: int) -> int:
    """How many sessions a relay, and one load generator, may have with so many open files."""
    most = (files - RESERVED_FILES) // 2
    return wanted if wanted <= most else most // 100 * 100


def quantile(share: float, before: Mapping[float, float], after: Mapping[float, float]) -> float:
    """A quantile of what a histogram has counted between two scrapes, as `histogram_quantile` of
    Prometheus estimates it.

    :param before: how many were at most each bound; infinity counts all.
    """
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = max(counts.values(), default=0.0)
    low, below = 0.0, 0.0
    for bound, count in counts.items():
        if total and count >= share * total:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (share * total - below) / max(count - below, 1.0)
        low, below = bound, count
    return 0.0


def read_row(
    case: CapacityCase, sessions: int, raw: Mapping[str, float], lag_s: float
) -> CapacityRow:
    """A row of what the load generator printed."""
    return CapacityRow(
        case,
        sessions,
        raw["cpu_s"] / raw["wall_s"],
        lag_s,
        round(raw["rss_kib"] * 1024),
        round(raw["rss_before_kib"] * 1024),
        raw["bytes"] / raw["wall_s"] / 1e6,
        raw["mean_s"] if raw["arrived"] else None,
    )


def render(rows: Iterable[CapacityRow]) -> str:
    """The table, as Markdown."""
    lines = [
        "| each session | sessions | sent | CPU of one core | for 1,000 sessions | loop lag, p99 | "
        "memory | a session | a bundle takes |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: CapacityRow) -> str:
    each_kib = (row.memory_bytes - row.base_memory_bytes) / 1024 / row.sessions
    mib = row.memory_bytes / 1024 / KIB_PER_MIB
    took = "" if row.bundle_mean_s is None else f"{row.bundle_mean_s:.2f} s"
    cells = (
        row.case.what,
        f"{row.sessions:,}",
        f"{row.mb_per_s:.1f} MB/s" if row.mb_per_s >= 0.05 else "",
        f"{row.cpu_share:.1%}",
        f"{row.cpu_share * 1000 / row.sessions:.1%}" if row.sessions >= LEAST_FOR_A_SHARE else "",
        f"{row.lag_p99_s * 1000:.0f} ms",
        f"{mib:,.0f} MiB",
        f"{each_kib:.0f} KiB",
        took,
    )
    return f"| {' | '.join(cells)} |"


def _span(seconds: float) -> str:
    if seconds < 60 or seconds % 60:
        return f"{seconds:g} s"
    return "minute" if seconds == 60 else f"{seconds / 60:g} min"


def replace_between(page: str, begin: str, end: str, text: str) -> str:
    """``page`` with ``text`` between two lines that it has.

    :raises ValueError: it lacks one of them.
    """
    head, found, rest = page.partition(f"{begin}\n")
    _, closed, tail = rest.partition(f"{end}\n")
    if not found or not closed:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{head}{begin}\n{text}{end}\n{tail}"
