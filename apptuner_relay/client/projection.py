"""What so many users make a relay carry, and the machine that this takes. Pure arithmetic.

Exact (`Fraction`), so that a figure depends on what was put in and on nothing else. Data is what
the relay sends, in decimal units, and a month has 30 days: that is how hosts bill. Where the
default figures come from, each says beside itself; docs/reference/capacity.md has what was
measured, and `ops/bench/capacity` and `ops/bench/run` measure your machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

DAYS_PER_MONTH = 30
MIB = 1024 * 1024
MBIT_PER_S = 1_000_000

BUSIEST_CORE_SHARE = Fraction(1, 2)
"""Of a core that a relay may use in its busiest hour: the relay notes when it takes more. The rest
is for bursts."""
ROOM_SHARE = Fraction(1, 2)
"""Of what one relay carries: with more, it is time to plan another."""
BURST = 10
"""How far above its mean the line's traffic may go within the busiest hour."""
MEMORY_MARGIN = 2
SYSTEM_MEMORY_BYTES = 192 * MIB
"""For the machine's own needs, beside the relay."""
SMALLEST_MEMORY_BYTES = 512 * MIB
SPARE_DESCRIPTORS = 1024
"""For what is no client: files, listeners, connections that are just coming or going."""

_LINES_MBIT_PER_S = (100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 40_000, 100_000)


@dataclass(frozen=True)
class Figures:
    """What is put in. Everything is positive, but that shares and loads may be 0."""

    bundle_bytes: Fraction = Fraction(15_000_000)
    bundles_per_day: Fraction = Fraction(1)
    """Of each user."""
    copies: Fraction = Fraction(1)
    """Bytes sent to clients for each byte of a bundle: the phones of a session, above all."""
    patched_share: Fraction = Fraction(0)
    """Of the bundles, how many go as patches of the one before: to phones that take them, from
    clients that use them."""
    patch_bytes: Fraction = Fraction(1000)
    """Of a patch: everyday edits of a development bundle of 8.4 MB make 276 to 885, a new import of
    which all modules are numbered anew 50,000."""
    sessions_per_user: Fraction = Fraction(1)
    peak_share: Fraction = Fraction(1)
    """Of the users' sessions, how many are there when most are."""
    busy_hour_share: Fraction = Fraction(1, 5)
    """Of a day's data, what goes in its busiest hour."""
    connections_per_session: Fraction = Fraction(2)
    """A CLI and a phone."""
    base_memory_bytes: Fraction = Fraction(72 * MIB)
    """Of a relay without clients: 68 MiB resident with Python 3.11 on x86-64, rounded up."""
    session_memory_bytes: Fraction = Fraction(MIB // 2)
    """At most, with a bundle on its way to a phone that does not read: the 0.3 MiB that ops/bench
    holds its case `stalled` to, two connections of 18 KiB each, and some more. Of idle ones the
    two connections are all."""
    cpu_s_per_gb: Fraction = Fraction(2)
    """A core's time for 10⁹ bytes sent: 1.2 to 2 were measured where bundles come now and then, and
    0.46 to 0.86 where one follows the other, with one phone."""
    cpu_per_1000_sessions: Fraction = Fraction(3, 100)
    """A core's share for 1,000 sessions that move no bundle: with a ping of each client every 25 s,
    and a console log every 5 s, 2.4 to 2.9% were measured; idle, 1.4 to 1.8%."""
    notice_sessions: Fraction = Fraction(5000)
    """Half of `warning_sessions`: time to plan another relay."""
    warning_sessions: Fraction = Fraction(10_000)
    """Nearly as many were measured on one relay: 9,400, as descriptors allowed, in a quarter of its
    core."""
    managed_sessions: Fraction = Fraction(50_000)
    """Of five relays. Where fewer than `warning_sessions`, that many."""
    service_connections: Fraction = Fraction(2)
    """Of a session to a managed service: a CLI and a phone."""
    hours_per_day: Fraction = Fraction(4)
    days_per_month: Fraction = Fraction(22)
    log_lines_per_day: Fraction = Fraction(2000)
    notices_per_day: Fraction = Fraction(200)
    """Messages of each user that aren't console logs, and are never joined."""
    service_counts: Fraction = Fraction(2)
    """Of each message: it comes in, and goes out to one receiver."""
    lines_per_event: Fraction = Fraction(10)
    """What a few lines a second come to, joined for up to a quarter of a second in bursts."""


class ProjectionStage(IntEnum):
    """How big an operation is: what a relay carries is its core, and its sessions."""

    START = 1
    GROW = 2
    SCALE_OUT = 3
    MANAGED = 4

    @property
    def advice(self) -> str:
        return (
            "one relay, with room to grow",
            "one relay, time to plan another",
            "several relays",
            "several relays, or a managed service",
        )[self - 1]


@dataclass(frozen=True)
class Machine:
    """What is enough, at the sizes that machines come in."""

    cores: int
    """A relay process uses one; more cores are for more relays."""
    memory_bytes: int
    line_bit_per_s: int
    descriptors: int
    """The limit that the relay's process needs (`LimitNOFILE`)."""


@dataclass(frozen=True)
class Projection:
    """What comes out. Data in bytes."""

    users: int
    day_bytes: int
    month_bytes: int
    whole_month_bytes: int
    """What a month would be if every bundle went whole."""
    peak_sessions: int
    peak_connections: int
    memory_bytes: int
    """Of the relay, at the peak."""
    cores_busy: Fraction
    """In the busiest hour, on average."""
    machine: Machine
    stage: ProjectionStage
    next_stage_users: int | None
    """With how many users the next stage begins; None in the last, or where none ever does."""


def project(users: int, figures: Figures) -> Projection:
    """What `users` users come to."""
    bundles = users * figures.bundles_per_day * figures.copies
    whole_day_bytes = bundles * figures.bundle_bytes
    day_bytes = users * _day_bytes_per_user(figures)
    sessions = peak_sessions(users, figures)
    connections = math.ceil(sessions * figures.connections_per_session)
    memory_bytes = math.ceil(figures.base_memory_bytes + sessions * figures.session_memory_bytes)
    busy_bytes_per_s = day_bytes * figures.busy_hour_share / 3600
    cores_busy = users * _cores_busy_per_user(figures)
    stage = _stage(sessions, cores_busy, figures)
    return Projection(
        users,
        round(day_bytes),
        round(day_bytes * DAYS_PER_MONTH),
        round(whole_day_bytes * DAYS_PER_MONTH),
        sessions,
        connections,
        memory_bytes,
        cores_busy,
        Machine(
            max(
                1,
                math.ceil(cores_busy / BUSIEST_CORE_SHARE),
                math.ceil(sessions / figures.warning_sessions),
            ),
            _memory_size(memory_bytes),
            _line(busy_bytes_per_s * 8 * BURST),
            _power_of_two(connections + SPARE_DESCRIPTORS),
        ),
        stage,
        _first_users_beyond(stage, figures),
    )


def peak_sessions(users: int, figures: Figures) -> int:
    """How many sessions `users` users come to when most are there."""
    return math.ceil(users * _peak_sessions_per_user(figures))


def first_users_with_more(sessions: Fraction | int, figures: Figures) -> int | None:
    """The fewest users with more `peak_sessions` than so many; None where no number has."""
    each = _peak_sessions_per_user(figures)
    # Sessions are rounded up, so that they exceed a limit as soon as the product exceeds its floor.
    return math.floor(math.floor(sessions) / each) + 1 if each else None


def _peak_sessions_per_user(figures: Figures) -> Fraction:
    return figures.sessions_per_user * figures.peak_share


def _day_bytes_per_user(figures: Figures) -> Fraction:
    whole = (1 - figures.patched_share) * figures.bundle_bytes
    patched = figures.patched_share * figures.patch_bytes
    return figures.bundles_per_day * figures.copies * (whole + patched)


def _cores_busy_per_user(figures: Figures) -> Fraction:
    """In the busiest hour, on average: bytes that are sent, and sessions that are there."""
    bytes_per_s = _day_bytes_per_user(figures) * figures.busy_hour_share / 3600
    sending = bytes_per_s / 10**9 * figures.cpu_s_per_gb
    return sending + _peak_sessions_per_user(figures) / 1000 * figures.cpu_per_1000_sessions


def _stage(sessions: int, cores_busy: Fraction, figures: Figures) -> ProjectionStage:
    exceeded = [
        stage
        for stage, (most_sessions, most_cores) in _ends(figures).items()
        if sessions > most_sessions or (most_cores is not None and cores_busy > most_cores)
    ]
    return ProjectionStage(max(exceeded, default=0) + 1)


def _ends(figures: Figures) -> dict[ProjectionStage, tuple[Fraction, Fraction | None]]:
    """With how many sessions, and with how many busy cores, each stage ends that does."""
    return {
        ProjectionStage.START: (figures.notice_sessions, ROOM_SHARE * BUSIEST_CORE_SHARE),
        ProjectionStage.GROW: (figures.warning_sessions, BUSIEST_CORE_SHARE),
        ProjectionStage.SCALE_OUT: (
            max(figures.managed_sessions, figures.warning_sessions),
            None,
        ),
    }


def _first_users_beyond(stage: ProjectionStage, figures: Figures) -> int | None:
    if stage not in (ends := _ends(figures)):
        return None
    most_sessions, most_cores = ends[stage]
    begins = [first_users_with_more(most_sessions, figures)]
    each = _cores_busy_per_user(figures)
    if most_cores is not None and each:
        begins.append(math.floor(most_cores / each) + 1)
    return min((users for users in begins if users is not None), default=None)


def _memory_size(relay_bytes: int) -> int:
    return max(
        SMALLEST_MEMORY_BYTES, _power_of_two(relay_bytes * MEMORY_MARGIN + SYSTEM_MEMORY_BYTES)
    )


def _line(bit_per_s: Fraction) -> int:
    for size in _LINES_MBIT_PER_S:
        if bit_per_s <= size * MBIT_PER_S:
            return size * MBIT_PER_S
    largest = _LINES_MBIT_PER_S[-1] * MBIT_PER_S
    return math.ceil(bit_per_s / largest) * largest


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
