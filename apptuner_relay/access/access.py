"""`Access`: whether a client may come in, asked once for each, on the relay that it has reached.

What it decides by is in the modules beside it. It closes no connection and knows no session's
members; the service does.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.caller import Caller
from apptuner_relay.access.claims import Claim, Claims, TooManyClaims
from apptuner_relay.access.company import OTHERS
from apptuner_relay.access.limits import ConnectRate, Guesses, Limited, SessionCount, customer
from apptuner_relay.access.tokens import BadToken, check_token, is_proven, make_proof
from apptuner_relay.clocks import WallClock
from apptuner_relay.forwarded import UNKNOWN
from apptuner_relay.options import Settings
from apptuner_relay.seldom import Seldom
from apptuner_relay.session import BadRequest, Role

DENIALS = ("origin", "secret", "token")
"""Why a client is denied entry, beside limits."""

_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="AppTuner session"'),)
_PROBLEM_RETRY_S = "60"


class Grant(NamedTuple):
    """What a client that may come in may do."""

    authorized: bool = False
    """It has shown the session's secret, or a join token that is signed with it."""
    claims: bool = False
    """It is the first to show one, and the session is to be claimed with it."""
    claim: Claim | None = None
    """The session's claim, the one to be made included."""


class Access:
    """Decides for one relay.

    :param seconds: the monotonic clock, which limits go by.
    :param wall_s: the time of day, which join tokens go by.
    :param claims: where claims are kept, unless there are to be none.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        seconds: Callable[[], float],
        wall_s: WallClock,
        claims: Claims | None,
    ) -> None:
        self.claims = claims
        self.limited: Counter[str] = Counter()
        """Who was refused for the sake of a limit, by the limit's option."""
        self.denied: Counter[str] = Counter()
        """Who was refused, by `DENIALS`."""
        self.failed_joins = 0
        self._seconds = seconds
        self._wall_s = wall_s
        self._origins = settings.allowed_origin
        self._connects = ConnectRate(settings.connect_rate)
        self._guesses = Guesses(settings.failed_joins, settings.failed_joins_total, seconds())
        self._sessions = SessionCount(settings.sessions_per_address)
        self.on_lost: Callable[[str], None] = lambda session: None
        """Called with a session whose claim turned out not to count: who is here by it has to
        go."""
        self._held: dict[str, Claim] = {}
        """The claims of sessions in which somebody may be who has shown what they ask for."""
        self._denials = Seldom(seconds)

    # Before a client is in

    def knock(self, address: str | None) -> None:
        """Somebody connects, whatever it wants.

        :raises BadRequest: 429, it has done so too often.
        """
        self._limit(lambda: self._connects.take(customer(address), self._seconds()))

    async def admit(self, role: Role, session: str, caller: Caller, familiar: bool) -> Grant:
        """Whether a client may come into a session.

        :param familiar: whether somebody of its address is already there.
        :raises BadRequest: 401 where a secret or token is missing, 403, 429.
        """
        who = customer(caller.address)
        if role is not Role.MOBILE and not self._origins.allow(caller.origin):
            # React Native sends an Origin, too: the relay's own.
            raise self._deny("origin", role, session, caller, 403, "Your origin is not allowed")
        self._check_guesses(who, session, familiar)
        self._limit(lambda: self._sessions.check(who, session))
        if self.claims is None:
            return Grant()
        claim = await self.claims.look(session)
        if role is Role.MOBILE:
            return self._admit_phone(session, caller, claim)
        if claim is not None:
            if caller.secret is None:
                why = "This session is claimed: show its secret"
                raise self._deny("secret", role, session, caller, 401, why)
            self._check_secret(role, session, caller, claim)
            if role is Role.CLI and caller.wants_tokens != claim.tokens:
                claim = claim._replace(tokens=caller.wants_tokens)
            return Grant(True, False, claim)
        if caller.secret is None:
            return Grant()
        proof = make_proof(caller.secret, session)
        return Grant(True, True, Claim(proof, caller.wants_tokens))

    async def settle(
        self,
        role: Role,
        session: str,
        caller: Caller,
        grant: Grant,
        is_tentative: bool = False,
    ) -> None:
        """There is a place for a client that was admitted: claim its session, or use the claim once
        more.

        :param is_tentative: see `Claims.take`.
        :raises BadRequest: 403, somebody else was faster; 503, it can't be claimed now.
        """
        if self.claims is None or grant.claim is None or not grant.authorized:
            return
        try:
            counts = await self.claims.take(session, grant.claim, is_tentative)
        except TooManyClaims:
            raise BadRequest(
                503,
                "This relay can keep no more claims now",
                (("Retry-After", _PROBLEM_RETRY_S),),
            ) from None
        if counts.proof != grant.claim.proof:
            raise self._deny("secret", role, session, caller, 403, OTHERS)
        if not is_tentative:
            self._held[session] = counts

    async def give_back(self, session: str, grant: Grant) -> None:
        """A client got no place for which a session was claimed tentatively."""
        if self.claims is not None and grant.claim is not None and session not in self._held:
            await self.claims.give_back(session, grant.claim)

    async def may_read(self, session: str, caller: Caller) -> bool:
        """Whether somebody may have a session's bundle over HTTP: whoever may join as a phone.

        :return: whether that takes a secret or a token, so that no shared cache may keep it.
        :raises BadRequest: as `admit`.
        """
        self._check_guesses(customer(caller.address), session, False)
        if self.claims is None:
            return False
        claim = await self.claims.look(session)
        self._admit_phone(session, caller, claim)
        return claim is not None and claim.tokens

    async def is_private(self, session: str) -> bool:
        """Whether a session's bundle is for those who show something."""
        claim = None if self.claims is None else await self.claims.look(session)
        return claim is not None and claim.tokens

    def tried(self, address: str | None, session: str, found: bool) -> None:
        """What came of it, when somebody asked for a session: whether there was one."""
        who = customer(address)
        if found:
            self._guesses.succeeded(who, session)
        elif self._guesses.failed(who, session, self._seconds()):
            self.failed_joins += 1

    # While clients are in

    def entered(self, address: str | None, session: str) -> None:
        """A client has come in."""
        self._sessions.entered(customer(address), session)

    def left(self, address: str | None, session: str) -> None:
        """It has gone."""
        self._sessions.left(customer(address), session)

    def renew(self, sessions: Collection[str]) -> None:
        """Keep the claims of these sessions, in which there is somebody who has shown what they
        ask for."""
        if self.claims is None:
            return
        self._held = {key: claim for key, claim in self._held.items() if key in sessions}
        for session in self._held:
            Deferred.fromCoroutine(self._renew(self.claims, session)).addErrback(self._failed)

    async def _renew(self, claims: Claims, session: str) -> None:
        there = await claims.look(session)
        held = self._held.get(session)
        if held is None:
            return
        if there is not None and there.proof == held.proof:
            held = there
        try:
            counts = await claims.take(session, held)
        except TooManyClaims:
            return
        if counts.proof != held.proof:
            self.lose(session)
        elif session in self._held:
            self._held[session] = counts

    def lose(self, session: str) -> None:
        """The claim by which clients are in a session here doesn't count: somebody else's does."""
        self.log.warn(
            "session {session}: its claim was lost, and somebody else has claimed it",
            session=session[:8],
        )
        self._held.pop(session, None)
        self.on_lost(session)

    # How it is decided

    def _admit_phone(self, session: str, caller: Caller, claim: Claim | None) -> Grant:
        if claim is None:
            return Grant()
        if caller.secret is not None and is_proven(claim.proof, caller.secret, session):
            return Grant(True, False, claim)
        wrong = BadToken("This session takes a join token, and you have shown none", True)
        if caller.secret is not None:
            wrong = BadToken("That is not the secret with which this session was claimed")
        if caller.token is not None:
            try:
                check_token(claim.proof, caller.token, session, self._wall_s())
                return Grant(True, False, claim)
            except BadToken as bad:
                wrong = bad
        if not claim.tokens:
            return Grant(claim=claim)
        shown = caller.token or caller.secret
        if shown is not None and not wrong.expired:
            self._guessed(session, caller, shown)
        status = 401 if wrong.expired else 403
        raise self._deny("token", Role.MOBILE, session, caller, status, str(wrong))

    def _check_secret(self, role: Role, session: str, caller: Caller, claim: Claim) -> None:
        assert caller.secret is not None
        if not is_proven(claim.proof, caller.secret, session):
            self._guessed(session, caller, caller.secret)
            why = "That is not the secret with which this session was claimed"
            raise self._deny("secret", role, session, caller, 403, why)

    def _guessed(self, session: str, caller: Caller, shown: str) -> None:
        who = customer(caller.address)
        if self._guesses.failed(who, f"{session} {shown}", self._seconds()):
            self.failed_joins += 1

    def _check_guesses(self, who: str | None, session: str, familiar: bool) -> None:
        if not familiar:
            self._limit(lambda: self._guesses.check(who, session, self._seconds()))

    def _limit(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Limited as limited:
            self.limited[limited.limit] += 1
            raise

    def _deny(
        self, what: str, role: Role, session: str, caller: Caller, status: int, why: str
    ) -> BadRequest:
        """Count and log a refusal, the latter not so often that who is refused can fill the disk;
        returns what is to be raised."""
        self.denied[what] += 1
        count = self._denials.count()
        if count is not None:
            self.log.warn(
                "session {session}: {role} from {address} refused for its {what} ({count} such "
                "since the last such line)",
                session=session[:8],
                role=role.value,
                address=caller.address or UNKNOWN,
                what=what,
                count=count,
            )
        return BadRequest(status, why, _CHALLENGE if status == 401 else ())

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a claim could not be renewed", failure)
