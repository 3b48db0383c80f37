"""`SessionRate`: how often visitors may ask for what costs much more than asking does."""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from apptuner_relay.access.bucket import TokenBucket
from apptuner_relay.access.lru_table import LRUTable
from apptuner_relay.session.session import BadRequest

_MOST_SESSIONS = 16_384


class Rate(NamedTuple):
    """So many times a second in the long run, and so many at once."""

    per_s: float
    burst: int

    def bucket(self, now_s: float) -> TokenBucket:
        return TokenBucket(self.per_s, self.burst, now_s)


class SessionRate:
    """The limits of one thing, for each session, and for all sessions together.

    :param text: what there was too much of, for people.
    :param seconds: the monotonic clock.
    """

    def __init__(self, text: str, each: Rate, total: Rate, seconds: Callable[[], float]) -> None:
        self._text = text
        self._each = each
        self._seconds = seconds
        self._total = total.bucket(seconds())
        self._sessions: LRUTable[str, TokenBucket] = LRUTable(_MOST_SESSIONS)

    def take(self, session: str, count: float = 1) -> None:
        """Count one.

        :param count: as how many it counts. More than all that may be had at once is that.
        :raises BadRequest: 429, there were too many.
        """
        now_s, count = self._seconds(), min(count, self._each.burst)
        bucket = self._sessions.get_or_make(session, lambda: self._each.bucket(now_s))
        wait_s = max(bucket.wait_s(now_s, count), self._total.wait_s(now_s, count))
        if wait_s:
            seconds = ceil(wait_s)
            raise BadRequest(
                429,
                f"{self._text}; try again in {seconds} s",
                (("Retry-After", str(seconds)),),
            )
        bucket.take(now_s, count)
        self._total.take(now_s, count)
