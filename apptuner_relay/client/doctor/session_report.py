"""What ``GET /session/state`` answers, read with care: another version may say less. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apptuner_relay.client.printable import printable

MOBILE = "mobile"
_MAX_TEXT_CHARACTERS = 300


@dataclass(frozen=True)
class Present:
    """A client that is in the session."""

    role: str
    name: str
    """What to call it: a phone's name, else its id; of others, their program or nothing."""
    platform: str
    since_s: float | None
    """For how long it is there, in seconds."""
    round_trip_ms: float | None
    behind: bool
    through: str


@dataclass(frozen=True)
class PhoneAnswer:
    """What one phone made of a bundle."""

    name: str
    state: str
    error: str
    why: str
    answered_s: float | None


@dataclass(frozen=True)
class SentBundle:
    """A bundle, as the relay remembers it."""

    age_s: float | None
    form: str
    state: str
    why: str
    size_bytes: int
    in_s: float | None
    phones: tuple[PhoneAnswer, ...]


@dataclass(frozen=True)
class KeptBundle:
    """The bundle that phones get who come later."""

    size_bytes: int
    age_s: float | None


@dataclass(frozen=True)
class SessionReport:
    """A session, as its relay sees it."""

    node: str
    claimed: bool
    tokens: bool
    present: tuple[Present, ...]
    kept: KeptBundle | None
    bundle: SentBundle | None
    """The last one."""
    bundles: int
    caches: bool = True
    """Whether the relay caches bundles at present."""

    @property
    def phones(self) -> list[Present]:
        """The phones that are there."""
        return [one for one in self.present if one.role == MOBILE]

    @property
    def others(self) -> list[Present]:
        """The desktop side, and who uploads."""
        return [one for one in self.present if one.role != MOBILE]


def read_session(value: Mapping[str, Any]) -> SessionReport:
    """Read an answer. What is missing or of another type is left out."""
    now_ms = _number(value, "now_ms")
    bundles = [one for one in _list(value, "bundles") if isinstance(one, dict)]
    kept = value.get("kept")
    return SessionReport(
        _text(value, "node"),
        value.get("claimed") is True,
        value.get("tokens") is True,
        tuple(_present(one, now_ms) for one in _list(value, "clients") if isinstance(one, dict)),
        _kept(kept, now_ms) if isinstance(kept, dict) else None,
        _bundle(bundles[0], now_ms) if bundles else None,
        len(bundles),
        value.get("caches") is not False,
    )


def _present(row: Mapping[str, Any], now_ms: float | None) -> Present:
    role = _text(row, "role") or "?"
    name = _text(row, "name") or _text(row, "deviceId") if role == MOBILE else _text(row, "agent")
    return Present(
        role,
        name,
        _text(row, "platform"),
        _ago(row, "since_ms", now_ms),
        _number(row, "round_trip_ms"),
        row.get("behind") is True,
        _text(row, "through"),
    )


def _kept(row: Mapping[str, Any], now_ms: float | None) -> KeptBundle:
    return KeptBundle(int(_number(row, "bytes") or 0), _ago(row, "began_ms", now_ms))


def _bundle(row: Mapping[str, Any], now_ms: float | None) -> SentBundle:
    return SentBundle(
        _ago(row, "began_ms", now_ms),
        _text(row, "form"),
        _text(row, "state"),
        _text(row, "why"),
        int(_number(row, "bytes") or 0),
        _number(row, "in_s"),
        tuple(
            PhoneAnswer(
                _text(one, "name") or _text(one, "deviceId") or "a phone",
                _text(one, "state"),
                _text(one, "error"),
                _text(one, "why"),
                _number(one, "answered_s"),
            )
            for one in _list(row, "phones")
            if isinstance(one, dict)
        ),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    # A name or an error text is on one line, whoever has written it.
    return printable(value[:_MAX_TEXT_CHARACTERS]) if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e15:
        return None
    return float(value)


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _ago(row: Mapping[str, Any], name: str, now_ms: float | None) -> float | None:
    """How long ago that was by the relay's own clock."""
    then_ms = _number(row, name)
    return None if then_ms is None or now_ms is None else max(now_ms - then_ms, 0) / 1000
