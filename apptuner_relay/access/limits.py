"""The limits of an address: connections, failed joins, and sessions at once. Pure.

An address here is what one customer of a network provider has: the address itself for IPv4, its /64
for IPv6. Unknown addresses (None: a UNIX socket, or a trusted proxy that could not tell) and those
of this machine are not limited.

All tables are bounded. An attacker with more addresses than a table has rows makes it forget
others, which then have their whole allowance again: that is why failed joins are counted over all
addresses, too.
"""

import hashlib
from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from apptuner_relay.access.bucket import TokenBucket
from apptuner_relay.access.lru_table import LRUTable
from apptuner_relay.session.session import BadRequest

GUESS_WINDOW_S = 600.0
"""The time over which failed joins are counted, in seconds."""
LIMITS = ("connect-rate", "failed-joins", "failed-joins-total", "sessions-per-address")
"""The options that set limits here."""
STRICT_SHARE = 0.1
"""The share of its failed joins that each address has while there are too many over all."""

_MINUTE_S = 60.0
_MOST_ADDRESSES = 16_384
_MOST_KNOWN = 65_536
_CUSTOMER_BITS = 64
_LONGEST_WAIT_S = 3600


class Limited(BadRequest):
    """A limit was hit: 429 (RFC 6585 §4), with Retry-After.

    ``limit`` names the option.
    """

    def __init__(self, limit: str, text: str, wait_s: float) -> None:
        seconds = min(max(1, ceil(wait_s)), _LONGEST_WAIT_S)
        super().__init__(
            429,
            f"{text}; try again in {seconds} s (--{limit})",
            (("Retry-After", str(seconds)),),
        )
        self.limit = limit


@lru_cache(maxsize=4096)  # Called several times for each client.
def customer(address: str | None) -> str | None:
    """The network by which an address is counted; None for one that is not limited."""
    if address is None:
        return None
    parsed = ip_address(address)
    if parsed.is_loopback:
        return None
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _CUSTOMER_BITS), strict=False))
    return str(parsed)


class ConnectRate:
    """The handshakes of each customer in a minute.

    :param most: the limit; 0 for none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._buckets: LRUTable[str, TokenBucket] = LRUTable(_MOST_ADDRESSES)

    def change(self, most: int) -> None:
        """Have another limit. Every customer has all of it again."""
        if most != self._most:
            self._most = most
            self._buckets = LRUTable(_MOST_ADDRESSES)

    def take(self, who: str | None, now_s: float) -> None:
        """Count a handshake.

        :raises Limited: the customer has made too many.
        """
        if who is None or not self._most:
            return
        rate = self._most / _MINUTE_S
        bucket = self._buckets.get_or_make(who, lambda: TokenBucket(rate, self._most, now_s))
        if not bucket.take(now_s):
            raise Limited(
                "connect-rate",
                f"More than {self._most} connections a minute from your address",
                bucket.wait_s(now_s),
            )


class FailedJoins:
    """The failed joins of each customer: sessions that don't exist, and wrong secrets.

    The same attempt made again counts once, so a phone that waits for its session to begin, or
    tries a wrong secret again and again, is no attacker. An honest office has a session or two for
    each developer; an attacker who guesses has a new one each time. A customer that has used up its
    failed joins is refused whatever it has not tried before, and before it is told whether that
    exists: otherwise guessing would go on, only with another answer for failures.

    :param most: the limit of one customer within `GUESS_WINDOW_S`; 0 for none.
    :param most_total: the limit over all customers; 0 for none. Above it, each customer has a tenth
        of ``most``. New attempts are not refused altogether, as an attacker with a few addresses
        could then keep everybody out.
    """

    def __init__(self, most: int, most_total: int, now_s: float) -> None:
        self._most, self._most_total = most, most_total
        self._buckets: LRUTable[str, TokenBucket] = LRUTable(_MOST_ADDRESSES)
        self._known: LRUTable[bytes, bool] = LRUTable(_MOST_KNOWN)
        self._total = _total_bucket(most_total, now_s)

    def change(self, most: int, most_total: int, now_s: float) -> None:
        """Have other limits. Where they differ, every customer has all of them again; what it has
        tried stays known."""
        if most != self._most:
            self._most = most
            self._buckets = LRUTable(_MOST_ADDRESSES)
        if most_total != self._most_total:
            self._most_total = most_total
            self._total = _total_bucket(most_total, now_s)

    def check(self, who: str | None, what: str, now_s: float) -> None:
        """Check that a customer may try ``what``.

        :raises Limited: it has too many failed joins, and has not tried this before.
        """
        if who is None or not self._most or self._key(who, what) in self._known:
            return
        bucket = self._buckets.get(who)
        if bucket is None:
            return
        strict = self._total is not None and self._total.level(now_s) < 1
        needed = max(1.0, self._most * (1 - STRICT_SHARE)) if strict else 1.0
        if bucket.level(now_s) < needed:
            raise Limited(
                "failed-joins-total" if strict and bucket.level(now_s) >= 1 else "failed-joins",
                "Too many attempts from your address at sessions that don't exist, or with wrong "
                "secrets",
                bucket.wait_s(now_s, needed),
            )

    def failed(self, who: str | None, what: str, now_s: float) -> bool:
        """An attempt has failed. Returns whether it is counted: it is a new one."""
        if who is None:
            return False
        key = self._key(who, what)
        if key in self._known:
            return False
        self._known.put(key, False)
        if self._most:
            rate = self._most / GUESS_WINDOW_S
            bucket = self._buckets.get_or_make(who, lambda: TokenBucket(rate, self._most, now_s))
            bucket.take(now_s)
        if self._total is not None:
            self._total.take(now_s)
        return True

    def succeeded(self, who: str | None, what: str) -> None:
        """An attempt has succeeded: the customer may repeat it, whatever else it tries."""
        if who is not None:
            self._known.put(self._key(who, what), True)

    @staticmethod
    def _key(who: str, what: str) -> bytes:
        return hashlib.blake2b(f"{who} {what}".encode(), digest_size=16).digest()


def _total_bucket(most_total: int, now_s: float) -> TokenBucket | None:
    if not most_total:
        return None
    return TokenBucket(most_total / GUESS_WINDOW_S, most_total, now_s)


class SessionCount:
    """The sessions in which a customer has clients. Its size is bounded by the number of clients.

    :param most: the limit; 0 for none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sessions: dict[str, Counter[str]] = {}

    def change(self, most: int) -> None:
        """Have another limit. Clients that are in sessions stay."""
        self._most = most

    def check(self, who: str | None, session: str) -> None:
        """Check that a customer may have a client in ``session``.

        :raises Limited: it would be one session too many.
        """
        if who is None or not self._most:
            return
        there = self._sessions.get(who)
        if there is not None and session not in there and len(there) >= self._most:
            raise Limited(
                "sessions-per-address",
                f"Your address already has clients in {self._most} sessions, the most it may have",
                _MINUTE_S,
            )

    def entered(self, who: str | None, session: str) -> None:
        """A client has joined ``session``."""
        if who is not None:
            self._sessions.setdefault(who, Counter())[session] += 1

    def left(self, who: str | None, session: str) -> None:
        """A client that has `entered` has left."""
        there = self._sessions.get(who) if who is not None else None
        if who is None or there is None:
            return
        there[session] -= 1
        if there[session] <= 0:
            del there[session]
        if not there:
            del self._sessions[who]
