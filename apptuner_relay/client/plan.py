"""`plan`: what so many users will cost: data, memory, the machine, and when it gets too small."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.client.amounts import count, data, memory, number, rate
from apptuner_relay.client.command import Command, add_quiet_argument, checked
from apptuner_relay.client.measured import measure
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.plan_inputs import INPUTS
from apptuner_relay.client.projection import Figures, Projection, project
from apptuner_relay.client.records import Status
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.service_projection import (
    ServiceLimits,
    ServiceProjection,
    ServiceReach,
    project_service,
    reach,
)
from apptuner_relay.client.sources import Inquiry, add_source_arguments, ask

FORMATS = ("table", "csv", "json")
DEFAULT_USERS = (50, 500, 2000, 10_000)
MAX_USERS = 10**9
MAX_LIMIT = 10**12


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


@dataclass(frozen=True)
class Reckoning:
    """What is shown."""

    figures: Figures
    origins: dict[str, Origin]
    limits: ServiceLimits
    rows: tuple[tuple[Projection, ServiceProjection], ...]
    """One for each number of users."""
    reach: ServiceReach

    @classmethod
    def of(
        cls,
        users: Sequence[int],
        figures: Figures,
        origins: dict[str, Origin],
        limits: ServiceLimits,
    ) -> Reckoning:
        """Reckon it."""
        rows = tuple((project(n, figures), project_service(n, figures, limits)) for n in users)
        return cls(figures, origins, limits, rows, reach(figures, limits))


def show(plan: Reckoning, form: str, screen: Screen) -> Exit:
    """Print a plan."""
    screen.result(**_as_json(plan))
    if form == "csv":
        _show_csv(plan, screen)
    else:
        _show_tables(plan, screen)
    return Exit.DONE


_STAGES = (
    "A stage says how many relays are worth having. In 1 and 2 one relay carries all: its core is "
    "busy for at most half of the busiest hour, and it has no more sessions than were measured on "
    "one. In 2 half of that is reached. From 3 on there are several, each with a core of its own. "
    "In 4 there are so many sessions that a managed service is worth a look."
)


def _show_tables(plan: Reckoning, screen: Screen) -> None:
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
            for each, _ in plan.rows
        ],
    )
    for each, _ in plan.rows:
        screen.tell_folded(_stage(each))
    screen.tell_folded(_STAGES)
    screen.tell("")
    if plan.figures.patched_share:
        _show_patches(plan, screen)
        screen.tell("")
    _show_service(plan, screen)
    screen.tell("")
    screen.tell_table(
        ("reckoned with", "", "from"),
        [
            (
                entry.doc,
                entry.unit.show(getattr(plan.figures, entry.name)),
                str(plan.origins[entry.name]),
            )
            for entry in INPUTS
        ],
        left=(0, 2),
    )


def _show_patches(plan: Reckoning, screen: Screen) -> None:
    """What patches spare: the table before has what is left."""
    screen.tell_table(
        ("with patches: users", "data/month, all whole", "data/month", "of it"),
        [
            (
                f"{each.users:,}",
                data(each.whole_month_bytes),
                data(each.month_bytes),
                _share(each.month_bytes, each.whole_month_bytes),
            )
            for each, _ in plan.rows
        ],
    )


def _share(part: int, whole: int) -> str:
    return f"{number(Fraction(100 * part, whole))}%" if whole else "-"


def _machine(each: Projection) -> str:
    machine = each.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    return f"{cores}, {memory(machine.memory_bytes)}, {rate(machine.line_bit_per_s)}"


def _stage(each: Projection) -> str:
    users = "1 user" if each.users == 1 else f"{each.users:,} users"
    said = f"{users}: stage {each.stage} of {len(type(each.stage))}, {each.stage.advice}"
    if each.next_stage_users is not None:
        said += f"; stage {each.stage + 1} from {each.next_stage_users:,} users on"
    return f"{said}; descriptors: {each.machine.descriptors:,} (LimitNOFILE)"


def _show_service(plan: Reckoning, screen: Screen) -> None:
    screen.tell_table(
        (
            "on a managed service: users",
            "connections",
            "minutes a month",
            "messages a day",
            "messages a month",
            "logs joined: a day",
            "logs joined: a month",
            *(("exceeds",) if plan.limits != ServiceLimits() else ()),
        ),
        [
            (
                f"{each.users:,}",
                f"{service.connections:,}",
                count(service.connection_minutes_month),
                count(service.messages_day),
                count(service.messages_month),
                count(service.joined_messages_day),
                count(service.joined_messages_month),
                *((_exceeded(service),) if plan.limits != ServiceLimits() else ()),
            )
            for each, service in plan.rows
        ],
        left=(0, 7),
    )
    most, begins = plan.limits, plan.reach
    if most.messages_per_day is not None:
        screen.tell_folded(
            f"messages a day, {most.messages_per_day:,} at most: exceeded "
            f"{_from(begins.messages)}, with logs joined {_from(begins.joined_messages)}"
        )
    if most.max_connections is not None:
        screen.tell_folded(
            f"connections, {most.max_connections:,} at most: exceeded {_from(begins.connections)}"
        )


def _from(users: int | None) -> str:
    if users is None:
        return "by no number of users"
    return "by 1 user already" if users == 1 else f"from {users:,} users on"


def _exceeded(service: ServiceProjection) -> str:
    limits = ["connections"] if service.exceeds_connections else []
    if service.joined_exceeds_messages:
        limits.append("messages")
    elif service.exceeds_messages:
        limits.append("messages unless joined")
    return ", ".join(limits) or "-"


def _flat(each: Projection, service: ServiceProjection) -> dict[str, object]:
    record = asdict(each)
    machine = record.pop("machine")
    record |= {f"machine_{name}": value for name, value in machine.items()}
    record["stage"] = int(each.stage)
    record["cores_busy"] = float(each.cores_busy)
    return record | {f"service_{name}": value for name, value in asdict(service).items()}


def _show_csv(plan: Reckoning, screen: Screen) -> None:
    records = [_flat(*row) for row in plan.rows]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    screen.tell_raw(lines.getvalue().rstrip("\n"))


def _as_json(plan: Reckoning) -> dict[str, object]:
    return {
        "projections": [_flat(*row) for row in plan.rows],
        "service_limits": asdict(plan.limits),
        "service_exceeded_from_users": asdict(plan.reach),
        "figures": {
            entry.name: {
                "value": float(getattr(plan.figures, entry.name)),
                "from": plan.origins[entry.name].kind,
                "basis": plan.origins[entry.name].basis or None,
            }
            for entry in INPUTS
        },
    }


def _users(text: str) -> int:
    return _whole(text, "users", MAX_USERS)


def _limit(text: str) -> int:
    return _whole(text, "messages or connections", MAX_LIMIT)


def _whole(text: str, what: str, most: int) -> int:
    digits = text.replace(",", "")
    if not digits.isascii() or not digits.isdigit() or not 1 <= int(digits[:20]) <= most:
        raise ValueError(f"{text!r} is no number of {what}, 1 to {most:,}")
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
        "--messages-per-day",
        metavar="N",
        type=checked(_limit),
        help="how many messages a day a managed service carries for you: says with how many users "
        "that is exceeded (default: any number)",
    )
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=checked(_limit),
        help="likewise, how many connections at once (default: any number)",
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
    limits = ServiceLimits(arguments.messages_per_day, arguments.max_connections)

    def finish(status: Status | None) -> Exit:
        figures, origins = settle(given, status, arguments.users_now)
        plan = Reckoning.of(arguments.users, figures, origins, limits)
        return show(plan, arguments.format, screen)

    if arguments.source is None:
        asked: Deferred[Any] = succeed(None)
    else:
        asked = Deferred.fromCoroutine(
            ask(arguments.source, arguments.admin_token, reactor, screen)
        )
    return Inquiry(asked, finish, screen)


COMMAND = Command(
    "plan",
    "Reckons what a relay will carry, and the machine that this takes. Figures that aren't given\n"
    "are assumed, or measured on a running relay (--from); the last table says which is which.\n"
    "Data is what the relay sends, in decimal units, and a month has 30 days. At the peak every\n"
    "user is there, unless --peak-share says otherwise: that is the most it can come to.\n"
    "Bundles go whole, unless --patched says how many go as patches; the whole month's data then\n"
    "stands beside. On a managed service (--managed) a month has the working days, and messages\n"
    "are counted as such services do: when they come in, and once for each receiver. There are no\n"
    "prices here: set the amounts beside those of the service's plans.",
    _add_arguments,
    _start,
)
