"""What ops/bench/growth measures, and whether it is flat. Pure."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from .curves import Curve

SIZES = (10, 100, 1000, 5000)
"""Sessions, each a CLI and a phone."""
RESIDENT = 20
"""So many more are there before, and count for nothing."""
LOW_SHARE = 0.2
"""Of the rate of messages, the lower one."""
LIMIT = 0.10
"""By how much the highest of the figures may be above the lowest."""


class GrowthRow(NamedTuple):
    """What was measured with so many sessions."""

    sessions: int
    message_us: float
    """CPU time of one message more."""
    session_kib: float
    """Memory of a session."""
    upkeep_us_per_s: float
    """CPU time in each second of a session that says nothing."""


def read_growth(sessions: int, raw: Mapping[str, float]) -> GrowthRow:
    """A row of what the load generator printed."""
    idle_share = raw["idle_cpu_s"] / raw["idle_wall_s"]
    # What sessions take by themselves is in both, and so is what a turn of the loop takes.
    share = raw["cpu_s"] / raw["wall_s"] - raw["low_cpu_s"] / raw["low_wall_s"]
    rate = raw["messages"] / raw["wall_s"] - raw["low_messages"] / raw["low_wall_s"]
    return GrowthRow(
        sessions,
        share / rate * 1e6,
        (raw["rss_settled_kib"] - raw["rss_before_kib"]) / sessions,
        idle_share / (sessions + RESIDENT) * 1e6,
    )


def medians(rows: Sequence[GrowthRow]) -> list[GrowthRow]:
    """One row for each number of sessions, the fewest first."""
    return [
        GrowthRow(size, *(median(column) for column in list(zip(*those, strict=True))[1:]))
        for size in sorted({row.sessions for row in rows})
        if (those := [row for row in rows if row.sessions == size])
    ]


def spread(values: Sequence[float]) -> float:
    """By how much the highest is above the lowest: 0.1 for a tenth."""
    least = min(values)
    return max(values) / least - 1 if least > 0 else float("inf")


def verdict(title: str, rows: Sequence[GrowthRow], figure: Callable[[GrowthRow], float]) -> str:
    """Whether a figure is flat, in a line."""
    values = [figure(row) for row in rows]
    apart = spread(values)
    said = "met" if apart <= LIMIT else f"MISSED by {apart - LIMIT:.0%}"
    few, many = rows[0], rows[-1]
    grown = figure(many) / figure(few) - 1 if figure(few) > 0 else float("inf")
    return (
        f"{title}: {apart:.0%} between the lowest and the highest (at most {LIMIT:.0%}: {said}); "
        f"{many.sessions:,} sessions against {few.sessions:,}: {grown:+.0%}"
    )


def growth_curves(rows: Sequence[GrowthRow]) -> list[Curve]:
    """What is drawn; x is the number of sessions."""
    return [
        Curve("CPU of a message", "µs", [(row.sessions, row.message_us) for row in rows]),
        Curve("memory of a session", "KiB", [(row.sessions, row.session_kib) for row in rows]),
        Curve("upkeep of a session", "µs/s", [(row.sessions, row.upkeep_us_per_s) for row in rows]),
    ]


def growth_table(rows: Sequence[GrowthRow]) -> str:
    """The table, as text."""
    lines = [f"{'sessions':>8}  {'CPU of a message':>16}  {'memory':>10}  {'upkeep':>12}"]
    lines += [
        f"{row.sessions:>8,}  {row.message_us:>13.1f} µs  {row.session_kib:>6.1f} KiB  "
        f"{row.upkeep_us_per_s:>7.1f} µs/s"
        for row in rows
    ]
    return "\n".join(lines)
