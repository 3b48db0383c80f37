"""Claims that nodes share: an `access.claims.Claims` in Redis. `claim_scripts` has the rules.

While Redis is unreachable, or refuses commands, a node goes by the claims that it has seen itself.
A session without such a claim counts as unclaimed: otherwise an outage of Redis would be an outage
of all relays, as none could let old clients in. When Redis is reachable again, the claims in use
are put back before anything else is asked. A claim that was made meanwhile counts, unless the
session has another one by then, or one is put back within `PROVISIONAL_S`.

Importing this module imports txredisapi, of the extra ``redis``.
"""

import secrets
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims, TooManyClaims
from apptuner_relay.cluster.ownership import claim_scripts
from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.claim_replies import Found, ProvisionalSessions, read_found
from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, Events, check_session
from apptuner_relay.cluster.ownership.redis_directory import DEFAULT_PREFIX
from apptuner_relay.cluster.ownership.redis_link import (
    CommandLink,
    LinkLost,
    RunScript,
    ServerRefused,
)

ANSWER_S = 5.0
"""How long Redis may take to answer."""
GRACE_S = 1.0
"""How long no session counts as unclaimed after Redis has lost its data."""
PROVISIONAL_S = 60.0
"""For how long a claim yields to one that is put back, if it was made without asking all relays.
Longer than any relay that runs takes to reach Redis again."""
PATIENCE_S = 2.0
"""A Redis that has been unreachable for longer is not waited for."""

_TENTATIVE_S = 30.0
"""How long a tentative claim lives: longer than looking for a client's place takes."""
_IN_USE_S = 150.0
"""A claim that was used less than this ago may be in use: relays use theirs every minute."""
_AGAIN_S = 0.02
_CHECK_S = 1.0
_BATCH = 200
_WORDS = 5
"""What is put back of each claim."""
_PROVISIONAL_MS = int(PROVISIONAL_S * 1000)


class RedisClaims(Service):
    """See `access.claims.Claims`.

    :param seen: the claims that this node has seen.
    """

    log = Logger()

    def __init__(
        self,
        commands: CommandLink,
        seen: MemoryClaims,
        clock: IReactorTime,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        self.on_lost: Callable[[str], None] = lambda session: None
        """Called with a session whose claim was known here as one that may yield, and has."""
        self.on_released: Callable[[str], None] = lambda session: None
        """Called with a session whose claim an operator has released, or replaced."""
        self.refusal: str | None = None
        """The code of Redis' last refusal. None when it refuses no more."""
        self.refusals = 0
        """How often it has refused."""
        self._commands, self._seen, self._clock, self._prefix = commands, seen, clock, prefix
        self.ttl_s = seen.ttl_s
        self._ttl_ms = int(seen.ttl_s * 1000)
        self._tentative_ms = int(min(_TENTATIVE_S, seen.ttl_s / 2) * 1000)
        self._generation = ""
        """The generation into which this node's claims were put back. None at first."""
        self._has_lost = False
        """Whether Redis has lost its data, and not all known claims were put back yet."""
        self._unsent: set[str] = set()
        """The sessions that were claimed here while Redis was unreachable, until their claims were
        sent there."""
        self._provisional = ProvisionalSessions(clock.seconds)
        """Other sessions: those of which the claim in Redis is provisional."""
        self._entering = DeferredLock()
        self._sending: Deferred[None] | None = None
        self._pauses: set[Deferred[None]] = set()
        self._availability = Availability(clock, Events(), PATIENCE_S, "claims: Redis")
        self._checks = LoopingCall(self._check_provisional)
        self._checks.clock = clock
        commands.greet = self._enter
        commands.on_connected, commands.on_disconnected = self._connected, self._disconnected

    @property
    def state(self) -> str:
        """``connected``; ``away`` while Redis is unreachable; ``refused`` while it is reachable,
        and refuses commands."""
        if self.unreachable_since_s is None:
            return "connected"
        return "away" if self.refusal is None else "refused"

    @property
    def unreachable_since_s(self) -> float | None:
        """Since when only the claims that were seen here are known, in seconds of the clock. None
        while Redis is asked."""
        return self._availability.unreachable_since_s

    def startService(self) -> None:
        """Begin to connect."""
        super().startService()
        self._availability.start()
        self._checks.start(_CHECK_S, now=False).addErrback(self._failed)
        self._commands.start()

    def stopService(self) -> Deferred[None]:
        """Disconnect."""
        super().stopService()
        self._availability.stop()
        if self._checks.running:
            self._checks.stop()
        for pause in tuple(self._pauses):
            pause.cancel()
        return Deferred.fromCoroutine(self._commands.stop())

    def look(self, session: str) -> Deferred[Claim | None]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._look(check_session(session)))

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._take(check_session(session), claim, is_tentative))

    def renew(self, session: str, claim: Claim) -> Deferred[Claim | None]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._take(check_session(session), claim, is_renewal=True))

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        """See `Claims`."""
        return Deferred.fromCoroutine(self._give_back(check_session(session), claim))

    def is_provisional(self, session: str) -> bool:
        """See `Claims`."""
        return session in self._unsent or session in self._provisional

    def released(self, session: str) -> None:
        """An operator has released a session's claim, or replaced it: forget it."""
        self._seen.forget(session)
        self._unsent.discard(session)
        self._provisional.note(session, 0.0)
        self.on_released(session)

    def compare(self) -> Deferred[None]:
        """Put back the claims in use, as Redis may have lost its data. Never fails."""
        return Deferred.fromCoroutine(self._compare())

    async def _look(self, session: str) -> Claim | None:
        reply = await self.ask(claim_scripts.LOOK, session)
        if reply is None:
            return self._seen.find(session)
        found = read_found(reply)
        if found is not None:
            self._remember(session, found)
            return found.claim
        if session in self._unsent:
            # Redis is about to get it.
            return self._seen.find(session)
        self._seen.forget(session)
        return None

    async def _take(
        self, session: str, claim: Claim, is_tentative: bool = False, is_renewal: bool = False
    ) -> Any:
        """The claim that counts from now on. None, for a renewal, where it was released."""
        reply = await self.ask(
            claim_scripts.TAKE,
            session,
            self._ttl_ms,
            self._tentative_ms if is_tentative else 0,
            claim.proof,
            int(claim.tokens),
            _PROVISIONAL_MS if session in self._unsent else 0,
            int(is_renewal),
        )
        if reply == "released":
            self.released(session)
            return None
        if reply is None:
            is_new = self._seen.find(session) is None
            counts = await self._seen.take(session, claim)
            if is_new:
                self._unsent.add(session)
            return counts
        found = read_found(reply)
        if found is None:
            self._unsent.discard(session)
            return claim
        self._remember(session, found)
        return found.claim

    async def _give_back(self, session: str, claim: Claim) -> None:
        await self._seen.give_back(session, claim)
        self._unsent.discard(session)
        await self.ask(claim_scripts.GIVE_BACK, session, self._tentative_ms, claim.proof)

    def _remember(self, session: str, found: Found) -> None:
        """Keep what Redis has told, whatever it was asked for. Those who came in by another claim
        go now: later it isn't known that they did."""
        before = self._seen.find(session) if self.is_provisional(session) else None
        self._unsent.discard(session)
        self._keep_seen(session, found)
        if before is not None and before.proof != found.claim.proof:
            self.on_lost(session)

    def _keep_seen(self, session: str, found: Found) -> None:
        self._seen.drop_old()
        if len(self._seen) < MOST_CLAIMS or self._seen.find(session) is not None:
            since_s = max(0, self._ttl_ms - found.left_ms) / 1000
            self._seen.put(session, found.claim, self._clock.seconds() - since_s)
            self._provisional.note(session, found.provisional_ms / 1000)

    # Asking Redis

    async def ask(self, script: str, *args: str | int) -> str | None:
        """The reply to a script, after all relays had time to put their claims back. None where
        there is no reply in time."""
        until_s = self._clock.seconds() + ANSWER_S
        try:
            while True:
                await self._availability.wait(until_s)
                reply, pause_s = await self._try(script, *args)
                if reply is not None:
                    return reply
                await self._pause(pause_s, until_s)
        except (DirectoryUnreachable, CancelledError):
            return None

    async def _try(self, script: str, *args: str | int) -> tuple[str | None, float]:
        """The reply to a script; or None, and the seconds to wait before the next attempt."""
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

    # Putting claims back

    async def _enter_after(self, generation: str) -> None:
        """Put claims back, unless that was done since ``generation`` was current."""
        await self._entering.acquire()
        try:
            if self._generation == generation:
                await self._enter(self._run)
        finally:
            self._entering.release()
        self._start_sending()

    async def _enter(self, run: RunScript) -> None:
        """Put back the claims that are in use."""
        try:
            generation: str = await run(
                claim_scripts.ENTER,
                self._prefix,
                secrets.token_hex(8),
                int(GRACE_S * 1000),
                _PROVISIONAL_MS,
                self._generation,
            )
            before, self._generation = self._generation, generation
            if before not in ("", generation):
                self._has_lost = True
                self.log.warn("claims: Redis has lost its data; putting back the known ones")
            await self._put_back(run, self._known(in_use=True))
        except ServerRefused as refused:
            self._refused(refused)
            raise

    async def _put_back(self, run: RunScript, known: Iterable[str | int]) -> None:
        words = iter(known)
        while some := list(islice(words, _WORDS * _BATCH)):
            await run(claim_scripts.PUT_BACK, self._prefix, self._generation, *some)

    def _known(self, in_use: bool) -> list[str | int]:
        """The claims to put back, as arguments of the script: those that Redis has had, the one
        that was used last first."""
        now_s = self._clock.seconds()
        words: list[str | int] = []
        for session, claim, used_s in sorted(self._seen.items(), key=lambda one: -one[2]):
            since_s = now_s - used_s
            if since_s >= (min(_IN_USE_S, self._seen.ttl_s) if in_use else self._seen.ttl_s):
                break
            if session not in self._unsent:
                left_ms = max(1, int(self._ttl_ms - since_s * 1000))
                provisional_ms = _PROVISIONAL_MS if self.is_provisional(session) else 0
                words += session, claim.proof, int(claim.tokens), left_ms, provisional_ms
        return words

    async def _compare(self) -> None:
        try:
            if not self._availability.is_unreachable:
                await self._entering.acquire()
                try:
                    await self._enter(self._run)
                finally:
                    self._entering.release()
                self._start_sending()
        except (LinkLost, ServerRefused):
            # The next connection does it.
            return

    def _check_provisional(self) -> None:
        """Find out which have yielded: whoever came in by one of these is to go."""
        for session in () if self._availability.is_unreachable else self._provisional.list():
            self.look(session).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a provisional claim could not be checked", failure)

    def _start_sending(self) -> None:
        if self._sending is None and (self._has_lost or self._unsent):
            self._sending = Deferred.fromCoroutine(self._send_rest())
            self._sending.addErrback(
                lambda failure: self.log.failure("sending claims to Redis has failed", failure)
            ).addCallback(self._sent)

    def _sent(self, _: None) -> None:
        self._sending = None

    async def _send_rest(self) -> None:
        """Send Redis the claims that it has lost and that are not in use, and those that were made
        here while it was unreachable."""
        try:
            if self._has_lost:
                self._has_lost = False
                await self._put_back(self._run, self._known(in_use=False))
        except (LinkLost, ServerRefused):
            self._has_lost = True
            return
        for session in tuple(self._unsent):
            claim = self._seen.find(session)
            if claim is None:
                self._unsent.discard(session)
                continue
            try:
                await self._take(session, claim)
            except TooManyClaims:
                return
            if session in self._unsent:
                # Redis is unreachable again.
                return

    # The connection to Redis

    def _connected(self) -> None:
        self.refusal = None
        self._availability.reached()
        self._start_sending()

    def _disconnected(self, reason: str) -> None:
        self._availability.lost(reason)

    def _refused(self, refused: ServerRefused) -> None:
        self.refusals += 1
        if refused.code != self.refusal:
            self.refusal = refused.code
            self.log.warn("claims: Redis refuses to keep them: {why}", why=str(refused))
