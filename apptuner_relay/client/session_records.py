"""The sessions that a running relay has, as `GET /api/sessions` says it: read, and put in order.

Pure. Older relays say less: what they don't say is None, and nobody is told more than was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apptuner_relay.client.relay_figures import number, objects

HASH_SHOWN = 8
"""Digits of a session's hash that are shown."""


@dataclass(frozen=True)
class LastBundle:
    """The newest bundle of a session."""

    began_ms: int
    size_bytes: int
    state: str
    """``arriving``, ``whole`` or ``cut``."""


@dataclass(frozen=True)
class SessionRecord:
    """A session. Texts are as others wrote them."""

    session: str
    """The first digits of its hash."""
    roles: tuple[str, ...]
    """Of its clients."""
    devices: tuple[str, ...]
    """Its phones, by what they call themselves."""
    age_s: float
    bytes_out: int
    since_ms: int | None
    reload_s: float | None
    """From the first byte of the last bundle that phones acknowledged to the last of those."""
    failed: int | None
    """Failed acknowledgements that the relay remembers."""
    is_behind: bool
    """Whether a client of it does not keep up."""
    several_clis: bool
    bundle: LastBundle | None
    knows_bundles: bool
    """Whether the relay says anything of bundles."""
    row: Mapping[str, Any]
    """As the relay has said it."""

    @property
    def now_ms(self) -> int | None:
        """The relay's time of day."""
        return None if self.since_ms is None else self.since_ms + round(1000 * self.age_s)

    @property
    def bundle_age_s(self) -> float | None:
        """How long ago its last bundle began."""
        if self.bundle is None or self.now_ms is None:
            return None
        return max(0.0, (self.now_ms - self.bundle.began_ms) / 1000)


def read_sessions(value: object) -> list[SessionRecord]:
    """What `GET /api/sessions` answers. Raises `ValueError` for what is none."""
    rows = value.get("sessions") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise ValueError("sessions is no list")
    return [_read(row, f"sessions[{index}]") for index, row in enumerate(rows)]


def _read(row: object, where: str) -> SessionRecord:
    if not isinstance(row, dict) or not isinstance(row.get("session"), str):
        raise ValueError(f"{where} has no session")
    age_s, sent = number(row, "age_s"), number(row, "bytes_out")
    if age_s is None or sent is None:
        raise ValueError(f"{where} has no age_s or no bytes_out")
    bundles = row.get("bundles")
    clients = objects(row.get("clients"))
    since_ms, failed = number(row, "since_ms"), number(row, "failed")
    return SessionRecord(
        session=row["session"],
        roles=tuple(str(role) for role in row.get("roles") or ()),
        devices=tuple(
            str(one.get("name") or one.get("deviceId") or "a phone")
            for one in objects(row.get("devices"))
        ),
        age_s=age_s,
        bytes_out=int(sent),
        since_ms=None if since_ms is None else int(since_ms),
        reload_s=number(row, "reload_s"),
        failed=None if failed is None else int(failed),
        is_behind=row.get("slow") is True or any(one.get("behind") is True for one in clients),
        several_clis=row.get("several_clis") is True,
        bundle=_last_bundle(objects(bundles)),
        knows_bundles=isinstance(bundles, list),
        row=row,
    )


def _last_bundle(rows: Sequence[Mapping[str, Any]]) -> LastBundle | None:
    for row in rows[:1]:
        began_ms, size = number(row, "began_ms"), number(row, "bytes")
        if began_ms is not None and size is not None:
            return LastBundle(int(began_ms), int(size), str(row.get("state")))
    return None


def _bundle_began_ms(one: SessionRecord) -> float:
    return -1 if one.bundle is None else one.bundle.began_ms


def _trouble(one: SessionRecord) -> tuple[float, float]:
    return (one.failed or 0) + one.is_behind + one.several_clis, one.bytes_out


ORDERS: Mapping[str, tuple[Callable[[SessionRecord], Any], str]] = {
    "since": (lambda one: one.age_s, "the oldest first"),
    "sent": (lambda one: one.bytes_out, "those that were sent the most bytes first"),
    "bundle": (_bundle_began_ms, "the newest bundle first"),
    "reload": (lambda one: one.reload_s or 0.0, "the slowest reload first"),
    "clients": (lambda one: len(one.roles), "those with the most clients first"),
    "trouble": (_trouble, "failed acknowledgements, and clients that are behind, first"),
}
"""The orders in which sessions can be listed: what to compare, the most of it first."""


def in_order(sessions: Sequence[SessionRecord], order: str) -> list[SessionRecord]:
    """Sessions in one of `ORDERS`; equal ones as they came, which is the same each time."""
    key, _ = ORDERS[order]
    return sorted(sessions, key=key, reverse=True)
