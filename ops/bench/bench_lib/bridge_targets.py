"""The targets for what crosses a bridge between two relays, and whether medians meet them."""

from dataclasses import dataclass
from statistics import median

from .table import aligned, number

ISSUE = 18


@dataclass(frozen=True)
class BridgeTarget:
    """The CPU of both relays together is at most `limit` times that of one relay alone."""

    name: str
    title: str
    unit: str
    limit: float
    script: str | None
    """The load generator's bundle; None for small messages."""


TARGETS = [
    BridgeTarget("single", "15 MB bundle, one message", "CPU s/GB", 1.4, "single"),
    BridgeTarget("chunks", "15 MB bundle, chunks", "CPU s/GB", 1.4, "chunks"),
    BridgeTarget("small", "200 bytes both ways, in bursts", "CPU µs/message", 1.3, None),
]


def target_table(wanted: list[BridgeTarget], figures: dict[str, dict[str, list[float]]]) -> str:
    """A line for each target: medians, the ratio of the medians and the least and most ratio of a
    round, and the verdict.

    :param figures: by the target's name, what each round has measured ``local`` and ``bridged``.
    """
    rows = [["targets", "unit", "local", "bridged", "ratio", "in rounds", "target", "issue", ""]]
    for target in wanted:
        local, bridged = figures[target.name]["local"], figures[target.name]["bridged"]
        ratio = median(bridged) / median(local)
        rounds = [b / a for a, b in zip(local, bridged, strict=True)]
        says = "met" if ratio <= target.limit else f"MISSED by {ratio / target.limit - 1:.0%}"
        row = [target.title, target.unit, number(median(local)), number(median(bridged))]
        row += [number(ratio), f"{min(rounds):.2f}-{max(rounds):.2f}"]
        rows.append([*row, f"≤ {target.limit:g}", str(ISSUE), says])
    return aligned(rows, left=2, left_too=(len(rows[0]) - 1,))
