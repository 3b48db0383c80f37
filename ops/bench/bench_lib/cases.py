"""What is measured: the cases, how the load generator runs each, and the figures that its
results give."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from .payload import payload_bytes
from .peers import BUN, LEAN, OURS

Raw = dict[str, float]

KIB_PER_MIB = 1024
LATENCY_BYTES_PER_S = 250e6
LEAST_BYTES = 0.9e9
"""Of payload in a measured part: shorter runs mislead by a factor of two."""
MOST_S = 20
"""Even if a server has not moved so much by then."""
PING_GAP_S = 0.005
NEIGHBOUR_LIMIT_S = 20.0
SPARE_FILES = 300
"""Of a process, beside its connections; those of the idle cases' first crowd may still be open."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    title: str
    unit: str
    of: Callable[[Raw], float]
    lower_is_better: bool = True


@dataclass(frozen=True)
class Case:
    """One run of the load generator: its arguments, and for --quick what differs."""

    name: str
    kind: str
    figures: tuple[Figure, ...]
    arguments: dict[str, object] = field(default_factory=dict)
    quick: dict[str, object] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    """The peers that take part; empty for all."""
    both_cores: bool = False
    """The server may use the load generator's core, too."""
    by_default: bool = True
    """Takes part when --cases names nothing."""
    least_bytes: float = 0
    """Fewer make its CPU figures misleading."""
    timeout_s: float = 240
    """For the load generator to end."""

    def files(self, quick: bool) -> int:
        """How many files the server and the load generator open, each of them."""
        options = {**self.arguments, **(self.quick if quick else {})}
        return int(str(options.get("clients", 0))) + SPARE_FILES


def cases(
    scripts: dict[str, Path],
    latency_rate: float = LATENCY_BYTES_PER_S,
    neighbour_limit_s: float = NEIGHBOUR_LIMIT_S,
) -> list[Case]:
    """All cases, in the order of the table."""
    return [
        _started(),
        *(
            _bundle(phones, script, scripts[script])
            for phones in (1, 5)
            for script in ("single", "chunks")
        ),
        _small(1, 128, "small-1", "in bursts"),
        _small(8, 128, "small-8", "in bursts"),
        _small(8, 512, "small-8-unpaced", "without rests", burst=1, pause_us=0),
        _small(8, 16, "small-8-few", "few in flight", burst=4),
        _small(1, 1, "small-1-turns", "one at a time"),
        _small(8, 1, "small-8-turns", "one at a time"),
        _idle("idle", 5000),
        _idle("idle-10k", 10_000, only=OURS),
        _accept(),
        _storm(scripts["small"]),
        _stalled("stalled", scripts["single"], sessions=20, phones=1),
        _stalled("stalled-five", scripts["single"], sessions=60, phones=5),
        *(_latency(script, scripts[script], latency_rate) for script in ("single", "chunks")),
        _deflated("deflated", "deflated bundle, passed through", scripts, phones=1, deflating=1),
        _deflated("inflated", "deflated bundle, phone takes plain", scripts, phones=1, deflating=0),
        _deflated("deflated-both", "deflated bundle, one phone of each", scripts, 2, deflating=1),
        _pong_beside_deflated(scripts),
        _loop_lag("loop-lag", "", scripts["smaller"], both_cores=True),
        _loop_lag("loop-lag-one-core", ", one core", scripts["smaller"], both_cores=False),
        _slow_line("slow-line-single", "one message", scripts["single"]),
        _slow_line("slow-line-chunks", "chunks", scripts["chunks"]),
        _slow_line("slow-line-application", "chunks, application's", scripts["chunks"], control=0),
        _neighbours(scripts["single"], neighbour_limit_s),
    ]


def _per_gb(raw: Raw) -> float:
    return raw["cpu_s"] / raw["bytes"] * 1e9


def _gb_per_s(raw: Raw) -> float:
    return raw["bytes"] / raw["wall_s"] / 1e9


def _bundle(phones: int, script: str, file: Path) -> Case:
    what = "one message" if script == "single" else "chunks"
    to = "1 phone" if phones == 1 else f"{phones} phones"
    title = f"15 MB bundle, {what}, {to}"
    return Case(
        f"bundle-{phones}-{script}",
        "bundle",
        (
            Figure("cpu", f"{title}: CPU", "s/GB", _per_gb),
            Figure("rate", f"{title}: rate", "GB/s", _gb_per_s, False),
        ),
        {
            "phones": phones,
            "script": file,
            "seconds": 2,
            "least": _bundles_for(LEAST_BYTES, payload_bytes(file) * phones),
            "most_s": MOST_S,
        },
        {"seconds": 0.5, "warmup_s": 0.3, "least": 3},
        least_bytes=LEAST_BYTES,
    )


def _bundles_for(wanted_bytes: float, each_bytes: int) -> int:
    return ceil(wanted_bytes / each_bytes)


def _small(pairs: int, window: int, name: str, how: str, **more: object) -> Case:
    title = f"200 bytes, {pairs} pair{'s' * (pairs > 1)}, both ways, {how}"
    return Case(
        name,
        "small",
        (
            Figure("cpu", f"{title}: CPU", "µs/msg", lambda r: r["cpu_s"] / r["messages"] * 1e6),
            Figure("rate", f"{title}: rate", "msg/s", lambda r: r["messages"] / r["wall_s"], False),
            Figure("bunch", f"{title}: to a read", "msg", lambda r: r["messages"] / r["blocks"]),
        ),
        {"pairs": pairs, "window": window, "seconds": 2, "warmup_s": 1, **more},
        {"seconds": 0.5},
    )


def _idle(name: str, clients: int, only: tuple[str, ...] = ()) -> Case:
    def memory(raw: Raw) -> float:
        return (raw["rss_after_kib"] - raw["rss_before_kib"]) / raw["clients"]

    def cpu(raw: Raw) -> float:
        return raw["cpu_s"] / raw["wall_s"] / raw["clients"] * 1e6

    def core(raw: Raw) -> float:
        return raw["cpu_s"] / raw["wall_s"] * 100

    title = "idle connections" if name == "idle" else f"{clients:,} idle connections"
    return Case(
        name,
        "idle",
        (
            Figure("memory", f"{title}: memory each", "KiB", memory),
            Figure("cpu", f"{title}: CPU each", "µs/s", cpu),
            Figure("core", f"{title}: of one core", "%", core),
            Figure(
                "connect-rate", f"{title}: connects", "1/s", lambda r: r["connects_per_s"], False
            ),
            Figure(
                "connect-cpu", f"{title}: CPU of a connect", "µs", lambda r: r["connect_cpu_us"]
            ),
        ),
        {"clients": clients, "seconds": 10},
        {"clients": clients // 5, "seconds": 2},
        only=only,
    )


def _started() -> Case:
    title = "a server that has just started"
    return Case(
        "started",
        "started",
        (
            Figure("memory", f"{title}: memory", "MiB", lambda r: r["rss_kib"] / KIB_PER_MIB),
            Figure("cpu", f"{title}: CPU until then", "ms", lambda r: r["until_ready_s"] * 1e3),
        ),
        only=(*OURS, LEAN, BUN),
    )


def _accept() -> Case:
    title = "a client comes and leaves"

    def each(raw: Raw) -> float:
        return raw["cpu_s"] / raw["clients"] * 1e6

    return Case(
        "accept",
        "accept",
        (
            Figure("cpu", f"{title}: CPU", "µs", each),
            Figure("connect", f"{title}: CPU until welcomed", "µs", lambda r: r["connect_cpu_us"]),
            Figure("leave", f"{title}: CPU from there on", "µs", lambda r: r["leave_cpu_us"]),
        ),
        {"clients": 3000},
        {"clients": 640, "warm": 128},
        only=(*OURS, LEAN, BUN),
    )


def _storm(file: Path) -> Case:
    title = "2,000 clients come back at once, each phone gets 100 kB"

    def each(raw: Raw) -> float:
        return raw["cpu_s"] / raw["clients"] * 1e6

    return Case(
        "storm",
        "storm",
        (
            Figure("cpu", f"{title}: CPU each", "µs", each),
            Figure("p99", f"{title}: a pong meanwhile, p99", "ms", lambda r: r["p99_ms"]),
            Figure("max", f"{title}: longest", "ms", lambda r: r["max_ms"]),
            Figure("took", f"{title}: until all have theirs", "s", lambda r: r["took_s"]),
        ),
        {"clients": 2000, "script": file, "ping_gap_s": PING_GAP_S},
        {"clients": 200},
        only=(*OURS, LEAN, BUN),
    )


def _stalled(name: str, file: Path, sessions: int, phones: int) -> Case:
    def memory(raw: Raw) -> float:
        return (raw["peak_kib"] - raw["rss_before_kib"]) / raw["sessions"] / KIB_PER_MIB

    def taken(raw: Raw) -> float:
        return raw["taken_bytes"] / raw["sessions"] / 1e6

    what = f"{sessions} phones" if phones == 1 else f"{sessions} sessions of {phones} phones"
    return Case(
        name,
        "stalled",
        (
            Figure("memory", f"{what} that do not read: peak memory a session", "MiB", memory),
            Figure("taken", f"{what} that do not read: taken from each CLI", "MB", taken, False),
        ),
        {"sessions": sessions, "phones": phones, "script": file},
    )


def _latency(script: str, file: Path, rate: float) -> Case:
    what = "single messages" if script == "single" else "chunks"
    title = f"200 bytes beside bundles ({what})"
    return Case(
        f"latency-{script}",
        "latency",
        (
            Figure("p50", f"{title}: p50", "ms", lambda r: r["p50_ms"]),
            Figure("p99", f"{title}: p99", "ms", lambda r: r["p99_ms"]),
            Figure("moved", f"{title}: moved", "GB/s", _gb_per_s, False),
        ),
        {"movers": 10, "script": file, "rate": rate, "seconds": 5},
        {"seconds": 1.5},
    )


def _deflated_arguments(scripts: dict[str, Path], phones: int, deflating: int) -> dict[str, object]:
    return {
        "phones": phones,
        "deflating": deflating,
        "script": scripts["deflated"],
        "expect": scripts["single"],
        "deflate": 1,
        "seconds": 2,
        "least": _bundles_for(LEAST_BYTES, payload_bytes(scripts["single"])),
        "most_s": MOST_S,
    }


def _deflated(name: str, title: str, scripts: dict[str, Path], phones: int, deflating: int) -> Case:
    """A GB is one of the bundle as it is inflated, however many phones get it."""
    inflated = payload_bytes(scripts["single"])

    def per_inflated_gb(raw: Raw) -> float:
        return raw["cpu_s"] / (raw["sent_bundles"] * inflated) * 1e9

    def wire_share(raw: Raw) -> float:
        return raw["bytes"] / (raw["bundles"] * inflated)

    return Case(
        name,
        "bundle",
        (
            Figure("cpu", f"{title}: CPU", "s/GB", per_inflated_gb),
            Figure("wire", f"{title}: bytes to a phone", "of plain", wire_share),
        ),
        _deflated_arguments(scripts, phones, deflating),
        {"seconds": 0.5, "warmup_s": 0.3, "least": 3},
        only=OURS,
    )


def _pong_beside_deflated(scripts: dict[str, Path]) -> Case:
    title = "pong beside deflated-both"
    return Case(
        "pong-beside-deflated",
        "bundle",
        _answer_figures(title),
        {
            **_deflated_arguments(scripts, 2, deflating=1),
            "seconds": 6,
            "warmup_s": 1,
            "ping_gap_s": PING_GAP_S,
        },
        {"seconds": 1, "warmup_s": 0.3, "least": 3},
        only=OURS,
    )


def _answer_figures(title: str) -> tuple[Figure, ...]:
    return (
        Figure("p50", f"{title}: p50", "ms", lambda r: r["p50_ms"]),
        Figure("p99", f"{title}: p99", "ms", lambda r: r["p99_ms"]),
        Figure("max", f"{title}: longest", "ms", lambda r: r["max_ms"]),
    )


def _loop_lag(name: str, where: str, file: Path, both_cores: bool) -> Case:
    title = f"pong beside saves{where}"
    return Case(
        name,
        "saves",
        (
            *_answer_figures(title),
            Figure("core", f"{title}: of one core", "%", lambda r: r["cpu_s"] / r["wall_s"] * 100),
            Figure("slowest", f"{title}: slowest save", "s", lambda r: r["slowest_s"]),
        ),
        {
            "script": file,
            "sessions": 12,
            "phones": 2,
            "per_minute": 90,
            "ping_gap_s": PING_GAP_S,
            "seconds": 60,
            "deflate": 1,
        },
        {"seconds": 5, "warmup_s": 1},
        only=OURS,
        both_cores=both_cores,
        by_default=both_cores,
    )


def _slow_line(name: str, what: str, file: Path, control: int = 1) -> Case:
    title = f"pong in mid-bundle at 120 kB/s, {what}: longest"
    return Case(
        name,
        "slow_line",
        (Figure("max", title, "s", lambda r: r["max_ms"] / 1e3),),
        {"script": file, "rate": 120_000, "control": control, "ping_gap_s": 0.5, "seconds": 20},
        {"seconds": 6},
        only=OURS,
    )


NEIGHBOURS = {
    "frozen": "beside a frozen phone",
    "dead": "beside a dead one",
    "slow": "beside one at 300 kB/s",
    "all": "beside all three",
}


def _neighbours(file: Path, limit_s: float) -> Case:
    def figure(what: str, kind: str, where: str) -> Figure:
        key = f"{kind}_{what}_ms"
        title = f"15 MB to a fast phone, {where}: {what}"
        return Figure(f"{what}-{kind}", title, "ms", lambda raw: raw[key])

    rows = {"alone": "alone", **NEIGHBOURS}
    return Case(
        "neighbours",
        "neighbours",
        (
            *(
                figure(what, kind, where)
                for what in ("delay", "longest", "upload")
                for kind, where in rows.items()
            ),
            Figure(
                "back",
                "15 MB to a phone that is back after 3 s: delay",
                "ms",
                lambda raw: raw["back_ms"],
            ),
        ),
        {"script": file, "saves": 10, "rate": 300_000, "away_s": 3, "limit_s": limit_s},
        {"saves": 3, "limit_s": min(limit_s, 5)},
        only=(*OURS, LEAN),
        timeout_s=60 + 8 * limit_s,
    )
