"""Which sessions are claimed, and with what: the interface, and one that keeps it in memory.

Sessions are named by the hex SHA-256 of their ids. How a secret becomes a proof is in `tokens`.
"""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail, succeed

MOST_CLAIMS = 100_000
"""What one relay keeps: some 40 MB."""


_DROPPED_AT_ONCE = 8


class Claim(NamedTuple):
    """What is kept of a claim."""

    proof: str
    tokens: bool = False
    """Whether phones have to show a join token."""


class TooManyClaims(Exception):
    """No more can be kept. None that is kept goes for another: whoever makes enough of them would
    take others' protection away."""


class Claims(Protocol):
    """Keeps claims, each until nobody has used it for the time to live."""

    def look(self, session: str) -> Deferred[Claim | None]:
        """The claim of a session, if it has one. Never fails."""

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        """Claim a session, or use its claim once more: where the proof is the same, its time begins
        anew, and ``tokens`` is as it is said now.

        :param is_tentative: what is claimed may be given back, and is forgotten soon unless it is
            taken again without this.
        :return: what counts from now on: another's claim, where there was one. Fires when the
            claim outlives this process, if it can be had to. Fails with `TooManyClaims`.
        """

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """Forget a claim that was made tentatively, unless somebody has used it since. Never
        fails."""


class MemoryClaims:
    """`Claims` of a relay without others. A `journal.Journal` keeps them over restarts.

    :param ttl_s: seconds for which a claim that nobody uses is kept.
    :param now_s: the monotonic clock.
    """

    def __init__(self, ttl_s: float, now_s: Callable[[], float], most: int = MOST_CLAIMS) -> None:
        self.ttl_s = ttl_s
        self.on_use: Callable[[str, Claim, float], Deferred[None] | None] | None = None
        """Called with session, claim and time whenever a claim is made or used. What it returns,
        if anything, fires when a claim is safe that was not before."""
        self._now_s = now_s
        self._most = most
        self._claims: dict[str, tuple[Claim, float]] = {}
        """With the time of the last use, which is also their order."""

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

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """See `Claims`."""
        there = self.find(session)
        if there is not None and there.proof == claim.proof:
            if self.on_use is not None:
                # What outlives this process is to be as good as forgotten.
                self.on_use(session, there, self._now_s() - self.ttl_s)
            self.forget(session)
        return succeed(None)

    def put(self, session: str, claim: Claim, used_s: float | None = None) -> Deferred[None] | None:
        """Keep a claim, whatever there was. `sort` is due after one with a time of its own.

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
        """Put in the order of their use what was `put` in any, and leave out what has had its
        time."""
        now_s = self._now_s()
        left = [one for one in self._claims.items() if now_s - one[1][1] < self.ttl_s]
        self._claims = dict(sorted(left, key=lambda one: one[1][1])[-self._most :])

    def items(self) -> list[tuple[str, Claim, float]]:
        """All there are, with the times of their last use."""
        return [(session, claim, used_s) for session, (claim, used_s) in self._claims.items()]

    def forget(self, session: str) -> None:
        """A session has no claim. Harmless if it had none."""
        self._claims.pop(session, None)

    def drop_old(self) -> None:
        """Make room of what has had its time, a few at once."""
        now_s = self._now_s()
        for session, (_, used_s) in list(islice(self._claims.items(), _DROPPED_AT_ONCE)):
            if now_s - used_s < self.ttl_s:
                break
            del self._claims[session]
