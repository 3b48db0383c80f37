"""Issue 3's targets, and whether the medians meet them."""

from dataclasses import dataclass

from .peers import BUN, FLOOR, LEAN, RELAY
from .results import Results


@dataclass(frozen=True)
class Target:
    """The relay's figure is at most `limit` times another's, or `limit` itself."""

    case: str
    figure: str
    limit: float
    against: str = ""
    """Another server, or with a slash this relay's figure in another case."""
    strictly: bool = False


@dataclass(frozen=True)
class Verdict:
    target: Target
    measured: float | None
    """In the target's terms: a ratio where there is something to compare with."""

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        if self.target.strictly:
            return self.measured < self.target.limit
        return self.measured <= self.target.limit

    def short(self) -> str:
        """For the table's last column."""
        if self.measured is None:
            return f"{self._than()}: not measured"
        sign = "<" if self.target.strictly else "≤"
        if self.met:
            return f"{self._than()} {self.measured:.2f} {sign} {self.target.limit:g}: met"
        over = self.measured / self.target.limit - 1
        return (
            f"{self._than()} {self.measured:.2f}, not {sign} {self.target.limit:g}: "
            f"MISSED by {over:.0%}"
        )

    def as_dict(self) -> dict[str, object]:
        target = self.target
        return {
            "case": target.case,
            "figure": target.figure,
            "against": target.against or None,
            "limit": target.limit,
            "measured": self.measured,
            "met": self.met,
        }

    def _than(self) -> str:
        return f"÷ {self.target.against}" if self.target.against else "itself"


_ONE_PHONE = [
    Target(f"bundle-1-{script}", "cpu", limit, against)
    for script in ("single", "chunks")
    for against, limit in ((LEAN, 0.5), (BUN, 0.6), (FLOOR, 1.6))
]
_FIVE_PHONES = [Target(f"bundle-5-{script}", "cpu", 0.9, LEAN) for script in ("single", "chunks")]
_SMALL = [
    Target(f"small-{pairs}", "cpu", limit, against)
    for pairs in (1, 8)
    for against, limit in ((LEAN, 0.3), (BUN, 1.0))
]
_LATENCY = [
    Target(f"latency-{script}", "p99", 1.0, LEAN, strictly=True) for script in ("single", "chunks")
]
TARGETS = [
    *_ONE_PHONE,
    *_FIVE_PHONES,
    *_SMALL,
    Target("stalled", "memory", 0.3, strictly=True),
    Target("stalled-five", "memory", 0.3, strictly=True),
    *_LATENCY,
    Target("deflated", "cpu", 0.3, "bundle-1-single/"),
]


def verdicts(results: Results) -> list[Verdict]:
    """Every target whose case was in this run."""
    ran = {case.name for case in results.cases}
    return [Verdict(target, _measured(target, results)) for target in TARGETS if target.case in ran]


def _measured(target: Target, results: Results) -> float | None:
    own = results.median(RELAY, target.case, target.figure)
    if own is None or not target.against:
        return own
    if target.against.endswith("/"):
        other = results.median(RELAY, target.against[:-1], target.figure)
    else:
        other = results.median(target.against, target.case, target.figure)
    return own / other if other else None
