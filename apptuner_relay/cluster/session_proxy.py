"""Forwards requests about a session to the relay that has it: what its page asks.

That relay answers for itself, and doesn't forward the request again. It is told which session is
asked about, and nothing that the client has shown: this relay has let it in.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.logger import Logger
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.cluster.bridge.peer_auth import BadPass, write_request_pass
from apptuner_relay.cluster.other_owner import find_other_owner
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.cluster.peer_http_proxy import (
    RETRY_AFTER_S,
    PeerProxy,
    PeerRequest,
    forward,
    url_at,
)
from apptuner_relay.cluster.placement import ClusterPlacement
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.web.http_proxy import Unanswered
from apptuner_relay.web.session_access import SESSION_HEADER
from apptuner_relay.web.streaming import ResponseWriter

_ANSWER_S = 10.0
"""How long the other relay may take to answer."""
_EARLIER = (
    "The relay that has this session is of an earlier version, which can't answer this: upgrade "
    "all relays"
)
_AWAY = "The relay that has this session can't be reached now"


class SessionProxy(PeerProxy):
    """Forwards requests; a `session_resource.PeerSessions`."""

    log = Logger()

    def __init__(
        self, placement: ClusterPlacement, reactor: Any, trust: Certificate | None = None
    ) -> None:
        super().__init__(placement, reactor, trust)
        self._failures = LogThrottle(placement.relay.clock.seconds)

    def is_peer_request(self, request: Request, session_hash: str) -> bool:
        """See `PeerSessions`."""
        return self._has_request_pass(request, _what(request, session_hash))

    def _refused(self, wrong: BadPass) -> None:
        count = self._refusals.count()
        if count is not None:
            self.log.warn(
                "refused a request of another relay about a session: {why} ({count} since the last "
                "such line)",
                why=str(wrong),
                count=count,
            )

    async def is_elsewhere(self, session_hash: str) -> bool:
        """See `PeerSessions`."""
        return await find_other_owner(self._placement, session_hash) is not None

    async def answer(self, request: Request, writer: ResponseWriter, session_hash: str) -> bool:
        """See `PeerSessions`."""
        lease = await find_other_owner(self._placement, session_hash)
        if lease is None:
            return False
        if not writer.gone:
            await self._ask(request, writer, lease)
        return True

    async def _ask(self, request: Request, writer: ResponseWriter, lease: Lease) -> None:
        placement, session = self._placement, lease.session
        shown, proof = write_request_pass(
            placement.secret,
            placement.node,
            lease.node,
            _what(request, session),
            placement.relay.wall_s(),
        )
        url = url_at(lease, request.path.decode("ascii"))
        peer_request = PeerRequest(url, shown, proof, ((SESSION_HEADER, session),))

        def started(asking: Deferred[IResponse]) -> None:
            asking.addTimeout(_ANSWER_S, self._reactor)

        try:
            why = await forward(request, writer, peer_request, self._agent, started)
        except Unanswered as wrong:
            if writer.gone:
                return
            self._log(lease, str(wrong))
            is_earlier = wrong.status == 502
            raise BadRequest(
                503,
                _EARLIER if is_earlier else _AWAY,
                (("Retry-After", str(RETRY_AFTER_S)),),
            ) from None
        if why is not None:
            self._log(lease, why)

    def _log(self, lease: Lease, why: str) -> None:
        count = self._failures.count()
        if count is not None:
            self.log.warn(
                "session {session}: relay {node} does not say what its page asks: {why} ({count} "
                "since the last such line)",
                session=lease.session[:8],
                node=lease.node,
                why=why,
                count=count,
            )


def _what(request: Request, session_hash: str) -> str:
    """What a pass is good for: one request, about one session."""
    return f"{request.path.decode('latin-1')}#{session_hash}"
