"""What a relay knows of itself, as its day file and `GET /api/status` say it: read and checked.

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

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Day:
    """What one day (UTC) has carried. Data in bytes; peaks are the most at any one time."""

    date: date
    peak_sessions: int
    peak_connections: int
    bundles: int
    bundle_bytes: int
    bytes_out: int
    connections: int

    @classmethod
    def read(cls, value: object, where: str, day: str | None = None) -> Day:
        """A day of JSON; `day` is its date where that isn't a field."""
        record = _object(value, where)
        counts = {name: _count(record, name, where) for name in COUNTS}
        return cls(_date(record.get("date") if day is None else day, where), **counts)


COUNTS = tuple(field.name for field in fields(Day) if field.name != "date")
"""A day's figures, in the order in which they are shown."""


@dataclass(frozen=True)
class Status:
    """What a running relay says of itself."""

    days: tuple[Day, ...]
    """Whole days, oldest first."""
    today: Day
    sessions: int
    memory_bytes: int


def read_days(value: object) -> tuple[Day, ...]:
    """The day file's days, oldest first: `{"days": {"2026-11-23": {…}, …}, …}`."""
    days = _object(_object(value, "the file").get("days"), "days")
    read = [Day.read(record, f"days.{day}", day) for day, record in days.items()]
    return tuple(sorted(read, key=lambda day: day.date))


def read_status(value: object) -> Status:
    """What `GET /api/status` answers."""
    record = _object(value, "the answer")
    days = record.get("days")
    if not isinstance(days, list):
        raise ValueError("days is no list")
    past = [Day.read(day, f"days[{index}]") for index, day in enumerate(days)]
    return Status(
        tuple(sorted(past, key=lambda day: day.date)),
        Day.read(record.get("today"), "today"),
        _count(record, "sessions", "the answer"),
        _count(record, "memory_bytes", "the answer"),
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


def _date(value: object, where: str) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{where} has no date such as 2026-11-23")
