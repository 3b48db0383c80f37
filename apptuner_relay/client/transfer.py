"""HTTP requests, and bodies at the pace of the disk: Twisted's Agent, with a watch and in words.

Twisted's Agent and not treq, which always asks for gzip and decodes it on the way: the rest of a
gzip file, after a cut, can't be decoded by itself. Not here: what to ask, and what an answer means.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    RedirectAgent,
    ResponseDone,
)
from twisted.web.error import InfiniteRedirection, RedirectWithNoLocation, SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse
from zope.interface import implementer

from apptuner_relay import __version__
from apptuner_relay.client.policy import MAX_REFUSAL_BYTES, Ending, How
from apptuner_relay.client.upload import PIECE_BYTES
from apptuner_relay.support.socket_errors import describe, is_untrusted

CONNECT_SECONDS = 20.0
STALL_SECONDS = 60.0
"""How long a server may say nothing, before its answer or in it. It may have to compress first."""

MAX_REDIRECTS = 5


class TransferError(Exception):
    """A request that got no answer, or not all of one.

    `final` says that another try would only meet the same end; `connected`, that it was no want of
    a connection, but what the server answered.
    """

    def __init__(self, text: str, *, final: bool = False, connected: bool = False) -> None:
        super().__init__(text)
        self.final = final
        self.connected = connected


class Body(io.BytesIO):
    """What is sent along with a request."""

    def __init__(
        self, data: bytes, progress: Callable[[int], None] = lambda sent_bytes: None
    ) -> None:
        super().__init__(data)
        self._progress = progress
        self.moved: Callable[[], None] = lambda: None

    def read(self, size: int | None = -1, /) -> bytes:
        """More of it, for the socket: all that was read before is sent."""
        self.moved()
        self._progress(self.tell())
        return super().read(size)


class Web:
    """Makes requests, each over a connection of its own, with certificates verified.

    With `secure`, nothing goes over a connection that is not encrypted, wherever a server redirects
    to.
    """

    def __init__(self, reactor: Any, clock: IReactorTime, *, secure: bool) -> None:
        self._clock = clock
        agent = Agent(reactor, BrowserLikePolicyForHTTPS(), connectTimeout=CONNECT_SECONDS)
        self._agent = RedirectAgent(_Hop(agent, secure), MAX_REDIRECTS)

    async def get(self, url: str, headers: Mapping[str, str]) -> IResponse:
        """The head of an answer. Its body has to be taken with `receive` or `drop`.

        Raises `TransferError`.
        """
        return await self.send("GET", url, headers)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> IResponse:
        """As `get`, by another method, and with a body."""
        fields = Headers({name: [value] for name, value in headers.items()})
        fields.setRawHeaders("User-Agent", [f"apptuner-relay/{__version__}"])
        producer = None if body is None else FileBodyProducer(body, readSize=PIECE_BYTES)
        answer = self._agent.request(method.encode(), url.encode("ascii"), fields, producer)
        watch = self._clock.callLater(STALL_SECONDS, answer.cancel)
        if body is not None:
            # A body that is taken is as good as a word.
            body.moved = lambda: watch.reset(STALL_SECONDS) if watch.active() else None
        try:
            response: IResponse = await answer
        except Exception as wrapped:
            error = _cause(wrapped)
            if not isinstance(error, CancelledError):
                raise _in_words(error) from error
            if watch.active():
                raise error from None
            raise _in_words(TimeoutError()) from None
        finally:
            if watch.active():
                watch.cancel()
        return response

    async def receive(self, response: IResponse, take: Callable[[bytes], None]) -> None:
        """Hand a body to `take` as it comes.

        Raises `TransferError` when it was cut short, and what `take` raises, which ends it.
        """
        body = _Body(take, self._clock)
        response.deliverBody(body)
        await body.done

    async def short_body(self, response: IResponse) -> bytes:
        """A body that is not long, such as a refusal's, as far as it comes. Raises nothing."""
        body = b""

        def take(data: bytes) -> None:
            nonlocal body
            body += data
            if len(body) > MAX_REFUSAL_BYTES:
                raise TransferError("too long a body")

        with contextlib.suppress(TransferError):
            await self.receive(response, take)
        return body

    @staticmethod
    def drop(response: IResponse) -> None:
        """Take no body, and let go of the connection."""
        response.deliverBody(_Nobody())


def fields_of(response: IResponse) -> dict[str, str]:
    """An answer's header fields, by names in lower case; of several with one name the last."""
    fields = {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }
    # Twisted takes it out of the header fields.
    if response.length is not UNKNOWN_LENGTH:
        fields["content-length"] = str(response.length)
    return fields


@implementer(IAgent)
class _Hop:
    """An agent under a `RedirectAgent`: sees each request on its way through redirections."""

    def __init__(self, agent: Agent, secure: bool) -> None:
        self._agent = agent
        self._secure = secure

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        if self._secure and not uri.lower().startswith(b"https:"):
            text = "the server redirects to an address that is not encrypted"
            return fail(TransferError(text, final=True, connected=True))
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return answer.addCallback(self._let_go_of_redirection)

    @staticmethod
    def _let_go_of_redirection(response: IResponse) -> IResponse:
        # A RedirectAgent leaves its body, and with it the connection, to nobody.
        if response.code in (301, 302, 303, 307, 308):
            Web.drop(response)
        return response


class _Nobody(Protocol):
    """Takes a body that nobody wants."""

    def connectionMade(self) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]


class _Body(Protocol, TimeoutMixin):
    """Takes a body, block by block."""

    transport: Any

    def __init__(self, take: Callable[[bytes], None], clock: IReactorTime) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._leave())
        self._take = take
        self._failure: Failure | None = None
        self._clock = clock

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        return self._clock.callLater(period, func)

    def connectionMade(self) -> None:
        self.setTimeout(STALL_SECONDS)

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self.resetTimeout()
        try:
            self._take(data)
        except Exception:
            self._end(Failure())

    def timeoutConnection(self) -> None:
        self._end(Failure(_in_words(TimeoutError())))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # Without a length the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.setTimeout(None)
            self.done.callback(None)
        else:
            self._end(Failure(_in_words(_cause(reason.value))))

    def _end(self, failure: Failure) -> None:
        self._leave()
        self.done.errback(failure)

    def _leave(self) -> None:
        self.setTimeout(None)
        if self.transport is not None:
            self.transport.loseConnection()


def _cause(error: Any) -> BaseException:
    """What is behind an error: Twisted wraps what happens to a request, more than once."""
    while (reasons := getattr(error, "reasons", None)) and isinstance(reasons[0], Failure):
        error = reasons[0].value
    assert isinstance(error, BaseException)
    return error


def _in_words(error: BaseException) -> TransferError:
    match error:
        case TransferError():
            return error
        case TimeoutError():
            return TransferError(f"the server said nothing for {STALL_SECONDS:g} s")
        case InfiniteRedirection() | RedirectWithNoLocation() | SchemeNotSupported():
            text = "the server redirects too often, or to nowhere"
            return TransferError(text, final=True, connected=True)
        case ConnectError() | DNSLookupError():
            return TransferError(str(Ending(How.UNREACHABLE, describe(error))))
    how = How.UNTRUSTED if is_untrusted(error) else How.LOST
    return TransferError(str(Ending(how, describe(error))), final=how is How.UNTRUSTED)
