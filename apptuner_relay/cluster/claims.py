"""Claims that nodes share: an `access.claims.Claims` in Redis.

Beside what `scripts` says, Redis holds ``claim:{session hash}``: ``proof tokens``, which lives the
time to live after its last use. The proof lets nobody in who reads it (`access.tokens`).

While Redis is away a node goes by what it has seen itself. A session that it has not seen counts as
nobody's: a relay that can't ask must let old clients in, or else an outage of Redis would be one of
all relays. What is claimed meanwhile is told to Redis when the claim is used next, which the relay
does every minute while somebody of it is connected.

Importing this module imports txredisapi, of the extra ``redis``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims
from apptuner_relay.cluster.directory import check_session
from apptuner_relay.cluster.redis import DEFAULT_PREFIX
from apptuner_relay.cluster.redis_endpoint import make_endpoint, read_authorities
from apptuner_relay.cluster.redis_link import CommandLink, LinkLost, ServerRefused
from apptuner_relay.cluster.redis_url import RedisUrl

ANSWER_S = 5.0
"""How long Redis may take to answer."""

_TENTATIVE_MS = 30_000
"""How long a claim lives that was made tentatively: longer than a client's place is looked for."""
_PROOF_CHARACTERS = 43
"""32 bytes in base64url."""

_LOOK = """
return redis.status_reply(redis.call('GET', ARGV[1]) or 'none')
"""
"""key → ``proof tokens``, or ``none``."""

_TAKE = """
local key, ttl_ms, tentative_ms, proof, tokens = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local there = redis.call('GET', key)
local found = there and string.match(there, '^(%S+) [01]$')
if found and found ~= proof then return redis.status_reply(there) end
local live_ms = ttl_ms
if tentative_ms ~= '0' then
  live_ms = math.max(tonumber(tentative_ms), found and redis.call('PTTL', key) or 0)
end
redis.call('SET', key, proof .. ' ' .. tokens, 'PX', string.format('%d', live_ms))
return redis.status_reply(proof .. ' ' .. tokens)
"""
"""key, ttl ms, how long it is to live if it is tentative and new, or 0, proof, tokens →
``proof tokens`` that count from now on."""

_GIVE_BACK = """
local key, tentative_ms, proof = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local there = redis.call('GET', key)
if there and string.match(there, '^(%S+) [01]$') == proof
    and redis.call('PTTL', key) <= tentative_ms then
  redis.call('DEL', key)
end
return redis.status_reply('done')
"""
"""key, how long a tentative one may live, proof."""


class Commands(Protocol):
    """What runs scripts: `redis_link.CommandLink`."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def run(self, script: str, *args: str | int) -> Deferred[Any]: ...


def make_claims(
    reactor: Any,
    url: RedisUrl,
    ttl_s: float,
    authorities: Path | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> "RedisClaims":
    """The claims in the server of a URL.

    :param authorities: a PEM file: who may have signed the server's certificate.
    :raises redis_endpoint.BadCertificates: the file can't be used.
    """
    trusted = None if authorities is None else read_authorities(authorities)
    link = CommandLink(make_endpoint(reactor, url, trusted), url, reactor, ANSWER_S)
    return RedisClaims(link, MemoryClaims(ttl_s, reactor.seconds), ttl_s, prefix)


class RedisClaims(Service):
    """See `access.claims.Claims`.

    :param seen: remembers what this node has seen.
    """

    log = Logger()

    def __init__(
        self, commands: Commands, seen: MemoryClaims, ttl_s: float, prefix: str = DEFAULT_PREFIX
    ) -> None:
        self._commands = commands
        self._seen = seen
        self._ttl_ms = int(ttl_s * 1000)
        self._tentative_ms = min(_TENTATIVE_MS, self._ttl_ms // 2)
        self._prefix = prefix
        self.is_away: bool | None = None
        """None until the first attempt to reach Redis has come to something."""
        self._waiting: list[Deferred[None]] = []
        commands.on_up, commands.on_down = self._up, self._down

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._commands.start()

    def stopService(self) -> Deferred[None]:
        """Disconnect."""
        super().stopService()
        self._go_on()
        return Deferred.fromCoroutine(self._commands.stop())

    def look(self, session: str) -> Deferred[Claim | None]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._look(check_session(session)))

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._take(check_session(session), claim, is_tentative))

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._give_back(check_session(session), claim))

    async def _look(self, session: str) -> Claim | None:
        await self._tried()
        try:
            reply = await self._commands.run(_LOOK, self._key(session))
        except (LinkLost, ServerRefused):
            return self._seen.find(session)
        claim = read_claim(reply)
        if claim is None:
            self._seen.forget(session)
        else:
            self._remember(session, claim)
        return claim

    async def _take(self, session: str, claim: Claim, is_tentative: bool) -> Claim:
        await self._tried()
        tentative_ms = self._tentative_ms if is_tentative else 0
        words = (self._key(session), self._ttl_ms, tentative_ms, claim.proof, int(claim.tokens))
        try:
            reply = await self._commands.run(_TAKE, *words)
        except (LinkLost, ServerRefused):
            return await self._seen.take(session, claim)
        counts = read_claim(reply) or claim
        self._remember(session, counts)
        return counts

    async def _give_back(self, session: str, claim: Claim) -> None:
        await self._seen.give_back(session, claim)
        try:
            await self._commands.run(
                _GIVE_BACK, self._key(session), self._tentative_ms, claim.proof
            )
        except (LinkLost, ServerRefused):
            # It is soon forgotten anyway.
            return

    def _remember(self, session: str, claim: Claim) -> None:
        self._seen.drop_old()
        if len(self._seen) < MOST_CLAIMS or self._seen.find(session) is not None:
            self._seen.put(session, claim)

    def _key(self, session: str) -> str:
        return f"{self._prefix}claim:{session}"

    async def _tried(self) -> None:
        """Wait until it is known whether Redis is there."""
        if self.is_away is None:
            tried: Deferred[None] = Deferred()
            self._waiting.append(tried)
            await tried

    def _up(self) -> None:
        if self.is_away:
            self.log.info("claims: Redis is reached again")
        self.is_away = False
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tried in waiting:
            tried.callback(None)

    def _down(self, reason: str) -> None:
        if not self.is_away and self.running:
            self.log.warn(
                "claims: Redis can't be reached ({reason}); claims are known here as far as they "
                "were seen here",
                reason=reason,
            )
        self.is_away = True
        self._go_on()


def read_claim(text: str) -> Claim | None:
    """What Redis holds of a session; None for nothing, and for what no relay wrote."""
    proof, _, tokens = text.partition(" ")
    if len(proof) != _PROOF_CHARACTERS or tokens not in ("0", "1"):
        return None
    return Claim(proof, tokens == "1")
