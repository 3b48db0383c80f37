"""Has the relay that owns a session let a client into the session's channel of a managed service.

That relay's gateway speaks in the channel. It is told who the client is, whom this relay has
admitted, and nothing that the client has shown.
"""

from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.web.client import readBody
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.server import Request

from apptuner_relay.cluster.bridge.peer_auth import BadPass, write_authorization_pass
from apptuner_relay.cluster.other_owner import find_other_owner
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.cluster.peer_http_proxy import (
    RETRY_AFTER_S,
    PeerProxy,
    has_proof,
    pass_headers,
    read_pass,
    url_at,
)
from apptuner_relay.managed.own_server.authorization import (
    PATH,
    PeerAuthorizationRequest,
    SignedEntry,
)
from apptuner_relay.session.session import Admission, BadRequest
from apptuner_relay.web.http_proxy import FAULTS, explain
from apptuner_relay.wire.text import parse_json

_ANSWER_S = 10.0
"""How long the owner may take to answer: it waits for its gateway to be in the channel."""
_MOST_ANSWER_BYTES = 16 * 1024
_PASSED_ON = ("Retry-After", "WWW-Authenticate")
"""The headers of a refusal that are for the client."""


class _Unread(Protocol):
    """Takes the body of an answer that nobody reads: it ends the connection, which would stay open
    otherwise."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.loseConnection()


class AuthorizationProxy(PeerProxy):
    """Asks other relays; an `authorization.PeerAuthorizations`."""

    log = Logger()

    def read(self, request: Request) -> PeerAuthorizationRequest | None:
        """See `PeerAuthorizations`."""
        placement = self._placement

        def read(shown: str) -> tuple[PeerAuthorizationRequest, str]:
            wall_s = placement.relay.wall_s()
            admission, socket_id, nonce = placement.verifier.read_authorization(shown, wall_s)
            return PeerAuthorizationRequest(admission, socket_id), nonce

        return read_pass(request, placement.secret, read, self._refused)

    def _refused(self, wrong: BadPass) -> None:
        count = self._refusals.count()
        if count is not None:
            self.log.warn(
                "refused a request of another relay to let a client into a channel: {why} "
                "({count} since the last such line)",
                why=str(wrong),
                count=count,
            )

    def ask(self, admission: Admission, socket_id: str) -> Deferred[SignedEntry | None]:
        """See `PeerAuthorizations`."""
        return Deferred.fromCoroutine(self._ask(admission, socket_id))

    async def _ask(self, admission: Admission, socket_id: str) -> SignedEntry | None:
        lease = await find_other_owner(self._placement, admission.session_hash)
        if lease is None:
            return None
        placement = self._placement
        shown, proof = write_authorization_pass(
            placement.secret,
            placement.node,
            lease.node,
            admission,
            socket_id,
            placement.relay.wall_s(),
        )
        url = url_at(lease, PATH).encode("ascii")
        asking = self._agent.request(b"POST", url, pass_headers(shown))
        try:
            response: Any = await asking.addTimeout(_ANSWER_S, self._reactor)
            if not has_proof(response, proof):
                response.deliverBody(_Unread())
                self._fail(lease, f"its answer, {response.code}, is not that of such a relay", 502)
            if response.length is UNKNOWN_LENGTH or response.length > _MOST_ANSWER_BYTES:
                response.deliverBody(_Unread())
                self._fail(lease, "its answer is too long", 502)
            reading: Deferred[bytes] = readBody(response)
            body = await reading.addTimeout(_ANSWER_S, self._reactor)
        except FAULTS as wrong:
            self._fail(lease, explain(wrong), 503)
        return self._read(response, body, lease)

    def _read(self, response: Any, body: bytes, lease: Lease) -> SignedEntry:
        try:
            value = parse_json(body)
            if response.code == 200:
                return SignedEntry(str(value["auth"]), str(value["channel_data"]))
            text = str(value["error"])
        except (ValueError, LookupError, TypeError):
            self._fail(lease, f"its answer, {response.code}, can't be read", 502)
        lines = ((name, response.headers.getRawHeaders(name)) for name in _PASSED_ON)
        raise BadRequest(response.code, text, [(name, found[0]) for name, found in lines if found])

    def _fail(self, lease: Lease, why: str, status: int) -> NoReturn:
        self.log.warn(
            "session {session}: relay {node} does not let a client into its channel: {why}",
            session=lease.session[:8],
            node=lease.node,
            why=why,
        )
        headers = [("Retry-After", str(RETRY_AFTER_S))] if status == 503 else []
        raise BadRequest(
            status, "The relay that has this session can't be reached now", headers
        ) from None
