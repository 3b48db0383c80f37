"""The targets that issues have set for this relay, and whether the medians meet them."""

from dataclasses import dataclass

from .cases import NEIGHBOURS
from .peers import BEFORE, BUN, FLOOR, LEAN, RELAY
from .results import Results


@dataclass(frozen=True)
class Target:
    """The relay's figure is at most `limit` times another's, or `limit` itself."""

    issue: int
    case: str
    figure: str
    limit: float
    against: str = ""
    """Another server, or with a slash this relay's figure CASE/FIGURE."""
    strictly: bool = False

    @property
    def server(self) -> str | None:
        """Who has to be measured beside this relay."""
        return self.against if self.against and "/" not in self.against else None

    def of(self, peer: str, results: Results) -> float | None:
        """What a server reaches, in the target's terms: a ratio where there is something to
        compare with."""
        own = results.median(peer, self.case, self.figure)
        if own is None or not self.against:
            return own
        other = self.base(peer, results)
        return own / other if other else None

    def base(self, peer: str, results: Results) -> float | None:
        """What a server's figure is compared with."""
        if "/" in self.against:
            case, _, figure = self.against.partition("/")
            return results.median(peer, case, figure)
        return results.median(self.against, self.case, self.figure)


@dataclass(frozen=True)
class Verdict:
    target: Target
    title: str
    unit: str
    value: float | None
    """The relay's own figure."""
    base: float | None
    """What it is compared with."""
    measured: float | None
    """In the target's terms."""
    before: float | None
    """The same of the earlier build."""

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        if self.target.strictly:
            return self.measured < self.target.limit
        return self.measured <= self.target.limit

    @property
    def sign(self) -> str:
        return "<" if self.target.strictly else "≤"

    def says(self) -> str:
        if self.measured is None:
            return "not measured"
        if self.met:
            return "met"
        times = self.measured / self.target.limit
        return f"MISSED by {times - 1:.0%}" if times < 10 else f"MISSED: {times:.0f} times that"

    def as_dict(self) -> dict[str, object]:
        target = self.target
        return {
            "issue": target.issue,
            "case": target.case,
            "figure": target.figure,
            "against": target.against or None,
            "limit": target.limit,
            "value": self.value,
            "measured": self.measured,
            "before": self.before,
            "met": self.met,
        }


_NEIGHBOURS = [
    Target(12, "neighbours", f"{what}-{kind}", limit, f"neighbours/{what}-alone")
    for what, limit in (("delay", 1.2), ("upload", 1.1))
    for kind in NEIGHBOURS
]
TARGETS = [
    Target(18, "accept", "cpu", 1.0, LEAN),
    Target(18, "started", "memory", 45),
    Target(18, "storm", "cpu", 1.2, LEAN),
    Target(18, "storm", "p99", 50),
    Target(18, "small-1-turns", "cpu", 1.1, LEAN),
    Target(18, "small-8-unpaced", "cpu", 0.3, LEAN),
    Target(18, "small-8", "cpu", 0.3, LEAN),
    *_NEIGHBOURS,
    Target(12, "bundle-1-single", "cpu", 1.15, FLOOR),
    Target(12, "bundle-1-chunks", "cpu", 1.4, FLOOR),
    Target(12, "bundle-5-single", "cpu", 1.05, FLOOR),
    Target(12, "bundle-1-single", "cpu", 0.7, LEAN),
    Target(12, "bundle-1-chunks", "cpu", 0.75, BUN),
    Target(12, "deflated-both", "cpu", 0.9, BEFORE),
    Target(12, "pong-beside-deflated", "p99", 8),
    Target(12, "loop-lag", "p99", 20),
    *(Target(12, f"slow-line-{script}", "max", 3) for script in ("single", "chunks")),
    Target(12, "stalled", "memory", 0.1),
    Target(12, "stalled-five", "memory", 0.1),
    Target(3, "bundle-5-chunks", "cpu", 0.9, LEAN),
    *(
        Target(3, f"small-{pairs}", "cpu", limit, against)
        for pairs in (1, 8)
        for against, limit in ((LEAN, 0.3), (BUN, 1.0))
        if (pairs, against) != (8, LEAN)
    ),
    *(
        Target(3, f"latency-{script}", "p99", 1.0, LEAN, strictly=True)
        for script in ("single", "chunks")
    ),
    Target(3, "deflated", "cpu", 0.3, "bundle-1-single/cpu"),
    Target(18, "idle", "memory", 8),
    Target(18, "idle-10k", "core", 2),
]
"""Where two issues have set one for the same figure against the same server, the later counts."""


def verdicts(results: Results) -> list[Verdict]:
    """Every target whose case was in this run."""
    figures = {(case.name, f.name): f for case in results.cases for f in case.figures}
    found = []
    for target in TARGETS:
        figure = figures.get((target.case, target.figure))
        if figure is None:
            continue
        base = target.base(RELAY, results) if target.against else None
        found.append(
            Verdict(
                target,
                figure.title,
                figure.unit,
                results.median(RELAY, target.case, target.figure),
                base,
                target.of(RELAY, results),
                target.of(BEFORE, results),
            )
        )
    return found
