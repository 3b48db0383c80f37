"""`report`: what a relay has carried: today, on a day, in a month."""

from __future__ import annotations

import argparse
import calendar
import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from time import time as wall_s
from typing import Any

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.client.amounts import data
from apptuner_relay.client.command import Command, add_quiet_argument, checked
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.records import COUNTS, DayRecord, Status
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.sources import (
    STATE_VARIABLE,
    Inquiry,
    add_source_arguments,
    ask,
    days_on_disk,
    find_state_dir,
)

FORMATS = ("table", "csv", "json")

_WHEN = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
_PEAKS = ("peak_sessions", "peak_connections")
_DATA = ("bundle_bytes", "bytes_out")
_TITLES = ("date", "peak sessions", "peak connections", "bundles", "data of bundles", "data sent",
           "connections")  # fmt: skip


@dataclass(frozen=True)
class Period:
    """A day or a month, UTC; `first` and `last` belong to it."""

    name: str
    first: date
    last: date

    @classmethod
    def of(cls, when: str, today: date) -> Period:
        """Read `today`, `yesterday`, `month`, `YYYY-MM-DD` or `YYYY-MM`.

        Raises `ValueError` with a text for the user.
        """
        match when:
            case "today":
                return cls._day(today)
            case "yesterday":
                return cls._day(today - timedelta(days=1))
            case "month":
                return cls._month(today.year, today.month)
        found = _WHEN.fullmatch(when)
        try:
            if found and found[3]:
                return cls._day(date(int(found[1]), int(found[2]), int(found[3])))
            if found:
                return cls._month(int(found[1]), int(found[2]))
        except ValueError:
            raise ValueError(f"the calendar has no {when}") from None
        raise ValueError(
            f"{when!r} is not today, yesterday, month, a day (2026-11-23) or a month (2026-11)"
        )

    @classmethod
    def _day(cls, day: date) -> Period:
        return cls(day.isoformat(), day, day)

    @classmethod
    def _month(cls, year: int, month: int) -> Period:
        first = date(year, month, 1)
        last = first.replace(day=calendar.monthrange(year, month)[1])
        return cls(f"{first:%Y-%m}", first, last)

    @property
    def is_month(self) -> bool:
        return self.first != self.last


@dataclass(frozen=True)
class Account:
    """What was carried in a period."""

    period: Period
    days: tuple[DayRecord, ...]
    """The days that there is a record of, oldest first."""
    missing: int
    """Days of the period, up to today, without a record."""
    expected_bytes_out: int | None
    """Of the whole month, while it goes on: what was sent, and for each day to come the mean of
    the whole days until now."""

    @classmethod
    def of(cls, period: Period, known: Sequence[DayRecord], today: date) -> Account:
        days = tuple(day for day in known if period.first <= day.date <= period.last)
        due = (min(period.last, today) - period.first).days + 1
        return cls(
            period,
            days,
            max(0, due - len([day for day in days if day.date <= today])),
            _expected(period, days, today),
        )

    @property
    def total(self) -> dict[str, int]:
        """Sums, and of peaks the highest."""
        return {
            name: (max if name in _PEAKS else sum)(getattr(day, name) for day in self.days)
            for name in COUNTS
        }


def _expected(period: Period, days: Sequence[DayRecord], today: date) -> int | None:
    whole = [day.bytes_out for day in days if day.date < today]
    if not period.is_month or not whole or not period.first <= today <= period.last:
        return None
    mean = round(sum(whole) / len(whole))
    so_far = sum(day.bytes_out for day in days if day.date == today)
    return sum(whole) + max(so_far, mean) + mean * (period.last - today).days


def show(account: Account, form: str, screen: Screen) -> Exit:
    """Print an account; what is wrong with it goes to standard error."""
    if not account.days:
        screen.complain(f"there is no record of {account.period.name}")
        return Exit.FAILED
    screen.result(**_as_json(account))
    if form == "csv":
        _show_csv(account, screen)
    else:
        _show_table(account, screen)
    if account.missing:
        days = "1 day has" if account.missing == 1 else f"{account.missing} days have"
        screen.say(f"{days} no record")
    return Exit.DONE


def _show_csv(account: Account, screen: Screen) -> None:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["date", *COUNTS])
    writer.writerows([day.date, *(getattr(day, name) for name in COUNTS)] for day in account.days)
    screen.tell_raw(lines.getvalue().rstrip("\n"))


def _as_json(account: Account) -> dict[str, object]:
    return {
        "period": account.period.name,
        "total": account.total,
        "days": [asdict(day) | {"date": day.date.isoformat()} for day in account.days],
        "missing_days": account.missing,
        "expected_bytes_out": account.expected_bytes_out,
    }


def _show_table(account: Account, screen: Screen) -> None:
    rows = [[day.date.isoformat(), *_cells(asdict(day))] for day in account.days]
    if account.period.is_month:
        rows.append([account.period.name, *_cells(account.total)])
    screen.tell_table(_TITLES, rows, total=account.period.is_month)
    if account.expected_bytes_out is not None:
        screen.tell(
            f"At this pace {account.period.name} will come to "
            f"{data(account.expected_bytes_out)} sent."
        )


def _cells(counts: dict[str, Any]) -> list[str]:
    return [data(counts[name]) if name in _DATA else f"{counts[name]:,}" for name in COUNTS]


def _when(text: str) -> str:
    """Checked against any day, as today is for later to say."""
    Period.of(text, date(2000, 1, 2))
    return text


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "when",
        nargs="?",
        metavar="WHEN",
        type=checked(_when),
        default="today",
        help="today, yesterday, month (this one), a day such as 2026-11-23, or a month such as "
        "2026-11; days are those of UTC (default: today)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="csv and json have exact bytes, table has rounded decimal units (default: table)",
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help=f"the relay's state directory (default: ${STATE_VARIABLE}, or where a relay that this "
        "user starts keeps it: apptuner-relay in $XDG_STATE_HOME or ~/.local/state)",
    )
    add_source_arguments(parser)
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    if arguments.source is not None and arguments.state_dir is not None:
        raise UsageError("--from asks a running relay, --state-dir reads files: not both")
    now = datetime.fromtimestamp(wall_s(), UTC)
    period = Period.of(arguments.when, now.date())
    asked: Deferred[tuple[DayRecord, ...]]
    if arguments.source is not None:
        status = Deferred.fromCoroutine(
            ask(arguments.source, arguments.admin_token, reactor, screen)
        )
        asked = status.addCallback(_all_days)
    else:
        setting = arguments.state_dir or os.environ.get(STATE_VARIABLE) or "auto"
        asked = succeed(days_on_disk(find_state_dir(setting, os.environ)))
    return Inquiry(
        asked,
        lambda days: show(Account.of(period, days, now.date()), arguments.format, screen),
        screen,
    )


def _all_days(status: Status) -> tuple[DayRecord, ...]:
    return (*status.days, status.today)


COMMAND = Command(
    "report",
    "Reads the record that a relay keeps in its --state-dir, or asks a running relay (--from),\n"
    "which knows today and the 30 days before. Peaks are the most at any one time; data of\n"
    "bundles is what came in, data sent is all that went out to clients. The relay writes its\n"
    "file now and then: of today, --from knows more.",
    _add_arguments,
    _start,
)
