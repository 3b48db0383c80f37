"""What is measured: the cases, how the load generator runs each, and the figures that its
results give."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .payload import payload_bytes
from .peers import RELAY

Raw = dict[str, float]

KIB_PER_MIB = 1024
LATENCY_BYTES_PER_S = 250e6
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

    def files(self, quick: bool) -> int:
        """How many files the server and the load generator open, each of them."""
        options = {**self.arguments, **(self.quick if quick else {})}
        return int(str(options.get("clients", 0))) + SPARE_FILES


def cases(scripts: dict[str, Path], latency_rate: float) -> list[Case]:
    """All cases, in the order of the table."""
    return [
        *(
            _bundle(phones, script, scripts[script])
            for phones in (1, 5)
            for script in ("single", "chunks")
        ),
        _small(1, window=128),
        _small(8, window=128),
        _small(1, window=1),
        _idle("idle", 5000),
        _idle("idle-10k", 10_000, only=(RELAY,)),
        _stalled("stalled", scripts["single"], sessions=20, phones=1),
        _stalled("stalled-five", scripts["single"], sessions=60, phones=5),
        *(_latency(script, scripts[script], latency_rate) for script in ("single", "chunks")),
        _deflated("deflated", "deflated bundle, passed through", scripts, phone_deflate=1),
        _deflated("inflated", "deflated bundle, phone takes plain", scripts, phone_deflate=0),
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
        {"phones": phones, "script": file, "seconds": 2},
        {"seconds": 0.5, "warmup_s": 0.3},
    )


def _small(pairs: int, window: int) -> Case:
    how = "one at a time" if window == 1 else "in bursts"
    title = f"200 bytes, {pairs} pair{'s' * (pairs > 1)}, both ways, {how}"
    return Case(
        f"small-{pairs}-turns" if window == 1 else f"small-{pairs}",
        "small",
        (
            Figure("cpu", f"{title}: CPU", "µs/msg", lambda r: r["cpu_s"] / r["messages"] * 1e6),
            Figure("rate", f"{title}: rate", "msg/s", lambda r: r["messages"] / r["wall_s"], False),
        ),
        {"pairs": pairs, "window": window, "seconds": 2, "warmup_s": 1},
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


def _stalled(name: str, file: Path, sessions: int, phones: int) -> Case:
    def memory(raw: Raw) -> float:
        return (raw["peak_kib"] - raw["rss_before_kib"]) / raw["sessions"] / KIB_PER_MIB

    what = f"{sessions} phones" if phones == 1 else f"{sessions} sessions of {phones} phones"
    return Case(
        name,
        "stalled",
        (Figure("memory", f"{what} that do not read: peak memory a session", "MiB", memory),),
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


def _deflated(name: str, title: str, scripts: dict[str, Path], phone_deflate: int) -> Case:
    inflated = payload_bytes(scripts["single"])

    def per_inflated_gb(raw: Raw) -> float:
        return raw["cpu_s"] / (raw["bundles"] * inflated) * 1e9

    def wire_share(raw: Raw) -> float:
        return raw["bytes"] / (raw["bundles"] * inflated)

    arguments: dict[str, object] = {
        "phones": 1,
        "script": scripts["deflated"],
        "deflate": 1,
        "phone_deflate": phone_deflate,
        "seconds": 2,
    }
    if not phone_deflate:
        arguments["expect"] = scripts["single"]
    return Case(
        name,
        "bundle",
        (
            Figure("cpu", f"{title}: CPU", "s/GB", per_inflated_gb),
            Figure("wire", f"{title}: bytes to the phone", "of plain", wire_share),
        ),
        arguments,
        {"seconds": 0.5, "warmup_s": 0.3},
        only=(RELAY,),
    )
