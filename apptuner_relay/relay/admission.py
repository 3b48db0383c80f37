"""How a client is let in: what it shows is checked first, then its place is found, and the claim
that it makes or uses is decided before it takes that place.

A client that is connected to another relay was admitted there, and is not admitted here again.
"""

import dataclasses
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred

from apptuner_relay.access.access_control import Grant
from apptuner_relay.access.caller import Caller
from apptuner_relay.access.limits import customer
from apptuner_relay.access.tentative_claim import TentativeClaim
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.relay.interfaces import ConnectedClient, DecideClaim, Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, Role

Reserve = Callable[[Admission, DecideClaim], Awaitable[bool]]
"""Has a place be there for a client later. Returns whether its session is this relay's; fails with
`BadRequest` where there is no place. The claim is passed on as in `Placement.find`."""


def is_familiar(relay: RelayService, session_hash: str, address: str | None) -> bool:
    """Whether a client of that address is in a session, as far as this relay knows."""
    session = relay.sessions.get(session_hash)
    own = customer(address)
    return session is not None and any(
        customer(member.admission.address) == own for member in session.members
    )


class _ClaimedPlace:
    """The `Place` of a client that claims its session."""

    def __init__(self, place: Place, claim: TentativeClaim) -> None:
        self._place, self._claim = place, claim
        self.is_here = place.is_here

    def check(self) -> None:
        """See `Place`."""
        self._place.check()

    def enter(self, connection: Connection) -> ConnectedClient:
        """See `Place`."""
        client = self._place.enter(connection)
        self._claim.confirm()
        return client

    def abandon(self) -> None:
        """See `Place`."""
        self._place.abandon()
        self._claim.give_back()


class AdmissionControl:
    """Admits the clients of one relay."""

    def __init__(self, relay: RelayService) -> None:
        self._relay = relay

    def find(self, admission: Admission, caller: Caller) -> Deferred[Place]:
        """Find the place of a client that has shown what is in ``caller``.

        :return: fails with `BadRequest`.
        """
        return Deferred.fromCoroutine(self.find_place(admission, caller))

    async def find_place(self, admission: Admission, caller: Caller) -> Place:
        """Likewise, as a coroutine."""
        admission, grant = await self._authorize(admission, caller)
        claim = self._make_claim(admission, caller, grant)
        try:
            place = await self._relay.find_place(admission, claim.take)
        except BaseException:
            claim.give_back()
            raise
        try:
            await claim.take()
        except BaseException:
            place.abandon()
            raise
        self._count_join(admission, grant, place.is_here)
        return _ClaimedPlace(place, claim) if grant.claims else place

    async def admit_later(
        self, admission: Admission, caller: Caller, reserve: Reserve
    ) -> Admission:
        """Admit a client that comes in later, by a way on which it shows nothing. A claim that it
        makes is made now.

        :return: what it comes in with.
        :raises BadRequest: it may not, or there is no place for it.
        """
        admission, grant = await self._authorize(admission, caller)
        claim = self._make_claim(admission, caller, grant)
        try:
            is_here = await reserve(admission, claim.take)
            await claim.take()
            await claim.make()
        except BaseException:
            claim.give_back()
            raise
        self._count_join(admission, grant, is_here)
        return admission

    async def _authorize(self, admission: Admission, caller: Caller) -> tuple[Admission, Grant]:
        session = admission.session_hash
        familiar = is_familiar(self._relay, session, admission.address)
        grant = await self._relay.access.authorize(admission.role, session, caller, familiar)
        if grant.authorized:
            admission = self._authorized(admission, caller, grant)
        return admission, grant

    def _make_claim(self, admission: Admission, caller: Caller, grant: Grant) -> TentativeClaim:
        return TentativeClaim(
            self._relay.access, admission.role, admission.session_hash, caller, grant
        )

    def _count_join(self, admission: Admission, grant: Grant, is_here: bool) -> None:
        exists = grant.claim is not None and not grant.claims
        self._relay.access.count_join(
            admission.address,
            admission.session_hash,
            exists or not is_here or self._is_there(admission),
        )

    @staticmethod
    def _authorized(admission: Admission, caller: Caller, grant: Grant) -> Admission:
        claim = grant.claim
        assert claim is not None
        url = admission.bundles_url
        if admission.role is Role.MOBILE and claim.tokens and caller.token is not None:
            url = f"{url}?token={caller.token}"
        return dataclasses.replace(
            admission,
            authorized=True,
            claims=grant.claims,
            tokens=claim.tokens,
            bundles_url=url,
            proof=claim.proof,
        )

    def _is_there(self, admission: Admission) -> bool:
        """Whether the session exists here for a client of this role: it has other clients, or a
        cached bundle."""
        session = self._relay.sessions.get(admission.session_hash)
        others: tuple[object, ...] = ()
        if session is not None:
            phone = admission.role is Role.MOBILE
            others = session.desktop_side if phone else session.members
        store = self._relay.store
        return bool(others) or (store is not None and store.keeps(admission.session_hash))
