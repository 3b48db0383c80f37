"""Token buckets: so many at once, so many a second in the long run. Pure; times are given."""


class TokenBucket:
    """Full at first.

    :param rate: how many come back a second.
    :param burst: how many it holds.
    """

    __slots__ = ("_at_s", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """How many there are. A clock that was put back brings none."""
        past_s = max(0.0, now_s - self._at_s)
        self._level = min(self.burst, self._level + past_s * self.rate)
        self._at_s = now_s
        return self._level

    def wait_s(self, now_s: float, count: float = 1) -> float:
        """In how many seconds there will be ``count``, which is no more than it holds."""
        return max(0.0, (count - self.level(now_s)) / self.rate)

    def take(self, now_s: float, count: float = 1) -> bool:
        """Take ``count``, if there are as many."""
        if self.level(now_s) < count:
            return False
        self._level -= count
        return True


_MOST_BURSTS_GRANTED = 4


class Allowance:
    """How many messages a client may send: `left` is counted down by who takes them in, which costs
    no call and no look at the clock for as long as there are any.

    :param rate: messages a second in the long run; 0 for no limit.
    :param burst_s: so many seconds' worth at once.
    """

    __slots__ = ("_at_s", "_burst", "_granted", "_rate", "left")

    def __init__(self, rate: float, burst_s: float, now_s: float) -> None:
        self._rate = rate
        self._burst = rate * burst_s if rate else float("inf")
        self._at_s = now_s
        self._granted = 0.0
        self.left = self._burst
        """Below 0: there were none for so many messages that have been taken in."""

    def refill(self, now_s: float) -> bool:
        """Add what has come back. Whether that makes up for what was taken."""
        past_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self.left = min(self._burst, self.left + past_s * self._rate) + self._granted
        self._granted = 0.0
        return self.left >= 0

    def grant(self, count: float) -> None:
        """Have `refill` add so many more, once. What is not used of it is not kept for ever: no
        more than a few bursts are."""
        self._granted = min(self._granted + count, _MOST_BURSTS_GRANTED * self._burst)
