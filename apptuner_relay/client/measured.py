"""Which of a projection's figures a relay's own records give, and from what. Pure.

A figure that the records can't give is left out: the projection then goes on with its assumption,
and says so. Nothing is measured of too little.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from apptuner_relay.client.projection import Figures
from apptuner_relay.client.records import DayRecord, Status

LEAST_SESSIONS = 20
"""For what a session takes of memory and CPU: with fewer, the process's own ups and downs are
more."""


@dataclass(frozen=True)
class Measured:
    """A figure, and in words what it was taken from."""

    value: Fraction
    basis: str


def measure(status: Status, figures: Figures, users_now: int | None) -> dict[str, Measured]:
    """By the names of `Figures`, whose values stand for what can't be measured.

    :param users_now: how many users the relay had in that time, which it can't know.
    """
    found: dict[str, Measured] = {}
    seen = [day for day in (*status.days, status.today) if day.bundles]
    if seen:
        found |= _of_bundles(seen)
    found |= _of_users(status.days, figures, users_now)
    if status.sessions >= LEAST_SESSIONS:
        spent = status.memory_bytes - figures.base_memory_bytes
        if spent > 0:
            found["session_memory_bytes"] = Measured(
                spent / status.sessions, f"{status.sessions:,} sessions now"
            )
        if status.cores_busy is not None:
            # What was sent in that minute took its part; what is left is for being there.
            sent = Fraction(status.minute_bytes, 60 * 10**9) * figures.cpu_s_per_gb
            left = max(Fraction(0), Fraction(status.cores_busy) - sent)
            found["cpu_per_1000_sessions"] = Measured(
                left / status.sessions * 1000, f"{status.sessions:,} sessions in the last minute"
            )
    return found


def _of_bundles(days: list[DayRecord]) -> dict[str, Measured]:
    bundles = sum(day.bundles for day in days)
    bundle_bytes = sum(day.bundle_bytes for day in days)
    found = {}
    if bundle_bytes:
        basis = f"{bundles:,} bundle{'s' * (bundles != 1)} in {_days(days)}"
        sent = Fraction(sum(day.bytes_out for day in days), bundle_bytes)
        found["bundle_bytes"] = Measured(Fraction(bundle_bytes, bundles), basis)
        found["copies"] = Measured(sent, f"all that was sent, for {basis}")
    return found


def _of_users(
    days: tuple[DayRecord, ...], figures: Figures, users_now: int | None
) -> dict[str, Measured]:
    """What takes whole days: today's bundles and peak may be still to come."""
    peak = max((day.peak_sessions for day in days), default=0)
    bundles = sum(day.bundles for day in days)
    if not peak or not bundles:
        return {}
    if users_now is not None:
        basis = f"{_days(days)} with {users_now:,} users"
        return {
            "bundles_per_day": Measured(Fraction(bundles, len(days) * users_now), basis),
            "peak_share": Measured(peak / (users_now * figures.sessions_per_user), basis),
        }
    per_session = Fraction(bundles, sum(day.peak_sessions for day in days))
    return {
        "bundles_per_day": Measured(
            per_session * figures.sessions_per_user * figures.peak_share,
            f"{_days(days)}, a day's bundles over its peak of sessions (--users-now tells more)",
        )
    }


def _days(days: tuple[DayRecord, ...] | list[DayRecord]) -> str:
    return "1 day" if len(days) == 1 else f"{len(days)} days"
