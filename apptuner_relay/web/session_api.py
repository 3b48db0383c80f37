"""``/session/…``: what the page of one session asks the relay, and any program may that knows the
session.
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress
from twisted.web.resource import Resource
from twisted.web.server import Request

from apptuner_relay.access.claims import Claim
from apptuner_relay.operator.audit import Actor, Audit
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.units import show_count
from apptuner_relay.web.json_body import ErrorResource
from apptuner_relay.web.qr_resource import QrResource
from apptuner_relay.web.session_access import SessionAccess, read_session
from apptuner_relay.web.session_rate import Rate, SessionRate
from apptuner_relay.web.session_resource import PeerSessions, SessionParts, SessionResource
from apptuner_relay.web.session_state import is_known, session_state
from apptuner_relay.web.streaming import Reactor, ResponseWriter

BODY_LIMITS = {b"/session/qr": 1024}
"""The paths whose requests have a body, and how many bytes it may have."""

_FREE_ROWS = 100
_ROWS, _ALL_ROWS = Rate(4000, 20_000), Rate(10_000, 60_000)
"""How many rows of records may be shown, of one session and of all, where a state has more than
`_FREE_ROWS`. A thousand take some 20 ms of the processor."""
_REPLAYS = Rate(0.2, 5)
"""How often the bundle of one session may be sent again: each time, all its phones get it."""
_ALL_REPLAYS = Rate(10, 100)
_NONE_THERE = "Nobody is in this session, and the relay keeps no bundle of it"
_NONE_KEPT = "The relay keeps no bundle of this session that it could send again"


def make_session_api(
    relay: RelayService,
    peers: PeerSessions | None,
    listening: Callable[[], Sequence[IAddress | None]],
    reactor: Reactor | None,
) -> Resource:
    """The resources below ``/session/``."""
    parts = SessionParts(relay, SessionAccess(relay), peers, listening, reactor)
    api = ErrorResource(404, "Not found")
    api.isLeaf = False
    api.putChild(b"state", StateResource(parts))
    api.putChild(b"replay", ReplayResource(parts))
    api.putChild(b"qr", QrResource(parts))
    return api


class _OwnerResource(SessionResource):
    """Is answered by the relay that has the session."""

    async def answer(self, request: Request, writer: ResponseWriter) -> object | None:
        """See `SessionResource`."""
        access, peers, session = self.parts.access, self.parts.peers, read_session(request)
        if peers is not None and peers.is_peer_request(request, session):
            return self.show(session, await access.look(session), None)
        visitor = await access.let_in(request, session)
        if peers is not None and await peers.answer(request, writer, session):
            access.count(visitor, True)
            return None
        access.count(visitor, is_known(self.relay, session))
        return self.show(session, visitor.claim, visitor.caller.address)

    def show(self, session: str, claim: Claim | None, address: str | None) -> object:
        """What the relay answers that has the session.

        :param claim: the session's claim; whoever asks has shown its secret.
        :param address: of whoever asks; None where only another relay knows it.
        :raises BadRequest: another status than 200.
        """
        raise NotImplementedError


class StateResource(_OwnerResource):
    """``GET /session/state``: see `session_state.session_state`."""

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        text = "So large a state was asked for too often"
        self._rate = SessionRate(text, _ROWS, _ALL_ROWS, self.relay.clock.seconds)

    def render_GET(self, request: Request) -> int:
        return self.begin(request)

    def show(self, session: str, claim: Claim | None, address: str | None) -> object:
        if not is_known(self.relay, session):
            raise BadRequest(404, _NONE_THERE)
        records = self.relay.meters.bundles.recent(session)
        rows = sum(1 + len(record.phones) for record in records)
        if rows > _FREE_ROWS:
            self._rate.take(session, rows)
        return session_state(self.relay, session, claim)


class ReplayResource(_OwnerResource):
    """``POST /session/replay``: every phone gets the bundle that is kept again."""

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        text = "The bundle was sent again too often"
        self._rate = SessionRate(text, _REPLAYS, _ALL_REPLAYS, self.relay.clock.seconds)

    def render_POST(self, request: Request) -> int:
        return self.begin(request)

    def show(self, session: str, claim: Claim | None, address: str | None) -> object:
        relay = self.relay
        if not is_known(relay, session):
            raise BadRequest(404, _NONE_THERE)
        if relay.store is None or not relay.store.keeps(session):
            raise BadRequest(409, _NONE_KEPT)
        self._rate.take(session)
        phones = relay.registry.send_again(session, address)
        via = "nothing" if claim is None else "secret"
        told = f"done, {show_count(phones, 'phone')}"
        Audit().record(Actor(address, via), "replay", told, session)
        return {"phones": phones}
