"""What every proxy does: choose the fields that are passed on, and stream the answer at the
client's pace.

The caller makes the request to the upstream. No more than a block of an answer is in memory: while
the client reads nothing, nothing is read for it.
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

from apptuner_relay.web.response_body_states import (
    TRANSITIONS,
    ResponseBodyEvent,
    ResponseBodyState,
)
from apptuner_relay.web.streaming import ResponseWriter

SILENCE_S = 30.0
"""An upstream that sends nothing of its answer for so long is given up."""
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
"""Fields of one connection (RFC 9110 §7.6.1), besides those that Connection names."""
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
"""The errors with which `twisted.web.client.Agent` fails when it gets no answer."""


class Unanswered(Exception):
    """There is no answer to pass on. Nothing has been sent to the client.

    :param status: the HTTP status for the client.
    """

    def __init__(self, why: str, status: int = 503) -> None:
        super().__init__(why)
        self.status = status


def end_to_end(headers: Headers) -> Iterator[tuple[bytes, list[bytes]]]:
    """The fields that are passed on to the next hop."""
    named = b",".join(headers.getRawHeaders(b"connection", ())).lower().split(b",")
    kept_back = HOP_BY_HOP | {name.strip() for name in named}
    for name, lines in headers.getAllRawHeaders():
        if name.lower() not in kept_back:
            yield name, list(lines)


async def pass_on(
    request: Request,
    writer: ResponseWriter,
    asking: Deferred[IResponse],
    check: Callable[[Any], None] = lambda response: None,
    silence_s: float = SILENCE_S,
    kept_back: Collection[bytes] = (),
) -> str | None:
    """Answer ``request`` with the response of ``asking``, which is cancelled when the client
    leaves.

    :param check: raises `Unanswered` for a response that is not to be passed on.
    :param silence_s: seconds after which an upstream that sends nothing is given up.
    :param kept_back: names of further fields, in lower case, that aren't passed on.
    :return: why the response was cut short; None if it wasn't, or the client has left.
    :raises Unanswered: there is no response.
    """
    request.notifyFinish().addErrback(lambda _: asking.cancel())
    try:
        response: Any = await asking
    except FAULTS as wrong:
        raise Unanswered(explain(wrong)) from None
    body = AnswerBody(writer, silence_s)
    try:
        if not writer.gone:
            check(response)
    except Unanswered:
        body.drop()
        response.deliverBody(body)
        raise
    if writer.gone:
        body.drop()
        response.deliverBody(body)
        return None
    _copy_head(request, response, kept_back)
    request.notifyFinish().addErrback(lambda _: body.drop())
    response.deliverBody(body)
    why = await body.done
    if why is not None:
        writer.abort()
    else:
        writer.finish()
    return why


def explain(wrong: BaseException) -> str:
    """What went wrong, in a few words for the log."""
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
    # An answer without a body keeps the Content-Length of the body that a GET would have had.
    if response.length is not UNKNOWN_LENGTH and _has_body(request, response.code):
        request.setHeader(b"content-length", b"%d" % response.length)


def _has_body(request: Request, code: int) -> bool:
    return request.method != b"HEAD" and code not in (204, 304)


class AnswerBody(Protocol, TimeoutMixin):
    """Reads the body of an answer as fast as the client takes it; see `response_body_states`."""

    def __init__(self, writer: ResponseWriter, silence_s: float) -> None:
        self.state = ResponseBodyState.STREAMING
        self.done: Deferred[str | None] = Deferred()
        """Fires with why the body was cut short, or None."""
        self._writer = writer
        self._silence_s = silence_s
        self._why: str | None = None

    def connectionMade(self) -> None:
        if self.state is ResponseBodyState.DROPPED:
            self._lose()
        else:
            self.setTimeout(self._silence_s)

    def dataReceived(self, data: bytes) -> None:
        if self.state is ResponseBodyState.DROPPED:
            return
        self.resetTimeout()
        self._writer.write(data)
        if self.state is not ResponseBodyState.STREAMING:
            return
        room = self._writer.room()
        if not room.called:
            self._happens(ResponseBodyEvent.FULL)
            self.setTimeout(None)
            self.transport.pauseProducing()  # type: ignore[union-attr]
            room.addCallback(self._has_room)

    def drop(self) -> None:
        """The client doesn't get the body."""
        self._happens(ResponseBodyEvent.UNWANTED)
        self._lose()

    def timeoutConnection(self) -> None:
        self._why = f"nothing came for {self._silence_s:g} s"
        self._lose()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        is_wanted = self.state is not ResponseBodyState.DROPPED
        if is_wanted and not reason.check(ResponseDone, PotentialDataLoss):
            self._why = self._why or "the connection to it was lost"
        self._happens(ResponseBodyEvent.LOST)

    def _has_room(self, _: None) -> None:
        if self._happens(ResponseBodyEvent.ROOM) is ResponseBodyState.STREAMING:
            self.setTimeout(self._silence_s)
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _happens(self, event: ResponseBodyEvent) -> ResponseBodyState:
        before = self.state
        self.state = after = TRANSITIONS.get((before, event), before)
        if after is ResponseBodyState.OVER and before is not after:
            self.done.callback(self._why)
        return after

    def _lose(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
