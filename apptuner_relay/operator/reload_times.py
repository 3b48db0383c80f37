"""`ReloadTimes`: how long reloads have taken on a day, in little memory. Pure.

A reload takes from the first byte of a bundle until its last live phone has acknowledged it. The
times are counted in buckets, each 4 % wider than the one before, so a quantile is right to 2 %. The
day file has them as text, so that the day goes on after a restart.
"""

import math
import re
from collections import Counter

_STEP = 1.04
_LOG_STEP = math.log(_STEP)
_LEAST_S = 0.001
_MOST_BUCKET = round(math.log(86_400 / _LEAST_S) / _LOG_STEP)
_TEXT = re.compile(r"(?:\d{1,3}:\d{1,12}(?: \d{1,3}:\d{1,12})*)?")


class ReloadTimes:
    """The times of one day."""

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        """A reload has taken so long."""
        bucket = round(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _LOG_STEP)
        self._counts[min(bucket, _MOST_BUCKET)] += 1
        self.count += 1

    def merge(self, other: "ReloadTimes") -> None:
        """Add what another one has."""
        self._counts.update(other._counts)
        self.count += other.count

    def quantile_s(self, share: float) -> float | None:
        """The time that ``share`` of all reloads took no longer than, in seconds; None where there
        were none."""
        rank = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                return _LEAST_S * _STEP**bucket
        return None

    def text(self) -> str:
        """As the day file has it; see `read`."""
        return " ".join(f"{bucket}:{self._counts[bucket]}" for bucket in sorted(self._counts))

    @classmethod
    def read(cls, text: object) -> "ReloadTimes | None":
        """What `text` has written; None where that is something else."""
        if not isinstance(text, str) or not _TEXT.fullmatch(text):
            return None
        times = cls()
        for word in text.split():
            bucket, count = map(int, word.split(":"))
            if bucket > _MOST_BUCKET:
                return None
            times._counts[bucket] += count
            times.count += count
        return times
