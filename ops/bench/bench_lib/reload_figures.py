"""What the bench of reloads has measured, as a table and as targets. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

MOST_EVERYDAY_BYTES = 1024
MOST_BYTES = 60_000
MOST_CPU = 0.5
MOST_DIFF_MS = 250
MOST_LAG_MS = 20
TIMES_FASTER = {True: 15, False: 60}
"""By whether the phone takes compressed messages; over 10 Mbit/s up and 20 down, for 15 MB."""
TARGET_LINK, TARGET_BYTES = "10/20", 15_000_000


@dataclass
class Reload:
    """What reloads of one kind took: of each, one figure."""

    up_bytes: list[int] = field(default_factory=list)
    down_bytes: list[int] = field(default_factory=list)
    relay_s: list[float] = field(default_factory=list)
    """CPU of the relay's process, all threads."""
    worker_s: list[float] = field(default_factory=list)
    """CPU of its worker process."""

    @property
    def cpu_s(self) -> float:
        """The median of both together."""
        return median(map(sum, zip(self.relay_s, self.worker_s, strict=True)))

    def cells(self) -> list[str]:
        """As cells of the table."""
        return [
            f"{median(self.up_bytes):,.0f}",
            f"{median(self.down_bytes):,.0f}",
            f"{1000 * median(self.relay_s):.1f}",
            f"{1000 * median(self.worker_s):.1f}",
        ]


@dataclass
class Timed:
    """How long reloads over a line took, in seconds, by what was sent."""

    link: str
    """Megabits a second: up/down."""
    deflates: bool
    whole_s: list[float]
    patch_s: list[float]

    @property
    def times(self) -> float:
        """How many times faster patches are."""
        return median(self.whole_s) / median(self.patch_s)


@dataclass
class Lag:
    """How late pongs were while something went on, in ms."""

    what: str
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class ReloadTarget:
    name: str
    value: float
    limit: float
    is_least: bool = False
    """Whether the limit is the least, instead of the most."""

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    def cells(self) -> list[str]:
        """As cells of the table."""
        sign = "≥" if self.is_least else "≤"
        return [
            self.name,
            f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}",
            f"{sign} {self.limit:g}",
            "met" if self.met else "MISSED",
        ]


@dataclass
class ReloadFigures:
    """All that one run has measured. Reloads are by the name of the edit, and by whether the phone
    takes compressed messages."""

    size: int
    """Bytes of the base bundle."""
    everyday: list[str]
    whole: dict[tuple[str, bool], Reload] = field(default_factory=dict)
    patched: dict[tuple[str, bool], Reload] = field(default_factory=dict)
    relayed: dict[tuple[str, bool], Reload] = field(default_factory=dict)
    """The CLI sends the whole, and the relay makes the patch."""
    diff_ms: dict[str, float] = field(default_factory=dict)
    """CPU of finding the edits."""
    timed: list[Timed] = field(default_factory=list)
    lags: list[Lag] = field(default_factory=list)

    def cpu_ratio(self, deflates: bool) -> float:
        """A patched everyday reload's CPU, of a whole one's."""
        edits = [(name, deflates) for name in self.everyday]
        patched = median(self.patched[edit].cpu_s for edit in edits)
        return patched / median(self.whole[edit].cpu_s for edit in edits)

    def targets(self) -> list[ReloadTarget]:
        """Those of what was measured."""
        legs = {
            name: max(*reload.up_bytes, *reload.down_bytes)
            for (name, _), reload in self.patched.items()
        }
        found = [
            ReloadTarget(
                "everyday edits: bytes of the larger leg",
                max(legs[name] for name in self.everyday),
                MOST_EVERYDAY_BYTES,
            ),
            ReloadTarget("worst edit: bytes of the larger leg", max(legs.values()), MOST_BYTES),
        ]
        for timed in self.timed:
            if timed.link == TARGET_LINK:
                least = TIMES_FASTER[timed.deflates]
                name = f"{timed.link} Mbit/s, {compression(timed.deflates)}: times faster"
                found.append(ReloadTarget(name, timed.times, least, True))
        for deflates in (True, False):
            name = f"the relay's CPU, of a whole reload's, {compression(deflates)}"
            found.append(ReloadTarget(name, self.cpu_ratio(deflates), MOST_CPU))
        found.append(
            ReloadTarget("finding the edits, ms of CPU", max(self.diff_ms.values()), MOST_DIFF_MS)
        )
        for lag in self.lags[1:]:
            found.append(ReloadTarget(f"loop lag, {lag.what}: p99, ms", lag.p99_ms, MOST_LAG_MS))
        return found

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        kinds = {"whole": self.whole, "patched": self.patched, "relayed": self.relayed}
        return {
            "size": self.size,
            **{
                kind: [
                    {"edit": name, "deflates": deflates, **asdict(reload)}
                    for (name, deflates), reload in reloads.items()
                ]
                for kind, reloads in kinds.items()
            },
            "diff_ms": self.diff_ms,
            "timed": [asdict(timed) | {"times": timed.times} for timed in self.timed],
            "lags": [asdict(lag) for lag in self.lags],
            "targets": [asdict(one) | {"met": one.met} for one in self.targets()],
        }

    def report(self) -> str:
        """As text."""
        reloads = [["edit", "sent", "phone", "up, bytes", "down, bytes", "relay, ms", "worker, ms"]]
        for kind, those in (
            ("whole", self.whole),
            ("patch", self.patched),
            ("whole, patched by the relay", self.relayed),
        ):
            for (name, deflates), reload in those.items():
                reloads.append([name, kind, compression(deflates), *reload.cells()])
        times = [["up/down Mbit/s", "phone", "whole, ms", "patch, ms", "times faster"]]
        for one in self.timed:
            whole, patch = 1000 * median(one.whole_s), 1000 * median(one.patch_s)
            cells = [f"{whole:,.0f}", f"{patch:,.0f}", f"{one.times:.0f}"]
            times.append([one.link, compression(one.deflates), *cells])
        lags = [["pongs", "p99, ms", "longest, ms"]]
        lags += [[lag.what, f"{lag.p99_ms:.1f}", f"{lag.max_ms:.1f}"] for lag in self.lags]
        diffs = [["finding the edits", "CPU, ms"]]
        diffs += [[name, f"{ms:.1f}"] for name, ms in self.diff_ms.items()]
        targets = [["target", "measured", "limit", ""], *(one.cells() for one in self.targets())]
        head = f"A bundle of {self.size / 1e6:.1f} MB. CPU and sizes are medians of a reload."
        if self.size < TARGET_BYTES:
            head += " The targets of times are for 15 MB: --size 15."
        return "\n\n".join([head, *map(_table, (reloads, times, lags, diffs, targets))])


def compression(deflates: bool) -> str:
    """How the table names a phone."""
    return "deflate" if deflates else "plain"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` don't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
