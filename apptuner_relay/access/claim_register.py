"""The claims as an operator sees them: listed, released, exported and imported.

`MemoryClaimRegister` is that of a relay by itself; `redis_claim_register` that of relays which
share theirs. Not here: what a client may do with a claim (`access_control`).
"""

import heapq
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, gatherResults

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims

PAGE = 1000
"""About how many claims are listed at once."""


class KeptClaim(NamedTuple):
    """A claim, and when it was used last."""

    session: str
    claim: Claim
    idle_s: float
    """Seconds since its last use."""


class ClaimPage(NamedTuple):
    """Some of the claims."""

    claims: Sequence[KeptClaim]
    cursor: str | None
    """With which the next page is asked for; None on the last one."""


class Outcome(Enum):
    """What became of a claim that was imported."""

    ADDED = "added"
    KNOWN = "known"
    """The session had it already."""
    CONFLICTING = "conflicting"
    """The session has another one, which was not touched."""
    REPLACED = "replaced"
    """The session had another one."""
    EXPIRED = "expired"
    """It was last used longer ago than claims are kept."""
    FULL = "full"
    """No more claims can be kept."""


class RegisterUnavailable(Exception):
    """The claims can't be asked for now; the text says why."""


class ClaimRegister(Protocol):
    """All claims. The methods raise `RegisterUnavailable`."""

    kept_in: str
    """Where: ``memory`` or ``redis``."""
    ttl_s: float
    """How long a claim is kept after its last use."""

    async def page(self, cursor: str | None, prefix: str) -> ClaimPage:
        """Some of the claims of the sessions that begin with ``prefix``. One may be on several
        pages.

        :param cursor: that of the page before; None at first.
        :raises ValueError: there is no such cursor.
        """

    async def release(self, session: str) -> bool:
        """Forget a session's claim, everywhere. Returns whether it had one."""

    async def take_in(self, claims: Sequence[KeptClaim], replaces: bool) -> list[Outcome]:
        """Add claims from elsewhere.

        :param replaces: whether one is to replace another that its session has.
        """


class MemoryClaimRegister:
    """The claims of a relay by itself. See `ClaimRegister`.

    :param seconds: the clock by which the claims' times are.
    :param on_released: called with a session whose claim was released or replaced.
    """

    kept_in = "memory"

    def __init__(
        self,
        claims: MemoryClaims,
        seconds: Callable[[], float],
        on_released: Callable[[str], None],
    ) -> None:
        self.ttl_s = claims.ttl_s
        self._claims, self._seconds, self._on_released = claims, seconds, on_released

    async def page(self, cursor: str | None, prefix: str) -> ClaimPage:
        """See `ClaimRegister`. The cursor is the last session of the page before."""
        now_s = self._seconds()
        after = cursor or ""
        found = heapq.nsmallest(
            PAGE + 1,
            (
                one
                for one in self._claims.items()
                if one[0] > after and one[0].startswith(prefix) and now_s - one[2] < self.ttl_s
            ),
            key=lambda one: one[0],
        )
        rows = [KeptClaim(session, claim, now_s - used_s) for session, claim, used_s in found]
        return ClaimPage(rows[:PAGE], rows[PAGE - 1].session if len(rows) > PAGE else None)

    async def release(self, session: str) -> bool:
        """See `ClaimRegister`."""
        before = self._claims.release(session)
        self._on_released(session)
        return before is not None

    async def take_in(self, claims: Sequence[KeptClaim], replaces: bool) -> list[Outcome]:
        """See `ClaimRegister`. Fires once they would outlive this process."""
        self._claims.sort()
        written: list[Deferred[None]] = []
        outcomes = [self._take_in(one, replaces, written) for one in claims]
        self._claims.sort()
        await gatherResults(written)
        return outcomes

    def _take_in(self, one: KeptClaim, replaces: bool, written: list[Deferred[None]]) -> Outcome:
        if one.idle_s >= self.ttl_s:
            return Outcome.EXPIRED
        used_s = self._seconds() - max(0.0, one.idle_s)
        before, claim = self._claims.find(one.session), one.claim
        outcome = Outcome.ADDED
        if before is None:
            if len(self._claims) >= MOST_CLAIMS:
                return Outcome.FULL
        elif before.proof == claim.proof:
            if self._claims.used_since(one.session, used_s):
                return Outcome.KNOWN
            outcome, claim = Outcome.KNOWN, before
        elif replaces:
            outcome = Outcome.REPLACED
            self._on_released(one.session)
        else:
            return Outcome.CONFLICTING
        safe = self._claims.put(one.session, claim, used_s)
        if safe is not None:
            written.append(safe)
        return outcome
