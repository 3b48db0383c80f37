"""What a running relay does just now, as `GET /api/status` says it: read, and told to programs.

Pure. Older relays say less: what they don't say is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_COUNT = 2**63


@dataclass(frozen=True)
class ReloadFigures:
    """Of today: from a bundle's first byte until its last phone acknowledged it."""

    median_s: float | None
    p95_s: float | None
    count: int | None
    failed: int | None


@dataclass(frozen=True)
class RelayFigures:
    """A relay at one moment. Texts are as the relay wrote them."""

    node: str
    version: str
    uptime_s: float
    started_ms: int | None
    state: str
    reasons: tuple[str, ...]
    sessions: int
    connections: Mapping[str, int]
    """By role."""
    bundles_per_min: int | None
    sending_bytes_per_s: float | None
    reload: ReloadFigures | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    loop_lag_ms: float | None
    cpu_share: float | None
    """Of one core, of all that the relay is."""
    busy_share: float | None
    """Of what it can take at most."""
    warnings: tuple[Mapping[str, Any], ...]
    """As the status has them, each with a ``level`` and a ``text``."""
    events: tuple[Mapping[str, Any], ...] | None
    """Likewise, each with an ``id`` and a ``text``, the newest first."""

    def as_json(self) -> dict[str, Any]:
        """As a line of `--json` has it."""
        reload = self.reload
        return {
            "node": self.node,
            "version": self.version,
            "uptime_s": self.uptime_s,
            "state": self.state,
            "reasons": list(self.reasons),
            "sessions": self.sessions,
            "connections": dict(self.connections),
            "bundles_per_min": self.bundles_per_min,
            "sending_bytes_per_s": self.sending_bytes_per_s,
            "reload": None
            if reload is None
            else {
                "median_s": reload.median_s,
                "p95_s": reload.p95_s,
                "count": reload.count,
                "failed": reload.failed,
            },
            "memory_bytes": self.memory_bytes,
            "memory_limit_bytes": self.memory_limit_bytes,
            "loop_lag_ms": self.loop_lag_ms,
            "cpu_share": self.cpu_share,
            "busy_share": self.busy_share,
            "warnings": [dict(one) for one in self.warnings],
        }


def read_figures(value: object) -> RelayFigures:
    """What `GET /api/status` answers. Raises `ValueError` for what is none."""
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object")
    sessions, uptime_s = number(value, "sessions"), number(value, "uptime_s")
    if sessions is None or uptime_s is None:
        raise ValueError("the answer has no count of sessions, or no uptime_s")
    minute, capacity = _object(value, "last_minute"), _object(value, "capacity")
    bytes_out = number(minute, "bytes_out")
    sending = number(value, "sending_bytes_per_s")
    if sending is None and bytes_out is not None:
        sending = bytes_out / 60
    return RelayFigures(
        node=_text(value, "node"),
        version=_text(value, "version"),
        uptime_s=uptime_s,
        started_ms=_whole(value, "started_ms"),
        state=_text(value, "state"),
        reasons=tuple(one for one in value.get("reasons") or () if isinstance(one, str)),
        sessions=int(sessions),
        connections={
            role: int(count)
            for role, count in _object(value, "connections").items()
            if isinstance(count, int)
        },
        bundles_per_min=_whole(minute, "bundles"),
        sending_bytes_per_s=sending,
        reload=_reload(value.get("reload")),
        memory_bytes=_whole(value, "memory_bytes"),
        memory_limit_bytes=_whole(value, "memory_limit_bytes"),
        loop_lag_ms=number(value, "loop_lag_ms"),
        cpu_share=number(capacity, "cpu_share"),
        busy_share=number(capacity, "busy_share"),
        warnings=tuple(objects(value.get("worries"))),
        events=_events(value.get("events")),
    )


def _reload(value: object) -> ReloadFigures | None:
    if not isinstance(value, dict):
        return None
    return ReloadFigures(
        number(value, "median_s"),
        number(value, "p95_s"),
        _whole(value, "count"),
        _whole(value, "failed"),
    )


def _events(value: object) -> tuple[Mapping[str, Any], ...] | None:
    """The newest first, whichever way round they came."""
    if not isinstance(value, list):
        return None
    known = [one for one in objects(value) if number(one, "at_ms") is not None]
    return tuple(sorted(known, key=lambda one: (one["at_ms"], number(one, "id") or 0))[::-1])


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list of JSON, or none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number(row: Mapping[str, Any], name: str) -> float | None:
    """A number of an object, 0 or more; None where there is none."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < MAX_COUNT else None


def _whole(row: Mapping[str, Any], name: str) -> int | None:
    value = number(row, name)
    return None if value is None else int(value)


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else "?"
