"""The figures that `plan` reckons with, as options of the command line: their names, units and
limits. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from apptuner_relay.client.amounts import data, memory, number

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
_KB = Unit("kB (10³ bytes)", Fraction(10**3), data)
_MIB = Unit("MiB", Fraction(2**20), memory)
_SHARE = Unit("%", Fraction(1, 100), _percent, most=100)
_SECONDS = Unit("s", show=lambda value: f"{number(value)} s")
_HOURS = Unit("h", show=lambda value: f"{number(value)} h", most=24)
_DAYS = Unit("days", show=lambda value: f"{number(value)} days", most=31)


@dataclass(frozen=True)
class Input:
    """A figure as an option."""

    name: str
    """Its name in `Figures`."""
    option: str
    doc: str
    unit: Unit = _PLAIN
    least: int | None = None
    """None: any number above 0."""
    basis: str = ""
    """Of what is assumed."""

    def read(self, text: str) -> Fraction:
        """The figure, from what was typed. Raises `ValueError` with a text for the user."""
        digits = text.removesuffix("%") if self.unit is _SHARE else text
        value = Fraction(digits) if _NUMBER.fullmatch(digits) else Fraction(-1)
        is_enough = value > 0 if self.least is None else value >= self.least
        if not is_enough or value > self.unit.most:
            least = "above 0" if self.least is None else f"{self.least} or more"
            raise ValueError(f"{text!r} is no number {least} and at most {self.unit.most:,}")
        return value * self.unit.factor


_BENCH = "ops/bench/run --only relay --cases"

INPUTS = (
    Input("bundle_bytes", "bundle-mb", "a bundle, as it is sent", _MB),
    Input("bundles_per_day", "bundles-per-day", "bundles of a user a day", least=0),
    Input("copies", "copies", "bytes sent for a bundle's byte (phones in a session)"),
    Input("patched_share", "patched", "of all bundles, sent as patches", _SHARE, least=0),
    Input("patch_bytes", "patch-kb", "a patch, as it is sent", _KB,
          basis="everyday edits of 8.4 MB make 0.3 to 0.9 kB"),
    Input("sessions_per_user", "sessions-per-user", "sessions of a user"),
    Input("peak_share", "peak-share", "of all sessions, there at the peak", _SHARE),
    Input("busy_hour_share", "busy-hour", "of a day's data, in its busiest hour", _SHARE),
    Input("connections_per_session", "connections-per-session", "connections of a session"),
    Input("base_memory_bytes", "base-memory-mib", "memory of a relay without clients", _MIB),
    Input("session_memory_bytes", "session-memory-mib", "memory of a session, at most", _MIB,
          basis=f"{_BENCH} stalled tells yours"),
    Input("cpu_s_per_gb", "cpu-per-gb", "a core's time to send 1 GB", _SECONDS,
          least=0, basis="ops/bench/capacity --only bundles tells yours"),
    Input("cpu_per_1000_sessions", "cpu-per-1000-sessions",
          "of a core, for 1,000 sessions without bundles", _SHARE, least=0,
          basis="ops/bench/capacity tells yours"),
    Input("notice_sessions", "notice-sessions", "sessions above which to plan another relay"),
    Input("warning_sessions", "warning-sessions", "sessions that one relay carries",
          basis="ops/bench/capacity tells yours"),
    Input("managed_sessions", "managed-sessions",
          "sessions above which to consider a managed service"),
    Input("service_connections", "service-connections",
          "connections of a session to a managed service"),
    Input("hours_per_day", "hours-per-day", "a session's time a day", _HOURS, least=0),
    Input("days_per_month", "days-per-month", "working days of a month", _DAYS, least=0),
    Input("log_lines_per_day", "log-lines", "console log lines of a user a day", least=0),
    Input("notices_per_day", "notices", "other messages of a user a day", least=0,
          basis="100 saves, a notice and an acknowledgement each"),
    Input("service_counts", "service-counts",
          "times that a managed service counts a message (in, and out to each receiver)"),
    Input("lines_per_event", "lines-per-event", "log lines that are joined to one message",
          least=1),
)  # fmt: skip
