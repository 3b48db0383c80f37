"""The claims of sessions: the interface of a store for them, and a store in memory.

Sessions are named by the hex SHA-256 of their ids. How a secret becomes a proof is in `tokens`.
"""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail, succeed

MOST_CLAIMS = 100_000
"""The most that one relay keeps: some 40 MB."""

_DROPPED_AT_ONCE = 8


class Claim(NamedTuple):
    """A claim, as it is kept."""

    proof: str
    tokens: bool = False
    """Whether phones have to show a join token."""


class TooManyClaims(Exception):
    """No more claims can be kept. None is dropped for a new one: an attacker who makes enough of
    them would take others' protection away."""


class Claims(Protocol):
    """Keeps claims, each until its time to live has passed since its last use."""

    def look(self, session: str) -> Deferred[Claim | None]:
        """The claim of a session; None for one without. Never fails."""

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        """Claim a session, or renew its claim: where the proof is the same, its time to live begins
        anew, and its ``tokens`` becomes that of ``claim``.

        :param is_tentative: the claim may be given back, and is forgotten soon unless it is taken
            again without this.
        :return: the claim that counts from now on: another one, where the session had one. Fires
            once the claim would outlive this process, if the store can do that. Fails with
            `TooManyClaims`.
        """

    def renew(self, session: str, claim: Claim) -> Deferred[Claim | None]:
        """As `take`, for a claim that was made before. None where an operator has released it."""

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """Forget a tentative claim, unless it was used since. Never fails."""

    def is_provisional(self, session: str) -> bool:
        """Whether the claim of which `look` or `take` has told last was made without asking all
        relays, and may yield to an earlier one."""


class MemoryClaims:
    """The `Claims` of a single relay. A `journal.Journal` keeps them over restarts.

    :param ttl_s: the time to live, in seconds since a claim's last use.
    :param now_s: the monotonic clock.
    """

    def __init__(self, ttl_s: float, now_s: Callable[[], float], most: int = MOST_CLAIMS) -> None:
        self.ttl_s = ttl_s
        self.on_use: Callable[[str, Claim, float], Deferred[None] | None] | None = None
        """Called with session, claim and time whenever a claim is made or used. For a claim that is
        not on the disk yet it returns a Deferred, which fires once it is."""
        self._now_s = now_s
        self._most = most
        self._claims: dict[str, tuple[Claim, float]] = {}
        """With the times of their last use, in whose order they are."""

    def __len__(self) -> int:
        return len(self._claims)

    def look(self, session: str) -> Deferred[Claim | None]:
        """See `Claims`."""
        return succeed(self.find(session))

    def find(self, session: str) -> Claim | None:
        """As `look`, at once."""
        found = self._claims.get(session)
        if found is None or self._now_s() - found[1] >= self.ttl_s:
            return None
        return found[0]

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        """See `Claims`."""
        there = self.find(session)
        if there is not None and there.proof != claim.proof:
            return succeed(there)
        self.drop_old()
        if session not in self._claims and len(self._claims) >= self._most:
            return fail(TooManyClaims())
        safe = self.put(session, claim)
        return succeed(claim) if safe is None else safe.addCallback(lambda _: claim)

    def renew(self, session: str, claim: Claim) -> Deferred[Claim | None]:
        """See `Claims`. One that was released is held by nobody here."""
        taking: Deferred[Claim | None] = self.take(session, claim)  # type: ignore[assignment]
        return taking

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """See `Claims`."""
        there = self.find(session)
        if there is not None and there.proof == claim.proof:
            self.release(session)
        return succeed(None)

    def release(self, session: str) -> Claim | None:
        """Forget the claim of a session, and have it forgotten on the disk. Returns it."""
        there = self.find(session)
        if there is not None and self.on_use is not None:
            # What is on the disk has to expire, too.
            self.on_use(session, there, self._now_s() - self.ttl_s)
        self.forget(session)
        return there

    def is_provisional(self, session: str) -> bool:
        """See `Claims`: there is nobody else to ask."""
        return False

    def put(self, session: str, claim: Claim, used_s: float | None = None) -> Deferred[None] | None:
        """Keep a claim, in place of any that the session had. With ``used_s``, `sort` has to be
        called afterwards.

        :return: see `on_use`.
        """
        self._claims.pop(session, None)
        now_s = self._now_s() if used_s is None else used_s
        self._claims[session] = (claim, now_s)
        return None if self.on_use is None else self.on_use(session, claim, now_s)

    def used_since(self, session: str, time_s: float) -> bool:
        """Whether the claim of a session was used here at that time or later."""
        found = self._claims.get(session)
        return found is not None and found[1] >= time_s

    def sort(self) -> None:
        """Put the claims in the order of their last use, and drop those whose time to live has
        passed."""
        now_s = self._now_s()
        left = [one for one in self._claims.items() if now_s - one[1][1] < self.ttl_s]
        self._claims = dict(sorted(left, key=lambda one: one[1][1])[-self._most :])

    def items(self) -> list[tuple[str, Claim, float]]:
        """All claims, with the times of their last use."""
        return [(session, claim, used_s) for session, (claim, used_s) in self._claims.items()]

    def forget(self, session: str) -> None:
        """Drop the claim of a session, if it has one."""
        self._claims.pop(session, None)

    def drop_old(self) -> None:
        """Drop a few of the claims whose time to live has passed."""
        now_s = self._now_s()
        for session, (_, used_s) in list(islice(self._claims.items(), _DROPPED_AT_ONCE)):
            if now_s - used_s < self.ttl_s:
                break
            del self._claims[session]
