"""What a proxy does with any request: which fields go on, and the answer, at the client's pace.

Whom it asks, and with what, is up to others. No more than a block of an answer is in memory: while
the client takes nothing, nothing is read for it.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

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
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from twisted.web.server import Request

from apptuner_relay.web.streaming import Outlet

SILENCE_S = 30.0
"""An answer of which nothing comes for so long, though it is read, has ended."""
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that are of one connection (RFC 9110 §7.6.1), besides those that Connection names."""
FAULTS = (
    CancelledError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectTimeoutError,
    DNSLookupError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    TimeoutError,
)
"""What `twisted.web.client.Agent` fails with when it gets no answer."""


class Unanswered(Exception):
    """There is no answer that could be passed on. Nothing has been sent to the client.

    :param status: which HTTP status says so.
    """

    def __init__(self, why: str, status: int = 503) -> None:
        super().__init__(why)
        self.status = status


def end_to_end(headers: Headers) -> Iterator[tuple[bytes, list[bytes]]]:
    """The fields that go on to the next hop."""
    named = b",".join(headers.getRawHeaders(b"connection", ())).lower().split(b",")
    kept_back = HOP_BY_HOP | {name.strip() for name in named}
    for name, lines in headers.getAllRawHeaders():
        if name.lower() not in kept_back:
            yield name, list(lines)


async def pass_on(
    request: Request,
    outlet: Outlet,
    asking: Deferred[IResponse],
    check: Callable[[Any], None] = lambda response: None,
    silence_s: float = SILENCE_S,
    kept_back: Collection[bytes] = (),
) -> str | None:
    """Answer ``request`` with what ``asking`` brings, which is cancelled when the client leaves.

    :param check: raises `Unanswered` for an answer that is not to be passed on.
    :param silence_s: seconds after which an answer of which nothing more comes has ended.
    :param kept_back: names of the answer's fields, in lower case, that aren't passed on either.
    :return: why the client was cut off in the middle; None if it wasn't, or left by itself.
    :raises Unanswered: it brought nothing.
    """
    request.notifyFinish().addErrback(lambda _: asking.cancel())
    try:
        response: Any = await asking
    except FAULTS as wrong:
        raise Unanswered(explain(wrong)) from None
    body = AnswerBody(outlet, silence_s)
    try:
        if not outlet.gone:
            check(response)
    except Unanswered:
        body.drop()
        response.deliverBody(body)
        raise
    if outlet.gone:
        body.drop()
        response.deliverBody(body)
        return None
    _copy_head(request, response, kept_back)
    request.notifyFinish().addErrback(lambda _: body.drop())
    response.deliverBody(body)
    why = await body.done
    if why is not None:
        outlet.abort()
    else:
        outlet.finish()
    return why


def explain(wrong: BaseException) -> str:
    """What has gone wrong, in a few words that can be logged."""
    reasons = getattr(wrong, "reasons", None)
    cause = reasons[0].value if reasons else wrong
    if isinstance(cause, CancelledError | ConnectingCancelledError):
        return "no answer in time"
    text = str(cause) or type(cause).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip(". ")


def _copy_head(request: Request, response: Any, kept_back: Collection[bytes]) -> None:
    request.setResponseCode(response.code, response.phrase)
    for name, lines in end_to_end(response.headers):
        if name.lower() not in kept_back:
            request.responseHeaders.setRawHeaders(name, lines)
    # An answer without a body keeps the length of what there would be among its fields.
    if response.length is not UNKNOWN_LENGTH and _has_body(request, response.code):
        request.setHeader(b"content-length", b"%d" % response.length)


def _has_body(request: Request, code: int) -> bool:
    return request.method != b"HEAD" and code not in (204, 304)


class AnswerBody(Protocol, TimeoutMixin):
    """Reads an answer's body as fast as the client takes it."""

    def __init__(self, outlet: Outlet, silence_s: float) -> None:
        self.done: Deferred[str | None] = Deferred()
        """Fires with why it has ended early, or None."""
        self._outlet = outlet
        self._silence_s = silence_s
        self._is_dropped = False
        self._is_waiting = False
        self._is_over = False
        self._why: str | None = None

    def connectionMade(self) -> None:
        if self._is_dropped:
            self._lose()
        else:
            self.setTimeout(self._silence_s)

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
        self._why = f"nothing came for {self._silence_s:g} s"
        self._lose()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        self._is_over = True
        if not self._is_dropped and not reason.check(ResponseDone, PotentialDataLoss):
            self._why = self._why or "the connection to it was lost"
        if not self._is_waiting:
            self.done.callback(self._why)

    def _go_on(self, _: None) -> None:
        self._is_waiting = False
        if self._is_over:
            self.done.callback(self._why)
        elif not self._is_dropped:
            self.setTimeout(self._silence_s)
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _lose(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
