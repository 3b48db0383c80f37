"""What a relay knows of itself and of others, as its day file, `GET /api/status` and
`GET /api/nodes` say it: read and checked.

Pure: JSON's values in, frozen records out. Every error is a `ValueError` that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

MAX_COUNT = 2**63
"""Beyond this a number is no count of anything."""

MINUTE_S = 60.0

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class DayRecord:
    """What one day (UTC) has carried. Data in bytes; peaks are the most at any one time."""

    date: date
    peak_sessions: int
    peak_connections: int
    bundles: int
    bundle_bytes: int
    bytes_out: int
    connections: int

    @classmethod
    def read(cls, value: object, where: str, day: str | None = None) -> DayRecord:
        """A day of JSON; `day` is its date where that isn't a field."""
        record = _object(value, where)
        counts = {name: _count(record, name, where) for name in COUNTS}
        return cls(_date(record.get("date") if day is None else day, where), **counts)


COUNTS = tuple(field.name for field in fields(DayRecord) if field.name != "date")
"""A day's figures, in the order in which they are shown."""


@dataclass(frozen=True)
class Status:
    """What a running relay says of itself."""

    days: tuple[DayRecord, ...]
    """Whole days, oldest first."""
    today: DayRecord
    sessions: int
    memory_bytes: int
    cores_busy: float | None = None
    """What it took in the last minute, of one core; None for an older relay, and one that has only
    just started."""
    minute_bytes: int = 0
    """What it sent in the last minute."""


def read_days(value: object) -> tuple[DayRecord, ...]:
    """The day file's days, oldest first: `{"days": {"2026-11-23": {…}, …}, …}`."""
    days = _object(_object(value, "the file").get("days"), "days")
    read = [DayRecord.read(record, f"days.{day}", day) for day, record in days.items()]
    return tuple(sorted(read, key=lambda day: day.date))


def read_status(value: object) -> Status:
    """What `GET /api/status` answers."""
    record = _object(value, "the answer")
    days = record.get("days")
    if not isinstance(days, list):
        raise ValueError("days is no list")
    past = [DayRecord.read(day, f"days[{index}]") for index, day in enumerate(days)]
    return Status(
        tuple(sorted(past, key=lambda day: day.date)),
        DayRecord.read(record.get("today"), "today"),
        _count(record, "sessions", "the answer"),
        _count(record, "memory_bytes", "the answer"),
        *_last_minute(record),
    )


def _last_minute(record: Mapping[str, Any]) -> tuple[float | None, int]:
    """What a relay took of its cores, and what it sent."""
    if record.get("capacity") is None or _seconds(record, "uptime_s", "the answer") < MINUTE_S:
        return None, 0
    capacity = _object(record["capacity"], "capacity")
    shares = [_seconds(capacity, name, "capacity") for name in ("cpu_share", "worker_share")]
    minute = _object(record.get("last_minute"), "last_minute")
    return sum(shares), _count(minute, "bytes_out", "last_minute")


@dataclass(frozen=True)
class Node:
    """What a relay of a cluster says of itself."""

    node: str
    address: str
    sessions: int
    connections: int
    uptime_s: float
    draining: bool
    version: str


@dataclass(frozen=True)
class Cluster:
    """What a relay knows of those with which it shares its sessions."""

    redis: str
    """``connected`` or ``away``."""
    redis_away_s: float | None
    bridged: int
    """Clients of the relay that was asked whose sessions are elsewhere."""
    visitors: int
    """Members of its sessions who are connected elsewhere."""
    nodes: tuple[Node, ...]
    claims: str | None = None
    """Whether claims are shared: ``connected``, ``away``, ``refused`` or ``off``; None for an older
    relay, which doesn't say."""
    claims_refusal: str | None = None
    """With what Redis refuses them, such as ``READONLY``."""


@dataclass(frozen=True)
class Relays:
    """What `GET /api/nodes` answers."""

    node: str
    """The relay that was asked."""
    connections: int
    """Its clients."""
    cluster: Cluster | None
    """None for one that is alone."""


def read_relays(value: object) -> Relays:
    """What `GET /api/nodes` answers."""
    record = _object(value, "the answer")
    node = _text(record, "node", "the answer")
    connections = _count(record, "connections", "the answer")
    if record.get("cluster") is None:
        return Relays(node, connections, None)
    cluster = _object(record["cluster"], "cluster")
    nodes = cluster.get("nodes")
    if not isinstance(nodes, list):
        raise ValueError("cluster.nodes is no list")
    away_s = cluster.get("redis_away_s")
    read = Cluster(
        _text(cluster, "redis", "cluster"),
        None if away_s is None else _seconds(cluster, "redis_away_s", "cluster"),
        _count(cluster, "bridged", "cluster"),
        _count(cluster, "visitors", "cluster"),
        tuple(_node(one, f"cluster.nodes[{index}]") for index, one in enumerate(nodes)),
        *(
            None if cluster.get(name) is None else _text(cluster, name, "cluster")
            for name in ("claims", "claims_refusal")
        ),
    )
    return Relays(node, connections, read)


def _node(value: object, where: str) -> Node:
    record = _object(value, where)
    return Node(
        _text(record, "node", where),
        _text(record, "address", where),
        _count(record, "sessions", where),
        _count(record, "connections", where),
        _seconds(record, "uptime_s", where),
        record.get("draining") is True,
        _text(record, "version", where),
    )


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no JSON object")
    return value


def _count(record: Mapping[str, Any], name: str, where: str) -> int:
    value = record.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_COUNT:
        raise ValueError(f"{where} has no count {name!r}")
    return value


def _text(record: Mapping[str, Any], name: str, where: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{where} has no text {name!r}")
    return value


def _seconds(record: Mapping[str, Any], name: str, where: str) -> float:
    value = record.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < MAX_COUNT:
        raise ValueError(f"{where} has no time {name!r}")
    return float(value)


def _date(value: object, where: str) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{where} has no date such as 2026-11-23")
