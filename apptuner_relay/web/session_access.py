"""Who may see a session over HTTP: whoever names it by the whole hash of its id, and shows its
secret where it is claimed. A page that joins by WebSocket shows the same, under the same limits.

The hash is in a header field, as paths get into the logs of proxies.
"""

import re
from typing import NamedTuple

from twisted.web.server import Request

from apptuner_relay.access.access_control import Grant
from apptuner_relay.access.caller import Caller, read_caller
from apptuner_relay.access.claims import Claim
from apptuner_relay.relay.admission import is_familiar
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest, Role
from apptuner_relay.web.guard import client_address, is_of_own_page
from apptuner_relay.web.headers import header

SESSION_HEADER = "AppTuner-Session"

_HASH = re.compile(r"[0-9a-f]{64}")


class SecretRefused(BadRequest):
    """The session is claimed, and its secret wasn't shown."""


class Visitor(NamedTuple):
    """Whoever was let in."""

    session: str
    """The session's hash."""
    caller: Caller
    claim: Claim | None
    """The session's claim, where there is one: its secret was shown."""


def read_session(request: Request) -> str:
    """The hash of the session that a request is about.

    :raises BadRequest: 400, it names none.
    """
    session = header(request, SESSION_HEADER.lower()) or ""
    if not _HASH.fullmatch(session):
        raise BadRequest(
            400,
            f"The header field {SESSION_HEADER} has to name the session: by the SHA-256 of its id, "
            "64 of the characters 0-9 a-f",
        )
    return session


class SessionAccess:
    """Lets visitors of one relay in."""

    def __init__(self, relay: RelayService) -> None:
        self._relay = relay
        self._access = relay.access
        self._origins = relay.settings.access.allowed_origin
        self._trusted = relay.settings.listening.trusted_proxy

    async def let_in(self, request: Request, session: str) -> Visitor:
        """Let a request in that is about a session, if it may.

        :raises BadRequest: as `Access.authorize`.
        """
        address = client_address(request, self._trusted)
        # The relay's own page is no stranger, whatever other pages --allowed-origin names.
        origin = None if is_of_own_page(request) else header(request, "origin")
        authorization = header(request, "authorization")
        caller = read_caller(address, origin, authorization, "")
        familiar = is_familiar(self._relay, session, address)
        try:
            grant = await self._access.authorize(Role.DASHBOARD, session, caller, familiar)
        except BadRequest as no:
            if no.status in (401, 403) and self._origins.allow(origin):
                raise SecretRefused(no.status, str(no), no.headers) from None
            raise
        return Visitor(session, caller, _claim_of(grant))

    async def look(self, session: str) -> Claim | None:
        """The claim of a session, whose visitor another relay has let in."""
        claims = self._access.claims
        return None if claims is None else await claims.look(session)

    def count(self, visitor: Visitor, found: bool) -> None:
        """Count a visit; ``found`` is whether there is such a session, claimed ones aside."""
        is_there = found or visitor.claim is not None
        self._access.count_join(visitor.caller.address, visitor.session, is_there)


def _claim_of(grant: Grant) -> Claim | None:
    """The claim that was there before: nobody claims a session by looking at it."""
    return None if grant.claims else grant.claim
