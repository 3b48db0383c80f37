"""`Access`: whether a client may join a session. The relay that the client has connected to asks,
once for each client.

The rules are in the modules beside this one. `Access` closes no connection and knows no session's
members; the service does.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.block_list import BlockList, Network
from apptuner_relay.access.caller import Caller
from apptuner_relay.access.claim_conflicts import OTHERS
from apptuner_relay.access.claims import Claim, Claims, TooManyClaims
from apptuner_relay.access.limits import ConnectRate, FailedJoins, Limited, SessionCount, customer
from apptuner_relay.access.tokens import BadToken, check_token, is_proven, make_proof
from apptuner_relay.config.groups.access_settings import AccessSettings
from apptuner_relay.session.session import BadRequest, Role
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.clocks import WallClock
from apptuner_relay.support.log_throttle import LogThrottle

DENIALS = ("origin", "secret", "token", "blocked")
"""Why clients are refused, beside limits."""

_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="AppTuner session"'),)
_PROBLEM_RETRY_S = "60"
_UNCERTAIN_RETRY_S = "2"
UNCERTAIN = "Somebody has claimed this session while relays could not ask each other; come again"


class Grant(NamedTuple):
    """What a client that may join may do."""

    authorized: bool = False
    """Whether it has shown the session's secret, or a join token that is signed with it."""
    claims: bool = False
    """Whether it is the first to show a secret, with which the session is to be claimed."""
    claim: Claim | None = None
    """The session's claim, which may still have to be made."""


class Access:
    """Decides for one relay.

    :param seconds: the monotonic clock, for limits.
    :param wall_s: the time of day, by which join tokens expire.
    :param claims: where claims are kept; None for no claims.
    :param on_lost: called with a session whose claim turned out not to count: the clients that
        joined by it are to be closed.
    :param proxies: the networks of proxies, which are never blocked.
    """

    log = Logger()

    def __init__(
        self,
        settings: AccessSettings,
        seconds: Callable[[], float],
        wall_s: WallClock,
        claims: Claims | None,
        on_lost: Callable[[str], None] = lambda session: None,
        proxies: Collection[Network] = (),
    ) -> None:
        self.blocks = BlockList(wall_s, proxies)
        """The addresses that an operator has blocked."""
        self.claims = claims
        self.limited: Counter[str] = Counter()
        """Clients refused for a limit, by the limit's option."""
        self.denied: Counter[str] = Counter()
        """Clients refused for another reason, by `DENIALS`."""
        self.failed_joins = 0
        self._seconds = seconds
        self._wall_s = wall_s
        self._origins = settings.allowed_origin
        self._connects = ConnectRate(settings.connect_rate)
        self._join_limit = FailedJoins(
            settings.failed_joins, settings.failed_joins_total, seconds()
        )
        self._sessions = SessionCount(settings.sessions_per_address)
        self._on_lost = on_lost
        self._held: dict[str, Claim] = {}
        """The claims of sessions that may have authorized clients here."""
        self._denials = LogThrottle(seconds)

    def change_limits(self, settings: AccessSettings) -> None:
        """Have the limits of other settings from now on."""
        self._connects.change(settings.connect_rate)
        self._join_limit.change(settings.failed_joins, settings.failed_joins_total, self._seconds())
        self._sessions.change(settings.sessions_per_address)

    # Before a client joins

    def count_connection(self, address: str | None) -> None:
        """Count a connection of an address, whatever it is for.

        :raises BadRequest: 429, there were too many; 403, the address is blocked.
        """
        self._check_blocked(address)
        self._limit(lambda: self._connects.take(customer(address), self._seconds()))

    async def authorize(self, role: Role, session: str, caller: Caller, familiar: bool) -> Grant:
        """Whether a client may join a session.

        :param familiar: whether the session has a client of the same address.
        :raises BadRequest: 401 where a secret or a token is missing or has expired, 403 where it
            is wrong, 429 for a limit.
        """
        self._check_blocked(caller.address)
        who = customer(caller.address)
        if role is not Role.MOBILE and not self._origins.allow(caller.origin):
            # React Native sends the relay's own origin, which is why phones aren't asked.
            raise self._deny("origin", role, session, caller, 403, "Your origin is not allowed")
        self._check_failed_joins(who, session, familiar)
        self._limit(lambda: self._sessions.check(who, session))
        if self.claims is None:
            return Grant()
        claim = await self.claims.look(session)
        if role is Role.MOBILE:
            return self._authorize_phone(session, caller, claim)
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

    async def claim(
        self,
        role: Role,
        session: str,
        caller: Caller,
        grant: Grant,
        is_tentative: bool = False,
    ) -> None:
        """Claim the session of a client that has a place in it, or renew the claim.

        :param is_tentative: see `Claims.take`.
        :raises BadRequest: 403, another client has claimed it first; 503, no more claims can be
            kept.
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
            raise self._wrong("secret", role, session, caller, 403, OTHERS)
        if not is_tentative:
            self._held[session] = counts

    async def give_back(self, session: str, grant: Grant) -> None:
        """Take back the tentative claim of a client that got no place."""
        if self.claims is not None and grant.claim is not None and session not in self._held:
            await self.claims.give_back(session, grant.claim)

    async def may_read(self, session: str, caller: Caller) -> bool:
        """Check that a caller may download a session's bundle: whoever may join as a phone may.

        :return: whether that takes a secret or a token, so that no shared cache may keep the
            bundle.
        :raises BadRequest: as `authorize`.
        """
        self._check_blocked(caller.address)
        self._check_failed_joins(customer(caller.address), session, False)
        if self.claims is None:
            return False
        claim = await self.claims.look(session)
        self._authorize_phone(session, caller, claim)
        return claim is not None and claim.tokens

    async def is_private(self, session: str) -> bool:
        """Whether a session's bundle takes a secret or a token."""
        claim = None if self.claims is None else await self.claims.look(session)
        return claim is not None and claim.tokens

    def count_join(self, address: str | None, session: str, found: bool) -> None:
        """Count the attempt of an address to join a session; ``found`` is whether it exists."""
        who = customer(address)
        if found:
            self._join_limit.succeeded(who, session)
        elif self._join_limit.failed(who, session, self._seconds()):
            self.failed_joins += 1

    def soften(self, session: str, no: BadRequest) -> BadRequest:
        """What to tell a client that somebody else's claim keeps out, instead of ``no``. A client
        that is told no gives up, so none is while that claim may yield to the client's own."""
        if self.claims is None or not self.claims.is_provisional(session):
            return no
        return BadRequest(503, UNCERTAIN, (("Retry-After", _UNCERTAIN_RETRY_S),))

    # While clients are in sessions

    def entered(self, address: str | None, session: str) -> None:
        """A client has joined a session."""
        self._sessions.entered(customer(address), session)

    def left(self, address: str | None, session: str) -> None:
        """The client has left it."""
        self._sessions.left(customer(address), session)

    def renew(self, sessions: Collection[str]) -> None:
        """Renew the claims of these sessions, which have authorized clients here."""
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
            counts = await claims.renew(session, held)
        except TooManyClaims:
            return
        if counts is None:
            self.forget(session)
        elif counts.proof != held.proof:
            self.lose_claim(session)
        elif session in self._held:
            self._held[session] = counts

    def forget(self, session: str) -> None:
        """The session's claim was released: renew it no more for clients that are here. They stay,
        and so does what they may do."""
        self._held.pop(session, None)

    def lose_claim(self, session: str) -> None:
        """The claim by which clients may be in a session here doesn't count: another one does."""
        if self._held.pop(session, None) is None:
            return
        self.log.warn(
            "session {session}: its claim was lost, and somebody else has claimed it",
            session=session[:8],
        )
        self._on_lost(session)

    # Rules

    def _authorize_phone(self, session: str, caller: Caller, claim: Claim | None) -> Grant:
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
            self._count_wrong(session, caller, shown)
        status = 401 if wrong.expired else 403
        raise self._wrong("token", Role.MOBILE, session, caller, status, str(wrong))

    def _check_secret(self, role: Role, session: str, caller: Caller, claim: Claim) -> None:
        assert caller.secret is not None
        if not is_proven(claim.proof, caller.secret, session):
            self._count_wrong(session, caller, caller.secret)
            why = "That is not the secret with which this session was claimed"
            raise self._wrong("secret", role, session, caller, 403, why)

    def _wrong(
        self, what: str, role: Role, session: str, caller: Caller, status: int, why: str
    ) -> BadRequest:
        """As `_deny`, for a client that the claim which is known here keeps out."""
        return self.soften(session, self._deny(what, role, session, caller, status, why))

    def _count_wrong(self, session: str, caller: Caller, shown: str) -> None:
        who = customer(caller.address)
        if self._join_limit.failed(who, f"{session} {shown}", self._seconds()):
            self.failed_joins += 1

    def _check_blocked(self, address: str | None) -> None:
        try:
            self.blocks.check(address)
        except BadRequest:
            self.denied["blocked"] += 1
            raise

    def _check_failed_joins(self, who: str | None, session: str, familiar: bool) -> None:
        if not familiar:
            self._limit(lambda: self._join_limit.check(who, session, self._seconds()))

    def _limit(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Limited as limited:
            self.limited[limited.limit] += 1
            raise

    def _deny(
        self, what: str, role: Role, session: str, caller: Caller, status: int, why: str
    ) -> BadRequest:
        """Count a refusal, and log it, but not so often that refused clients can fill the disk.
        Returns the exception to raise."""
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
