"""Claims that nodes share: an `access.claims.Claims` in Redis. `claim_scripts` has the rules there.

While Redis is away, or refuses what it is asked for, a node goes by what it has seen itself. A
session that it has not seen counts as nobody's: a relay that can't ask must let old clients in, or
else an outage of Redis would be one of all relays. When Redis is there again, the claims that are
in use are put back before anybody hears what it says; what was claimed meanwhile counts unless the
session has another claim by then.

Importing this module imports txredisapi, of the extra ``redis``.
"""

import secrets
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims, TooManyClaims
from apptuner_relay.cluster import claim_scripts
from apptuner_relay.cluster.connections import GreetedCommands, Run
from apptuner_relay.cluster.directory import DirectoryAway, Events, check_session
from apptuner_relay.cluster.presence import Presence
from apptuner_relay.cluster.redis import DEFAULT_PREFIX
from apptuner_relay.cluster.redis_endpoint import make_endpoint, read_authorities
from apptuner_relay.cluster.redis_link import CommandLink, LinkLost, ServerRefused
from apptuner_relay.cluster.redis_url import RedisUrl

ANSWER_S = 5.0
"""How long Redis may take to answer."""
GRACE_S = 1.0
"""How long no session counts as nobody's after Redis has lost its data."""
PATIENCE_S = 2.0
"""A Redis that has been away for longer is not waited for."""

_TENTATIVE_S = 30.0
"""How long a claim lives that was made tentatively: longer than a client's place is looked for."""
_IN_USE_S = 150.0
"""A claim that was used so short a time ago may be in use: relays use them every minute."""
_AGAIN_S = 0.02
_BATCH = 200
_PROOF_CHARACTERS = 43
"""32 bytes in base64url."""


class Found(NamedTuple):
    """What Redis has of a session."""

    claim: Claim
    left_ms: int
    """For how long it is kept yet."""


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
    return RedisClaims(link, MemoryClaims(ttl_s, reactor.seconds), reactor, prefix)


class RedisClaims(Service):
    """See `access.claims.Claims`.

    :param seen: remembers what this node has seen.
    """

    log = Logger()

    def __init__(
        self,
        commands: GreetedCommands,
        seen: MemoryClaims,
        clock: IReactorTime,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        self.on_lost: Callable[[str], None] = lambda session: None
        """Called with a session whose claim, made here while Redis was away, does not count."""
        self.refusal: str | None = None
        """The code of Redis' last refusal, until it refuses no more."""
        self.refusals = 0
        """How often it has refused."""
        self._commands, self._seen, self._clock, self._prefix = commands, seen, clock, prefix
        self._ttl_ms = int(seen.ttl_s * 1000)
        self._tentative_ms = int(min(_TENTATIVE_S, seen.ttl_s / 2) * 1000)
        self._generation = ""
        """Of the claims into which this node's were put back; none at first."""
        self._has_lost = False
        """Whether Redis has lost its data, and not all that was seen is back yet."""
        self._alone: set[str] = set()
        """The sessions that were claimed here while Redis was away, until it knows them."""
        self._entering = DeferredLock()
        self._telling: Deferred[None] | None = None
        self._pauses: set[Deferred[None]] = set()
        self._presence = Presence(clock, Events(), PATIENCE_S, "claims: Redis")
        commands.greet = self._enter
        commands.on_up, commands.on_down = self._up, self._down

    @property
    def state(self) -> str:
        """``connected``, ``away``, or ``refused``: Redis is there, and doesn't do what it is asked
        for."""
        if self.away_since_s is None:
            return "connected"
        return "away" if self.refusal is None else "refused"

    @property
    def away_since_s(self) -> float | None:
        """Since when claims are known as far as they were seen here only, by the clock."""
        return self._presence.away_since_s

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._presence.start()
        self._commands.start()

    def stopService(self) -> Deferred[None]:
        """Disconnect."""
        super().stopService()
        self._presence.stop()
        for pause in tuple(self._pauses):
            pause.cancel()
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

    def compare(self) -> Deferred[None]:
        """Redis may have lost its data: put back what is in use. Never fails."""
        return Deferred.fromCoroutine(self._compare())

    async def _look(self, session: str) -> Claim | None:
        reply = await self._ask(claim_scripts.LOOK, session)
        if reply is None:
            return self._seen.find(session)
        found = read_found(reply)
        if found is not None:
            self._remember(session, found)
            return found.claim
        if session in self._alone:
            # It is about to be told.
            return self._seen.find(session)
        self._seen.forget(session)
        return None

    async def _take(self, session: str, claim: Claim, is_tentative: bool = False) -> Claim:
        reply = await self._ask(
            claim_scripts.TAKE,
            session,
            self._ttl_ms,
            self._tentative_ms if is_tentative else 0,
            claim.proof,
            int(claim.tokens),
        )
        if reply is None:
            is_new = self._seen.find(session) is None
            counts = await self._seen.take(session, claim)
            if is_new:
                self._alone.add(session)
            return counts
        self._alone.discard(session)
        found = read_found(reply)
        if found is None:
            return claim
        self._remember(session, found)
        return found.claim

    async def _give_back(self, session: str, claim: Claim) -> None:
        await self._seen.give_back(session, claim)
        self._alone.discard(session)
        await self._ask(claim_scripts.GIVE_BACK, session, self._tentative_ms, claim.proof)

    def _remember(self, session: str, found: Found) -> None:
        self._seen.drop_old()
        if len(self._seen) < MOST_CLAIMS or self._seen.find(session) is not None:
            since_s = max(0, self._ttl_ms - found.left_ms) / 1000
            self._seen.put(session, found.claim, self._clock.seconds() - since_s)

    # What is asked of Redis

    async def _ask(self, script: str, *args: str | int) -> str | None:
        """The reply to a script, once all relays had time to put their claims back; None where
        there is none in time."""
        until_s = self._clock.seconds() + ANSWER_S
        try:
            while True:
                await self._presence.wait(until_s)
                reply, pause_s = await self._try(script, *args)
                if reply is not None:
                    return reply
                await self._pause(pause_s, until_s)
        except (DirectoryAway, CancelledError):
            return None

    async def _try(self, script: str, *args: str | int) -> tuple[str | None, float]:
        """The reply to a script; or None, and for how many seconds to wait before trying again."""
        generation = self._generation
        try:
            reply: str = await self._run(script, self._prefix, generation, *args)
            if reply == "emptied":
                await self._enter_after(generation)
                return None, 0.0
        except LinkLost:
            return None, _AGAIN_S
        except ServerRefused as refused:
            self._refused(refused)
            return None, _AGAIN_S
        word, _, wait_ms = reply.partition(" ")
        if word == "settling":
            return None, int(wait_ms) / 1000
        return reply, 0.0

    def _run(self, script: str, *args: str | int) -> Deferred[Any]:
        return self._commands.run(script, *args)

    async def _pause(self, pause_s: float, until_s: float) -> None:
        if not self.running:
            raise CancelledError()
        left_s = until_s - self._clock.seconds()
        pause: Deferred[None] = deferLater(self._clock, max(0.0, min(pause_s, left_s)))
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)

    # What was lost is put back

    async def _enter_after(self, generation: str) -> None:
        """Put claims back, unless that was done since ``generation`` was the one."""
        await self._entering.acquire()
        try:
            if self._generation == generation:
                await self._enter(self._run)
        finally:
            self._entering.release()
        self._tell_rest()

    async def _enter(self, run: Run) -> None:
        """Put back the claims that are in use."""
        try:
            generation: str = await run(
                claim_scripts.ENTER, self._prefix, secrets.token_hex(8), int(GRACE_S * 1000)
            )
            before, self._generation = self._generation, generation
            if before not in ("", generation):
                self._has_lost = True
                self.log.warn("claims: Redis has lost its data; those that are known are put back")
            await self._put_back(run, self._known(in_use=True))
        except ServerRefused as refused:
            self._refused(refused)
            raise

    async def _put_back(self, run: Run, known: Iterable[str | int]) -> None:
        words = iter(known)
        while some := list(islice(words, 4 * _BATCH)):
            await run(claim_scripts.PUT_BACK, self._prefix, self._generation, *some)

    def _known(self, in_use: bool) -> list[str | int]:
        """What is put back: the claims of which Redis knew, those that were used last first."""
        now_s = self._clock.seconds()
        words: list[str | int] = []
        for session, claim, used_s in sorted(self._seen.items(), key=lambda one: -one[2]):
            since_s = now_s - used_s
            if since_s >= (min(_IN_USE_S, self._seen.ttl_s) if in_use else self._seen.ttl_s):
                break
            if session not in self._alone:
                left_ms = int(self._ttl_ms - since_s * 1000)
                words += session, claim.proof, int(claim.tokens), max(1, left_ms)
        return words

    async def _compare(self) -> None:
        try:
            if not self._presence.is_away:
                await self._entering.acquire()
                try:
                    await self._enter(self._run)
                finally:
                    self._entering.release()
                self._tell_rest()
        except (LinkLost, ServerRefused):
            # It is done when there is a connection again.
            return

    def _tell_rest(self) -> None:
        if self._telling is None and (self._has_lost or self._alone):
            self._telling = Deferred.fromCoroutine(self._tell())
            self._telling.addErrback(
                lambda failure: self.log.failure("telling Redis of claims has failed", failure)
            ).addCallback(self._told)

    def _told(self, _: None) -> None:
        self._telling = None

    async def _tell(self) -> None:
        """Tell Redis what it has lost of the claims that are not in use, and what was claimed here
        while it was away."""
        try:
            if self._has_lost:
                self._has_lost = False
                await self._put_back(self._run, self._known(in_use=False))
        except (LinkLost, ServerRefused):
            self._has_lost = True
            return
        for session in tuple(self._alone):
            claim = self._seen.find(session)
            if claim is None:
                self._alone.discard(session)
                continue
            try:
                counts = await self._take(session, claim)
            except TooManyClaims:
                return
            if counts.proof != claim.proof:
                self.on_lost(session)
            elif session in self._alone:
                # Redis is away again.
                return

    # Redis comes and goes

    def _up(self) -> None:
        self.refusal = None
        self._presence.reached()
        self._tell_rest()

    def _down(self, reason: str) -> None:
        self._presence.lost(reason)

    def _refused(self, refused: ServerRefused) -> None:
        self.refusals += 1
        if refused.code != self.refusal:
            self.refusal = refused.code
            self.log.warn("claims: Redis refuses to keep them: {why}", why=str(refused))


def read_found(text: str) -> Found | None:
    """What Redis holds of a session; None for nothing, and for what no relay wrote."""
    proof, _, rest = text.partition(" ")
    tokens, _, left_ms = rest.partition(" ")
    if len(proof) != _PROOF_CHARACTERS or tokens not in ("0", "1") or not left_ms.isdecimal():
        return None
    return Found(Claim(proof, tokens == "1"), int(left_ms))
