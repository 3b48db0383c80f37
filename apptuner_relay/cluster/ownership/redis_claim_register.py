"""The claims that relays share, as an operator sees them. `claim_scripts` has the rules: what is
released does not come back from another relay's memory.
"""

import re
from collections.abc import Sequence

from apptuner_relay.access.claim_register import (
    ClaimPage,
    KeptClaim,
    Outcome,
    RegisterUnavailable,
)
from apptuner_relay.access.claims import Claim
from apptuner_relay.cluster.ownership import claim_scripts
from apptuner_relay.cluster.ownership.redis_claims import RedisClaims

_AT_ONCE = 500
"""How many keys Redis looks at in one script, or how many claims it adds: a few ms."""
_CURSOR = re.compile(r"[0-9]{1,20}")
_ROW = re.compile(r"([0-9a-f]{64}) (\S{43}) ([01]) (-?[0-9]+)")
_END = "0"


class RedisClaimRegister:
    """See `claim_register.ClaimRegister`."""

    kept_in = "redis"

    def __init__(self, claims: RedisClaims) -> None:
        self.ttl_s = claims.ttl_s
        self._claims = claims

    async def page(self, cursor: str | None, prefix: str) -> ClaimPage:
        """See `ClaimRegister`. The cursor is that of Redis' SCAN."""
        at = _END if cursor is None else cursor
        if not _CURSOR.fullmatch(at):
            raise ValueError("there is no such cursor")
        at, *rows = (await self._ask(claim_scripts.LIST, at, prefix, _AT_ONCE)).split(",")
        found = [self._read(row) for row in rows]
        return ClaimPage([one for one in found if one is not None], None if at == _END else at)

    def _read(self, row: str) -> KeptClaim | None:
        match = _ROW.fullmatch(row)
        if match is None:
            # Nothing that a relay has written.
            return None
        session, proof, tokens, left_ms = match.groups()
        idle_s = max(0.0, self.ttl_s - int(left_ms) / 1000)
        return KeptClaim(session, Claim(proof, tokens == "1"), idle_s)

    async def release(self, session: str) -> bool:
        """See `ClaimRegister`."""
        reply = await self._ask(claim_scripts.RELEASE, session, int(self.ttl_s * 1000))
        # The other relays hear of it from Redis.
        self._claims.released(session)
        return reply == "done"

    async def take_in(self, claims: Sequence[KeptClaim], replaces: bool) -> list[Outcome]:
        """See `ClaimRegister`."""
        outcomes: list[Outcome] = []
        for at in range(0, len(claims), _AT_ONCE):
            outcomes += await self._take_in(claims[at : at + _AT_ONCE], replaces)
        return outcomes

    async def _take_in(self, claims: Sequence[KeptClaim], replaces: bool) -> list[Outcome]:
        words: list[str | int] = []
        for one in claims:
            if one.idle_s < self.ttl_s:
                left_ms = max(1, int((self.ttl_s - max(0.0, one.idle_s)) * 1000))
                words += one.session, one.claim.proof, int(one.claim.tokens), left_ms
        replies: list[str] = []
        if words:
            ttl_ms = int(self.ttl_s * 1000)
            said = await self._ask(claim_scripts.IMPORT, ttl_ms, int(replaces), *words)
            replies = said.split(" ")
        told = iter(replies)
        return [
            Outcome(next(told)) if one.idle_s < self.ttl_s else Outcome.EXPIRED for one in claims
        ]

    async def _ask(self, script: str, *args: str | int) -> str:
        """:raises RegisterUnavailable: there is no answer."""
        reply = await self._claims.ask(script, *args)
        if reply is None:
            refusal = self._claims.refusal
            raise RegisterUnavailable(
                "Redis, which has the claims, can't be reached now"
                if refusal is None
                else f"Redis, which has the claims, refuses to answer: {refusal}"
            )
        return reply
