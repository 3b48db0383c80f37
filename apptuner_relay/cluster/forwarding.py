"""Passes an HTTP request on to another relay, and its answer back at the client's pace.

Where to, and whether that is the right relay, is up to others (`shelves`). No more than a block of
the answer is in memory: while the client takes nothing, nothing is read from the other relay.
"""

import hmac
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.client import Agent, RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from twisted.web.server import Request

from apptuner_relay.cluster.passes import PASS_HEADER, PROOF_HEADER
from apptuner_relay.web.streaming import Outlet

SILENCE_S = 30.0
"""An answer of which nothing comes for so long, though it is read, has ended."""
_PASSED_ON = (b"accept-encoding", b"if-match", b"if-none-match", b"if-range", b"range")
"""Of a request: what decides on the answer. What else there is (cookies, tokens) is nobody else's
business."""
_KEPT_BACK = frozenset(
    {
        # Of one connection (RFC 9110 §7.6.1).
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # Of the other relay.
        b"date",
        b"server",
        PROOF_HEADER.lower().encode(),
    }
)
FAULTS = (
    CancelledError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectTimeoutError,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
    TimeoutError,
)


class Unanswered(Exception):
    """The other relay gave no answer that could be passed on. Nothing has been sent to the client.

    :param status: which HTTP status says so.
    """

    def __init__(self, why: str, status: int = 503) -> None:
        super().__init__(why)
        self.status = status


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
    # A client that leaves has no use for it.
    request.notifyFinish().addErrback(lambda _: asking.cancel())
    started(asking)
    try:
        response: Any = await asking
    except FAULTS as wrong:
        raise Unanswered(_why(wrong)) from None
    body = _Body(outlet)
    proof = response.headers.getRawHeaders(PROOF_HEADER, [""])[0]
    if outlet.gone or not hmac.compare_digest(proof.encode(), way.proof.encode()):
        body.drop()
        response.deliverBody(body)
        if outlet.gone:
            return None
        raise Unanswered(
            f"its answer, {response.code}, is not that of a relay of this cluster", 502
        )
    _copy_head(request, response)
    request.notifyFinish().addErrback(lambda _: body.drop())
    response.deliverBody(body)
    why = await body.done
    if why is not None:
        outlet.abort()
    else:
        outlet.finish()
    return why


def _headers(request: Request, shown: str) -> Headers:
    headers = Headers({PASS_HEADER: [shown], "Via": ["1.1 apptuner-relay"]})
    for name in _PASSED_ON:
        lines = request.requestHeaders.getRawHeaders(name)
        if lines:
            headers.setRawHeaders(name, lines)
    return headers


def _copy_head(request: Request, response: Any) -> None:
    request.setResponseCode(response.code, response.phrase)
    for name, lines in response.headers.getAllRawHeaders():
        if name.lower() not in _KEPT_BACK:
            request.responseHeaders.setRawHeaders(name, lines)
    # An answer without a body keeps the length of what there would be among its fields.
    if response.length is not UNKNOWN_LENGTH and _has_body(request, response.code):
        request.setHeader(b"content-length", b"%d" % response.length)


def _has_body(request: Request, code: int) -> bool:
    return request.method != b"HEAD" and code not in (204, 304)


class _Body(Protocol, TimeoutMixin):
    """Reads an answer's body as fast as the client takes it."""

    def __init__(self, outlet: Outlet) -> None:
        self.done: Deferred[str | None] = Deferred()
        """Fires with why it has ended early, or None."""
        self._outlet = outlet
        self._is_dropped = False
        self._is_waiting = False
        self._is_over = False
        self._why: str | None = None

    def connectionMade(self) -> None:
        if self._is_dropped:
            self._lose()
        else:
            self.setTimeout(SILENCE_S)

    def dataReceived(self, data: bytes) -> None:
        if self._is_dropped:
            return
        self.resetTimeout()
        self._outlet.write(data)
        if self._is_waiting:
            return
        room = self._outlet.room()
        if not room.called:
            self._is_waiting = True
            self.setTimeout(None)
            self.transport.pauseProducing()  # type: ignore[union-attr]
            room.addCallback(self._go_on)

    def drop(self) -> None:
        """Nobody wants it."""
        self._is_dropped = True
        self._lose()

    def timeoutConnection(self) -> None:
        self._why = f"nothing came for {SILENCE_S:g} s"
        self._lose()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        self._is_over = True
        if not self._is_dropped and not reason.check(ResponseDone):
            self._why = self._why or "the connection to it was lost"
        if not self._is_waiting:
            self.done.callback(self._why)

    def _go_on(self, _: None) -> None:
        self._is_waiting = False
        if self._is_over:
            self.done.callback(self._why)
        elif not self._is_dropped:
            self.setTimeout(SILENCE_S)
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _lose(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _why(wrong: BaseException) -> str:
    reasons = getattr(wrong, "reasons", None)
    cause = reasons[0].value if reasons else wrong
    if isinstance(cause, CancelledError | ConnectingCancelledError):
        return "no answer in time"
    text = str(cause) or type(cause).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip(". ")
