"""What the soak sees of the relay over time, and whether its memory has stopped growing."""

import csv
import http.client
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .capacity_rows import quantile
from .curves import Curve
from .relay_metrics import delays_of

MIB = 1024 * 1024
POOL_BYTES = 24 * MIB
"""What a relay may take that is as large after a hundred scenarios as after a million, and is taken
when machines are busy: 16 receive buffers of 512 KiB, and an arena of the allocator for each
thread."""
NOISE_BYTES = 4 * MIB
"""What memory varies by from round to round."""
SLOPE_BYTES = 256
"""By how much a scenario may let memory grow in the second half of a long soak. One connection of
the two or three of a scenario has 10,000."""
LEAST_ROUNDS = 3
"""Fewer have no slope."""


class Reading(NamedTuple):
    """The relay at one moment."""

    at_s: float
    memory_bytes: int
    descriptors: int
    loop_lag_s: float
    """The 99th percentile since the reading before."""


class RoundEnd(NamedTuple):
    """The relay between two rounds, without clients."""

    scenarios: int
    """How many were lived through until then."""
    memory_bytes: int
    descriptors: int

    def __str__(self) -> str:
        return f"memory {self.memory_bytes / MIB:.1f} MiB, {self.descriptors} descriptors"


def growth_of(ends: Sequence[RoundEnd]) -> float:
    """How many bytes a scenario lets memory grow: the slope of the least squares; 0.0 where there
    are too few rounds to tell."""
    if len(ends) < LEAST_ROUNDS:
        return 0.0
    mean_x = sum(end.scenarios for end in ends) / len(ends)
    mean_y = sum(end.memory_bytes for end in ends) / len(ends)
    spread = sum((end.scenarios - mean_x) ** 2 for end in ends)
    if not spread:
        return 0.0
    return sum((end.scenarios - mean_x) * (end.memory_bytes - mean_y) for end in ends) / spread


def memory_problem(warm: Sequence[RoundEnd], measured: Sequence[RoundEnd]) -> str | None:
    """Why memory isn't flat, where it isn't.

    :param warm: the rounds of the warm-up.
    :param measured: those that followed.
    """
    growth = measured[-1].memory_bytes - max(end.memory_bytes for end in warm)
    if growth > POOL_BYTES:
        return f"memory flat: {growth / MIB:+.1f} MiB, above {POOL_BYTES / MIB:.0f}"
    half = measured[len(measured) // 2 :]
    slope = growth_of(half)
    grown = slope * (half[-1].scenarios - half[0].scenarios)
    if slope > SLOPE_BYTES and grown > NOISE_BYTES:
        return (
            f"memory flat: {slope:.0f} bytes a scenario in the second half, above {SLOPE_BYTES}, "
            f"which is {grown / MIB:+.1f} MiB"
        )
    return None


def read_process(pid: int) -> tuple[int, int]:
    """The memory of a process (RSS) in bytes, and how many descriptors it has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


class Watch:
    """Reads a relay at intervals, in a thread, while a soak runs.

    :param every_s: how often.
    """

    def __init__(self, port: int, pid: int, every_s: float) -> None:
        self.readings: list[Reading] = []
        self._port, self._pid, self._every_s = port, pid, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        before: dict[float, float] = {}
        while not self._over.wait(self._every_s):
            try:
                delays = delays_of(self._port)
                memory, descriptors = read_process(self._pid)
            except (OSError, http.client.HTTPException):
                # The soak itself says what becomes of the relay.
                continue
            lag_s = quantile(0.99, before, delays)
            self.readings.append(Reading(time.monotonic() - began_s, memory, descriptors, lag_s))
            before = delays


def curves_of(readings: Sequence[Reading]) -> list[Curve]:
    """What is drawn of them; x is in minutes."""
    minutes = [reading.at_s / 60 for reading in readings]

    def drawn(title: str, unit: str, values: Sequence[float]) -> Curve:
        return Curve(title, unit, list(zip(minutes, values, strict=True)))

    return [
        drawn("memory", "MiB", [reading.memory_bytes / MIB for reading in readings]),
        drawn("descriptors", "", [float(reading.descriptors) for reading in readings]),
        drawn("loop lag (p99)", "ms", [reading.loop_lag_s * 1000 for reading in readings]),
    ]


def write_readings(path: Path, readings: Sequence[Reading]) -> None:
    """Write them as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Reading._fields)
        writer.writerows(readings)
