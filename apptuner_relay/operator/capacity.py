"""How many sessions like those of the last minute the relay would carry. Pure arithmetic.

A relay carries as many as its CPU, its memory and its file descriptors do. Each is divided by what
a session of now takes of it, so the figure is worth something only while sessions are there, and
is for sessions that do what those of now do.
"""

from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.operator.process import ProcessUse

LEAST_SESSIONS = 20
"""Of fewer, what one takes is not told from what the relay takes by itself."""
FULL_SHARE = 0.8
"""Of the CPU, where no `warning_cpu` says how much of it is too much."""
MEMORY_SHARE = 0.9
"""The share of its limit above which memory is worth a warning."""


class SessionEstimate(NamedTuple):
    """How many sessions like those of now fit."""

    sessions: int
    """Rounded down to two digits."""
    limited_by: str
    """What is used up first: ``cpu``, ``memory`` or ``descriptors``."""


class Capacity:
    """Estimates it from the use of the process.

    :param session_count: how many sessions there are now.
    """

    def __init__(
        self, process: ProcessUse, session_count: Callable[[], int], settings: WarningSettings
    ) -> None:
        self._process = process
        self._session_count = session_count
        self._settings = settings
        self._base_memory_bytes = process.memory_bytes
        self._base_descriptors = process.descriptors

    @property
    def estimate(self) -> SessionEstimate | None:
        """None where too little is known."""
        sessions, process = self._session_count(), self._process
        if sessions < LEAST_SESSIONS or not process.cpu.has_a_minute:
            return None
        used = {"cpu": process.cpu.busy / (self._settings.warning_cpu or FULL_SHARE)}
        if process.memory_limit is not None:
            room_bytes = MEMORY_SHARE * process.memory_limit - self._base_memory_bytes
            used["memory"] = _part(process.memory_bytes - self._base_memory_bytes, room_bytes)
        share = self._settings.descriptors_limit or 1.0
        room = share * process.descriptors_limit - self._base_descriptors
        used["descriptors"] = _part(process.descriptors - self._base_descriptors, room)
        limited_by = max(used, key=lambda name: used[name])
        if used[limited_by] <= 0:
            return None
        return SessionEstimate(_round_down(sessions / used[limited_by]), limited_by)

    def row(self) -> dict[str, object]:
        """As JSON shows it. Shares are of one core, ``busy_share`` of what the relay can take at
        most; all of the last minute, or since the start."""
        cpu, estimate = self._process.cpu, self.estimate
        shares = cpu.shares
        return {
            "cpu_share": round(shares.process, 4),
            "loop_share": round(shares.loop, 4),
            "worker_share": round(shares.workers, 4),
            "busy_share": round(cpu.busy, 4),
            "cores": cpu.cores,
            "cpu_s": round(sum(cpu.read()[::2]), 3),
            "sessions": None if estimate is None else estimate.sessions,
            "limited_by": None if estimate is None else estimate.limited_by,
        }


def _part(used: float, room: float) -> float:
    return used / room if room > 0 else 0.0


def _round_down(count: float) -> int:
    """To two digits: more of them would claim more than is known."""
    step = int("1".ljust(len(str(int(count))) - 1, "0"))
    return int(count) // step * step
