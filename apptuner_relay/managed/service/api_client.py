"""Requests to the HTTP API of a managed service: for its channels, for the users in one, and with
events to publish. They are signed, and their answers are bounded in size and time.

Twisted's Agent and not treq, whose requests with a body run on the global reactor.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from apptuner_relay import __version__
from apptuner_relay.config.managed_url import ServiceUrl
from apptuner_relay.managed.protocol.api_answers import read_answer
from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.support.clocks import WallClock
from apptuner_relay.support.http_pool import quiet_pool
from apptuner_relay.support.socket_errors import describe, is_untrusted
from apptuner_relay.wire.messages import compact_json

ANSWER_S = 10.0
"""For the connection, the request and all of the answer."""
MOST_ANSWER_BYTES = 8 * 1024 * 1024
"""A list of channels is the longest: some 100 bytes for each."""
IDLE_S = 4
"""How long a connection is kept for another request. Servers that end idle ones, which may be just
as a request is sent, wait for 5 s or longer."""


class ServiceUnreached(Exception):
    """A request got no answer. The text is for the operator.

    :ivar is_sent: whether the service may have acted on it all the same.
    :ivar is_untrusted: whether its certificate did not verify.
    """

    def __init__(self, text: str, is_sent: bool, is_untrusted: bool = False) -> None:
        super().__init__(text)
        self.is_sent = is_sent
        self.is_untrusted = is_untrusted


class ServiceBusy(ServiceRefused):
    """A service has refused a request, as there are too many.

    :ivar wait_s: for how long it asks to be left alone; None where it doesn't say.
    """

    def __init__(self, code: int, text: str, wait_s: float | None) -> None:
        super().__init__(code, text)
        self.wait_s = wait_s


class ApiEvent(NamedTuple):
    """An event to publish."""

    channel: str
    name: str
    data: str
    """A JSON text."""
    socket_id: str | None = None
    """The connection that doesn't get it: the relay's own, as that would be paid for."""


class ApiAgent(NamedTuple):
    """What sends the requests."""

    agent: Any
    """An `IAgent`."""
    pool: Any
    """Its `HTTPConnectionPool`."""


def make_agent(reactor: Any, connect_s: float, trust: Any | None) -> ApiAgent:
    """What sends requests to a service.

    :param trust: the authorities that may have signed the service's certificate, an
        `IOpenSSLTrustRoot`; None for the system's.
    """
    policy = BrowserLikePolicyForHTTPS() if trust is None else BrowserLikePolicyForHTTPS(trust)
    pool = quiet_pool(reactor, IDLE_S)
    return ApiAgent(Agent(reactor, policy, connectTimeout=connect_s, pool=pool), pool)


class ApiClient:
    """Makes the requests of one application."""

    def __init__(
        self,
        service: ServiceUrl,
        signer: Signer,
        agent: ApiAgent,
        counters: ManagedCounters,
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self._service = service
        self._origin = service.api._replace(prefix="").url("http")
        self._signer = signer
        self._agent, self._pool = agent
        self._counters = counters
        self._clock = clock
        self._wall_s = wall_s

    def stop(self) -> Deferred[None]:
        """Close the connections that are kept for further requests. Fires when that is done."""
        closing: Deferred[Any] = self._pool.closeCachedConnections()
        return closing.addBoth(lambda _: None)

    async def channels(self, prefix: str) -> dict[str, int]:
        """How many users are in each channel that somebody is in, and whose name begins with
        ``prefix``.

        :param prefix: of presence channels.
        :raises ServiceRefused: the service refuses the request. So do all of these.
        :raises ServiceUnreached: it can't be reached. So do all of these.
        """
        params = {"filter_by_prefix": prefix, "info": "user_count"}
        answer = await self._request("GET", "channels", params)
        found = answer.get("channels")
        if not isinstance(found, dict):
            # PHP's empty arrays are no objects.
            found = {}
        return {
            name: _user_count(about)
            for name, about in found.items()
            if name.startswith(prefix) and _user_count(about) > 0
        }

    async def users(self, channel: str) -> list[str]:
        """The ``user_id`` of everybody in a presence channel."""
        answer = await self._request("GET", f"channels/{channel}/users", {})
        users = answer.get("users")
        if not isinstance(users, list):
            return []
        return [str(user["id"]) for user in users if isinstance(user, dict) and "id" in user]

    async def publish(self, events: Iterable[ApiEvent]) -> None:
        """Publish events, in this order: all of them or none.

        :param events: at most as many as the service takes at once.
        """
        batch = [
            {field: value for field, value in one._asdict().items() if value is not None}
            for one in events
        ]
        await self._request("POST", "batch_events", {}, compact_json({"batch": batch}))

    async def _request(
        self, method: str, what: str, params: Mapping[str, str], body: bytes = b""
    ) -> dict[str, object]:
        path = f"{self._service.api_path}/{what}"
        query = self._signer.sign_request(method, path, params, body, self._wall_s())
        self._counters.requests += 1
        headers = Headers({"User-Agent": [f"AppTunerRelay/{__version__}"]})
        producer = None
        if body:
            headers.setRawHeaders("Content-Type", ["application/json"])
            producer = BytesProducer(body)
        url = f"{self._origin}{path}?{query}".encode("ascii")
        deadline_s = self._clock.seconds() + ANSWER_S
        asking = self._agent.request(method.encode("ascii"), url, headers, producer)
        try:
            response = await asking.addTimeout(ANSWER_S, self._clock)
            receiver = _AnswerReceiver()
            response.deliverBody(receiver)
            left_s = max(0.0, deadline_s - self._clock.seconds())
            text = await receiver.done.addTimeout(left_s, self._clock)
        except ServiceUnreached:
            raise
        except Exception as wrong:  # Twisted wraps whatever may happen to a request
            raise _unreached(wrong) from None
        answer = read_answer(response.code, text)
        refusal = answer.refusal
        if refusal is None:
            return answer.value
        self._counters.count_refused(refusal.code)
        if refusal.code == HTTPStatus.TOO_MANY_REQUESTS:
            raise ServiceBusy(refusal.code, refusal.text, _retry_after_s(response.headers))
        raise ServiceRefused(refusal.code, refusal.text, refusal.is_permanent)


def _user_count(about: object) -> int:
    """How many users a channel of the list has. Somebody is in it, or it would not be listed."""
    count = about.get("user_count", 1) if isinstance(about, dict) else 1
    return count if type(count) is int else 1


def _retry_after_s(headers: Headers) -> float | None:
    lines: Sequence[str] = headers.getRawHeaders("Retry-After") or ()
    text = lines[0] if lines else ""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _unreached(wrong: BaseException) -> ServiceUnreached:
    """What Twisted's Agent fails with, in words."""
    error: Any = wrong
    while (reasons := getattr(error, "reasons", None)) and isinstance(reasons[0], Failure):
        error = reasons[0].value
    if isinstance(error, TimeoutError | CancelledError):
        return ServiceUnreached(f"no answer within {ANSWER_S:g} s", is_sent=True)
    if is_untrusted(error):
        text = f"its certificate is not trusted: {describe(error)}"
        return ServiceUnreached(text, is_sent=False, is_untrusted=True)
    is_sent = not isinstance(error, ConnectError | DNSLookupError | SSL.Error)
    return ServiceUnreached(describe(error) or "the connection was lost", is_sent)


@implementer(IBodyProducer)
class BytesProducer:
    """The body of a request: all of it at once, as it is short."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See `IBodyProducer`."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """See `IBodyProducer`."""

    def resumeProducing(self) -> None:
        """See `IBodyProducer`."""

    def stopProducing(self) -> None:
        """See `IBodyProducer`."""


class _AnswerReceiver(Protocol):
    """Takes the body of an answer, as far as it is not too long."""

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._leave())
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MOST_ANSWER_BYTES:
            self._parts.append(data)
        elif not self.done.called:
            self._leave()
            self.done.errback(ServiceUnreached("its answer is too long", is_sent=True))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # Without a length the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
