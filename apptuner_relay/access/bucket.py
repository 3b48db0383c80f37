"""Token buckets: a burst at once, a rate in the long run. Pure; times are parameters."""


class TokenBucket:
    """A token bucket, which is full at first.

    :param rate: tokens added a second.
    :param burst: the most tokens that it holds.
    """

    __slots__ = ("_at_s", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """How many tokens it has. A clock that was set back adds none."""
        past_s = max(0.0, now_s - self._at_s)
        self._level = min(self.burst, self._level + past_s * self.rate)
        self._at_s = now_s
        return self._level

    def wait_s(self, now_s: float, count: float = 1) -> float:
        """Seconds until it has ``count`` tokens, which is at most ``burst``."""
        return max(0.0, (count - self.level(now_s)) / self.rate)

    def take(self, now_s: float, count: float = 1) -> bool:
        """Take ``count`` tokens, if it has as many. Returns whether it had."""
        if self.level(now_s) < count:
            return False
        self._level -= count
        return True


_MOST_BURSTS_GRANTED = 4


class Allowance:
    """How many messages a client may send. The receiver counts `left` down by itself, which costs
    no call and no look at the clock while any are left.

    :param rate: messages a second in the long run; 0 for no limit.
    :param burst_s: how many seconds' worth may be sent at once.
    """

    __slots__ = ("_at_s", "_burst", "_granted", "_rate", "left")

    def __init__(self, rate: float, burst_s: float, now_s: float) -> None:
        self._rate = rate
        self._burst = rate * burst_s if rate else float("inf")
        self._at_s = now_s
        self._granted = 0.0
        self.left = self._burst
        """Messages that may be sent now; below 0, how many too many were received."""

    def refill(self, now_s: float) -> bool:
        """Add what the time since the last call allows. Returns whether `left` is 0 or more."""
        past_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self.left = min(self._burst, self.left + past_s * self._rate) + self._granted
        self._granted = 0.0
        return self.left >= 0

    def grant(self, count: float) -> None:
        """Have `refill` add ``count`` more, once. A few bursts at most are granted at any time."""
        self._granted = min(self._granted + count, _MOST_BURSTS_GRANTED * self._burst)
