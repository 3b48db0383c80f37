"""How a client comes in: what it shows is looked at first, then its place is found, and the claim
that it makes or uses is decided before it takes that place.

A client of another relay comes in there, and not here again.
"""

import dataclasses

from twisted.internet.defer import Deferred

from apptuner_relay.access.access import Grant
from apptuner_relay.access.caller import Caller
from apptuner_relay.access.claiming import Claiming
from apptuner_relay.access.limits import customer
from apptuner_relay.ends import Connection
from apptuner_relay.service import Attendee, Place, RelayService
from apptuner_relay.session import Admission, Role


class _ClaimedPlace:
    """The `Place` of a client that claims its session."""

    def __init__(self, place: Place, claiming: Claiming) -> None:
        self._place, self._claiming = place, claiming
        self.is_here = place.is_here

    def check(self) -> None:
        """See `Place`."""
        self._place.check()

    def enter(self, connection: Connection) -> Attendee:
        """See `Place`."""
        attendee = self._place.enter(connection)
        self._claiming.confirm()
        return attendee

    def abandon(self) -> None:
        """See `Place`."""
        self._place.abandon()
        self._claiming.give_back()


class Entrance:
    """Brings the clients of one relay in."""

    def __init__(self, relay: RelayService) -> None:
        self._relay = relay

    def find(self, admission: Admission, caller: Caller) -> Deferred[Place]:
        """Find the place of a client that shows what is in ``caller``.

        :return: fails with `BadRequest`.
        """
        return Deferred.fromCoroutine(self._find(admission, caller))

    async def _find(self, admission: Admission, caller: Caller) -> Place:
        relay, access = self._relay, self._relay.access
        role, session = admission.role, admission.session_hash
        grant = await access.admit(role, session, caller, self._is_familiar(admission))
        if grant.authorized:
            admission = self._authorized(admission, caller, grant)
        claiming = Claiming(access, role, session, caller, grant)
        try:
            found = relay.find_place(admission, claiming.decide)
            place = await found if isinstance(found, Deferred) else found
        except BaseException:
            claiming.give_back()
            raise
        try:
            await claiming.decide()
        except BaseException:
            place.abandon()
            raise
        exists = grant.claim is not None and not grant.claims
        access.tried(
            caller.address, session, exists or not place.is_here or self._is_there(admission)
        )
        return _ClaimedPlace(place, claiming) if grant.claims else place

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

    def _is_familiar(self, admission: Admission) -> bool:
        """Whether somebody of the client's address is in its session, as far as this relay
        knows."""
        session = self._relay.sessions.get(admission.session_hash)
        who = customer(admission.address)
        return session is not None and any(
            customer(member.admission.address) == who for member in session.members
        )

    def _is_there(self, admission: Admission) -> bool:
        """Whether there is anything in a session here for such a client to find."""
        session = self._relay.sessions.get(admission.session_hash)
        others: tuple[object, ...] = ()
        if session is not None:
            phone = admission.role is Role.MOBILE
            others = session.desktop_side if phone else session.members
        store = self._relay.store
        return bool(others) or (store is not None and store.keeps(admission.session_hash))
