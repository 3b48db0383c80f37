"""`plan`: what so many users will cost: data, memory, the machine, and when it gets too small."""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.client.amounts import data, memory, number, rate
from apptuner_relay.client.command import Command, add_quiet_argument, checked
from apptuner_relay.client.measured import measure
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.printable import json_line
from apptuner_relay.client.projection import Figures, Projection, project
from apptuner_relay.client.records import Status
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.sources import Inquiry, add_source_arguments, ask

FORMATS = ("table", "csv", "json")
DEFAULT_USERS = (50, 500, 2000, 10_000)
MAX_USERS = 10**9
MAX_FIGURE = 10**9

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)


def _percent(value: Fraction) -> str:
    return f"{number(value * 100)}%"


@dataclass(frozen=True)
class Unit:
    """What the command line counts in: `factor` of a figure's own units are one of these."""

    name: str = ""
    factor: Fraction = Fraction(1)
    show: Callable[[Fraction], str] = number
    most: int = MAX_FIGURE


_PLAIN = Unit()
_MB = Unit("MB (10⁶ bytes)", Fraction(10**6), data)
_MIB = Unit("MiB", Fraction(2**20), memory)
_SHARE = Unit("%", Fraction(1, 100), _percent, most=100)
_SECONDS = Unit("s", show=lambda value: f"{number(value)} s")


@dataclass(frozen=True)
class Input:
    """A figure as an option."""

    name: str
    """Its name in `Figures`."""
    option: str
    doc: str
    unit: Unit = _PLAIN
    may_be_zero: bool = False
    basis: str = ""
    """Of what is assumed."""

    def read(self, text: str) -> Fraction:
        """The figure, from what was typed. Raises `ValueError` with a text for the user."""
        digits = text.removesuffix("%") if self.unit is _SHARE else text
        value = Fraction(digits) if _NUMBER.fullmatch(digits) else Fraction(-1)
        if not 0 <= value <= self.unit.most or (not value and not self.may_be_zero):
            least = "0 or more" if self.may_be_zero else "above 0"
            raise ValueError(f"{text!r} is no number {least} and at most {self.unit.most:,}")
        return value * self.unit.factor


_BENCH = "ops/bench/run --only relay --cases"

INPUTS = (
    Input("bundle_bytes", "bundle-mb", "a bundle, as it is sent", _MB),
    Input("bundles_per_day", "bundles-per-day", "bundles of a user a day", may_be_zero=True),
    Input("copies", "copies", "bytes sent for a bundle's byte (phones in a session)"),
    Input("sessions_per_user", "sessions-per-user", "sessions of a user"),
    Input("peak_share", "peak-share", "of all sessions, there at the peak", _SHARE),
    Input("busy_hour_share", "busy-hour", "of a day's data, in its busiest hour", _SHARE),
    Input("connections_per_session", "connections-per-session", "connections of a session"),
    Input("base_memory_bytes", "base-memory-mib", "memory of a relay without clients", _MIB),
    Input("session_memory_bytes", "session-memory-mib", "memory of a session, at most", _MIB,
          basis=f"{_BENCH} stalled tells yours"),
    Input("cpu_s_per_gb", "cpu-per-gb", "a core's time to send 1 GB", _SECONDS,
          may_be_zero=True, basis=f"{_BENCH} bundle tells yours"),
    Input("notice_sessions", "notice-sessions", "sessions above which to plan the next size"),
    Input("warning_sessions", "warning-sessions", "sessions above which to scale out"),
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where a figure comes from."""

    kind: str
    """`given`, `measured` or `assumed`."""
    basis: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.basis}" if self.basis else self.kind


def settle(
    given: dict[str, Fraction], status: Status | None, users_now: int | None
) -> tuple[Figures, dict[str, Origin]]:
    """The figures to reckon with, and where each comes from: the command line comes first, then
    what was measured, then the assumptions."""
    figures = replace(Figures(), **given)
    origins = {entry.name: Origin("assumed", entry.basis) for entry in INPUTS}
    if status is not None:
        found = measure(status, figures, users_now)
        figures = replace(figures, **{name: one.value for name, one in found.items()})
        origins |= {name: Origin("measured", one.basis) for name, one in found.items()}
    figures = replace(figures, **given)
    origins |= {name: Origin("given") for name in given}
    return figures, origins


def show(
    projections: Sequence[Projection],
    figures: Figures,
    origins: dict[str, Origin],
    form: str,
    screen: Screen,
) -> Exit:
    """Print a plan."""
    if form == "csv":
        _show_csv(projections, screen)
    elif form == "json":
        screen.tell_raw(json_line(_as_json(projections, figures, origins)))
    else:
        _show_tables(projections, figures, origins, screen)
    return Exit.DONE


def _show_tables(
    projections: Sequence[Projection],
    figures: Figures,
    origins: dict[str, Origin],
    screen: Screen,
) -> None:
    screen.tell_table(
        ("users", "data/day", "data/month", "sessions at peak", "memory", "machine"),
        [
            (
                f"{each.users:,}",
                data(each.day_bytes),
                data(each.month_bytes),
                f"{each.peak_sessions:,}",
                memory(each.memory_bytes),
                _machine(each),
            )
            for each in projections
        ],
    )
    for each in projections:
        screen.tell(_stage(each))
    screen.tell("")
    screen.tell_table(
        ("reckoned with", "", "from"),
        [
            (entry.doc, entry.unit.show(getattr(figures, entry.name)), str(origins[entry.name]))
            for entry in INPUTS
        ],
        left=(0, 2),
    )


def _machine(each: Projection) -> str:
    machine = each.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    return f"{cores}, {memory(machine.memory_bytes)}, {rate(machine.line_bit_per_s)}"


def _stage(each: Projection) -> str:
    users = "1 user" if each.users == 1 else f"{each.users:,} users"
    said = f"{users}: stage {each.stage} of 3, {each.stage.advice}"
    if each.next_stage_users is not None:
        said += f"; stage {each.stage + 1} from {each.next_stage_users:,} users on"
    return f"{said}; descriptors: {each.machine.descriptors:,} (LimitNOFILE)"


def _flat(each: Projection) -> dict[str, object]:
    record = asdict(each)
    machine = record.pop("machine")
    record |= {f"machine_{name}": value for name, value in machine.items()}
    record["stage"] = int(each.stage)
    record["cores_busy"] = float(each.cores_busy)
    return record


def _show_csv(projections: Iterable[Projection], screen: Screen) -> None:
    records = [_flat(each) for each in projections]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    screen.tell_raw(lines.getvalue().rstrip("\n"))


def _as_json(
    projections: Iterable[Projection], figures: Figures, origins: dict[str, Origin]
) -> dict[str, object]:
    return {
        "projections": [_flat(each) for each in projections],
        "figures": {
            entry.name: {
                "value": float(getattr(figures, entry.name)),
                "from": origins[entry.name].kind,
                "basis": origins[entry.name].basis or None,
            }
            for entry in INPUTS
        },
    }


def _users(text: str) -> int:
    digits = text.replace(",", "")
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits[:20]) <= MAX_USERS:
        raise ValueError(f"{text!r} is no number of users, 1 to {MAX_USERS:,}")
    return int(digits)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--users",
        metavar="N",
        nargs="+",
        type=checked(_users),
        default=DEFAULT_USERS,
        help="how many users; several numbers make a table (default: 50 500 2000 10000)",
    )
    assumed = Figures()
    for entry in INPUTS:
        default = getattr(assumed, entry.name) / entry.unit.factor
        unit = f", in {entry.unit.name}" if entry.unit.name else ""
        parser.add_argument(
            f"--{entry.option}",
            dest=entry.name,
            metavar="X",
            type=checked(entry.read),
            help=f"{entry.doc}{unit} (default: {number(default)})".replace("%", "%%"),
        )
    parser.add_argument(
        "--users-now",
        metavar="N",
        type=checked(_users),
        help="with --from: how many users that relay had in the last 30 days, which it can't "
        "know; bundles a day and the peak's share are then measured too",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="csv and json have exact figures (default: table)",
    )
    add_source_arguments(parser)
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    if arguments.users_now is not None and arguments.source is None:
        raise UsageError("--users-now says more about a running relay: it goes with --from")
    given = {
        entry.name: getattr(arguments, entry.name)
        for entry in INPUTS
        if getattr(arguments, entry.name) is not None
    }

    assumed = Figures()
    notice = given.get("notice_sessions", assumed.notice_sessions)
    if notice > given.get("warning_sessions", assumed.warning_sessions):
        raise UsageError("--notice-sessions must be at most --warning-sessions")

    def finish(status: Status | None) -> Exit:
        figures, origins = settle(given, status, arguments.users_now)
        projections = [project(users, figures) for users in arguments.users]
        return show(projections, figures, origins, arguments.format, screen)

    if arguments.source is None:
        asked: Deferred[Any] = succeed(None)
    else:
        asked = Deferred.fromCoroutine(
            ask(arguments.source, arguments.admin_token, reactor, screen)
        )
    return Inquiry(asked, finish, screen)


COMMAND = Command(
    "plan",
    "say what so many users will cost: data, memory, the machine",
    "Reckons what a relay will carry, and the machine that this takes. Figures that aren't given\n"
    "are assumed, or measured on a running relay (--from); the second table says which is which.\n"
    "Data is what the relay sends, in decimal units, and a month has 30 days. At the peak every\n"
    "user is there, unless --peak-share says otherwise: that is the most it can come to.",
    _add_arguments,
    _start,
)
