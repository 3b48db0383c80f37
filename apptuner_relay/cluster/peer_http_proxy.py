"""Forwards an HTTP request to another relay, and its answer back (`http_proxy`). It also has what
all HTTP requests to other relays have in common.

`bundle_proxy`, `session_proxy` and `authorization_proxy` choose the relay.
"""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.cluster.bridge.peer_auth import PASS_HEADER, PROOF_HEADER, BadPass, prove
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.cluster.placement import ClusterPlacement
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.http_pool import quiet_pool
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.web.headers import header
from apptuner_relay.web.http_proxy import Unanswered, pass_on
from apptuner_relay.web.streaming import ResponseWriter

T = TypeVar("T")

RETRY_AFTER_S = 5
"""After how long a client should retry: the lease of a failed relay has ended then."""

_CONNECT_S = 2.0
_PASSED_ON = (
    *(b"accept-encoding", b"available-dictionary"),
    *(b"if-match", b"if-none-match", b"if-range", b"range"),
)
"""The request headers that decide on the answer. All others stay here, such as cookies and
tokens."""
_KEPT_BACK = (b"date", b"server", PROOF_HEADER.lower().encode())
"""The headers of the answer that are about the other relay itself."""


class PeerRequest(NamedTuple):
    """A request to another relay."""

    url: str
    """``http`` or ``https``, path included."""
    pass_text: str
    """The pass that it is sent with (`peer_auth`)."""
    proof: str
    """The proof that the other relay has to give."""
    fields: tuple[tuple[str, str], ...] = ()
    """Further header fields."""


class PeerProxy(ABC):
    """A base class of those that ask other relays, and are asked by them.

    :param trust: see `ClusterPlacement`.
    """

    def __init__(
        self, placement: ClusterPlacement, reactor: Any, trust: Certificate | None = None
    ) -> None:
        self._placement = placement
        self._reactor = reactor
        self._agent = Agent(
            reactor,
            BrowserLikePolicyForHTTPS(trust),
            connectTimeout=_CONNECT_S,
            pool=quiet_pool(reactor),
        )
        self._refusals = LogThrottle(placement.relay.clock.seconds)

    @abstractmethod
    def _refused(self, wrong: BadPass) -> None:
        """Log that the pass of a request is not good, some of the times."""

    def _has_request_pass(self, request: Request, what: str) -> bool:
        """Whether a request shows another relay's pass for ``what`` (`write_request_pass`).

        :raises BadRequest: see `read_pass`.
        """
        placement = self._placement

        def read(shown: str) -> tuple[bool, str]:
            wall_s = placement.relay.wall_s()
            return True, placement.verifier.read_request_pass(shown, what, wall_s)

        return read_pass(request, placement.secret, read, self._refused) is not None


def url_at(lease: Lease, path: str) -> str:
    """The URL of a path at the relay that has a session: ``ws://…`` becomes ``http://…``."""
    return f"http{lease.address.removeprefix('ws')}{path}"


def pass_headers(pass_text: str) -> Headers:
    """The headers by which a relay shows who it is."""
    return Headers({PASS_HEADER: [pass_text], "Via": ["1.1 apptuner-relay"]})


def read_pass(
    request: Request,
    secret: str,
    read: Callable[[str], tuple[T, str]],
    refused: Callable[[BadPass], None],
) -> T | None:
    """What another relay's pass says; its answer then gives the proof. None where there is none.

    :param read: gives what a pass says, and its nonce. It raises `BadPass`.
    :param refused: called with why a pass is not good.
    :raises BadRequest: 401, it is not good.
    """
    shown = header(request, PASS_HEADER)
    if shown is None:
        return None
    try:
        said, nonce = read(shown)
    except BadPass as wrong:
        refused(wrong)
        raise BadRequest(401, f"The pass is not good: {wrong}") from None
    request.setHeader(PROOF_HEADER.encode(), prove(secret, nonce).encode())
    return said


def has_proof(response: Any, proof: str) -> bool:
    """Whether an answer is that of a relay of this cluster, which gives this proof."""
    given = response.headers.getRawHeaders(PROOF_HEADER, [""])[0]
    return hmac.compare_digest(given.encode(), proof.encode())


async def forward(
    request: Request,
    outlet: ResponseWriter,
    peer_request: PeerRequest,
    agent: Agent,
    started: Callable[[Deferred[IResponse]], None] = lambda asking: None,
) -> str | None:
    """Have another relay answer ``request``.

    :param started: called with what fires with the head of the answer. It may be cancelled.
    :return: why the client's answer was cut short. None if it wasn't, or the client has
        disconnected.
    :raises Unanswered: the other relay has not answered.
    """
    asking: Deferred[IResponse] = agent.request(
        request.method, peer_request.url.encode("ascii"), _headers(request, peer_request)
    )
    started(asking)

    def check(response: Any) -> None:
        if not has_proof(response, peer_request.proof):
            raise Unanswered(
                f"its answer, {response.code}, is not that of a relay of this cluster", 502
            )

    return await pass_on(request, outlet, asking, check, kept_back=_KEPT_BACK)


def _headers(request: Request, peer_request: PeerRequest) -> Headers:
    headers = pass_headers(peer_request.pass_text)
    for field, value in peer_request.fields:
        headers.addRawHeader(field, value)
    for name in _PASSED_ON:
        lines = request.requestHeaders.getRawHeaders(name)
        if lines:
            headers.setRawHeaders(name, lines)
    return headers
