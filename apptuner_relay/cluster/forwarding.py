"""Passes an HTTP request on to another relay, and its answer back (`http_proxy`).

Where to, and whether that is the right relay, is up to others (`shelves`).
"""

import hmac
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.cluster.passes import PASS_HEADER, PROOF_HEADER
from apptuner_relay.web.http_proxy import Unanswered, pass_on
from apptuner_relay.web.streaming import Outlet

_PASSED_ON = (b"accept-encoding", b"if-match", b"if-none-match", b"if-range", b"range")
"""Of a request: what decides on the answer. What else there is (cookies, tokens) is nobody else's
business."""
_KEPT_BACK = (b"date", b"server", PROOF_HEADER.lower().encode())
"""Of an answer: what is of the other relay."""


class Way(NamedTuple):
    """To another relay."""

    url: str
    """``http`` or ``https``, path included."""
    shown: str
    """What lets the request in there."""
    proof: str
    """What the other relay has to show."""


async def forward(
    request: Request,
    outlet: Outlet,
    way: Way,
    agent: Agent,
    started: Callable[[Deferred[IResponse]], None] = lambda asking: None,
) -> str | None:
    """Have another relay answer ``request``.

    :param started: is given what fires with the head of the answer, and may be cancelled.
    :return: why the client was cut off in the middle; None if it wasn't, or left by itself.
    :raises Unanswered: it didn't.
    """
    asking: Deferred[IResponse] = agent.request(
        request.method, way.url.encode("ascii"), _headers(request, way.shown)
    )
    started(asking)

    def check(response: Any) -> None:
        proof = response.headers.getRawHeaders(PROOF_HEADER, [""])[0]
        if not hmac.compare_digest(proof.encode(), way.proof.encode()):
            raise Unanswered(
                f"its answer, {response.code}, is not that of a relay of this cluster", 502
            )

    return await pass_on(request, outlet, asking, check, kept_back=_KEPT_BACK)


def _headers(request: Request, shown: str) -> Headers:
    headers = Headers({PASS_HEADER: [shown], "Via": ["1.1 apptuner-relay"]})
    for name in _PASSED_ON:
        lines = request.requestHeaders.getRawHeaders(name)
        if lines:
            headers.setRawHeaders(name, lines)
    return headers
