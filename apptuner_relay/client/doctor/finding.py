"""What a check has found, for people and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class CheckState(Enum):
    """How a check ended; the value stands in the JSON."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be done, or there was nothing to check; the text says why."""


MARKS = {
    CheckState.OK: "✓",
    CheckState.WARNING: "!",
    CheckState.FAILED: "✗",
    CheckState.SKIPPED: "–",
}
ASCII_MARKS = {
    CheckState.OK: "+",
    CheckState.WARNING: "!",
    CheckState.FAILED: "x",
    CheckState.SKIPPED: "-",
}
"""For a terminal that can't show the others."""

TITLES = {
    "dns": "DNS",
    "tcp": "TCP",
    "tls": "TLS",
    "http": "HTTP",
    "websocket": "WebSocket",
    "compression": "compression",
    "round_trip": "round trip",
    "clock": "clock",
    "transfer": "100 KB",
    "idle": "idle",
    "managed": "managed",
    "session": "session",
    "claim": "claim",
    "token": "token",
    "clients": "clients",
    "phones": "phones",
    "kept": "cached",
    "bundle": "last bundle",
}
"""The checks by the names that they have in the JSON, and what people see."""
TITLE_CHARACTERS = max(map(len, TITLES.values()))


@dataclass(frozen=True)
class Finding:
    """What one check has found."""

    name: str
    """A key of `TITLES`."""
    state: CheckState
    text: str
    """One line. It may have in it what a server wrote."""
    hint: str = ""
    """What to do about it: always there where the check failed."""
    figures: Mapping[str, object] = field(default_factory=dict)
    """What was measured, with units in the names. JSON values."""

    def row(self) -> dict[str, object]:
        """The finding in the JSON."""
        return {
            "name": self.name,
            "state": self.state.value,
            "text": self.text,
            "hint": self.hint or None,
            "figures": dict(self.figures),
        }


def fine(name: str, text: str, **figures: object) -> Finding:
    """A check that found nothing wrong."""
    return Finding(name, CheckState.OK, text, "", figures)


def warned(name: str, text: str, hint: str, **figures: object) -> Finding:
    """One that found what may do harm."""
    return Finding(name, CheckState.WARNING, text, hint, figures)


def failed(name: str, text: str, hint: str, **figures: object) -> Finding:
    """One that found what is wrong."""
    return Finding(name, CheckState.FAILED, text, hint, figures)


def skipped(name: str, text: str, **figures: object) -> Finding:
    """One that was not done."""
    return Finding(name, CheckState.SKIPPED, text, "", figures)


def diagnosis(relay: str, findings: Iterable[Finding]) -> dict[str, object]:
    """All of them as one JSON document."""
    all_of_them = list(findings)
    return {
        "relay": relay,
        "ok": not any(one.state is CheckState.FAILED for one in all_of_them),
        "checks": [one.row() for one in all_of_them],
    }


def show_ms(seconds: float) -> str:
    """A short time: ``0.42 ms``, ``3.1 ms``, ``12 ms``, ``1.25 s``."""
    ms = seconds * 1000
    if ms >= 1000:
        return f"{seconds:.2f} s"
    if ms >= 10:
        return f"{ms:.0f} ms"
    return f"{ms:.1f} ms" if ms >= 1 else f"{ms:.2f} ms"


def in_figures(seconds: float) -> float:
    """A time in milliseconds, as the JSON has it."""
    return round(seconds * 1000, 2)
