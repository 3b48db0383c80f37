"""Forwards requests for paths of other programs (``--forward``, `routes`): any method, body and
answer, unchanged, each streamed at its receiver's pace.

Each request gets a connection of its own to the program, its upstream: a connection that is kept
alive may end just as a POST is sent on it, which could then be neither repeated nor answered. The
upstream has the whole request before the client gets any of the answer; `twisted.web.client` works
so.
"""

from collections.abc import Callable
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.config.groups.forwarding_settings import ForwardingSettings
from apptuner_relay.config.routes import Route, origin_form
from apptuner_relay.operator.descriptors import FULL
from apptuner_relay.support.client_address import TrustedProxies, host_of
from apptuner_relay.support.http_pool import quiet_pool
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.support.private_names.of_twisted import request_target
from apptuner_relay.web.exchange_states import TRANSITIONS, ExchangeEvent, ExchangeState
from apptuner_relay.web.headers import header
from apptuner_relay.web.http_proxy import Unanswered, end_to_end, pass_on
from apptuner_relay.web.json_body import write_json
from apptuner_relay.web.request_body import RequestBody
from apptuner_relay.web.streaming import ResponseWriter
from apptuner_relay.web.upstream_connection import UpstreamReactor

CONNECT_S = 5.0
RESET_CHECK_S = 1.0
"""How often a client that has closed its side is checked while it waits for its answer."""

_INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
_RETRY_AFTER = b"1"
_OWN_FIELDS = frozenset({b"content-length", b"expect"})
"""Request fields that the connection to the upstream has anew. A client that sends Expect has got
its 100 (Continue) already."""
_OF_PROXIES = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
"""Fields in which a proxy describes its client. They are passed on from trusted proxies only."""


class Forwarder:
    """Forwards the requests of a site."""

    log = Logger()

    def __init__(
        self,
        settings: ForwardingSettings,
        slow_time_s: float,
        trusted_proxy: TrustedProxies,
        reactor: Any,
        count: Callable[[str], None],
        is_full: Callable[[], bool],
    ) -> None:
        """:param slow_time_s: for how long a client may take nothing.
        :param count: is called with one of `request.RESULTS`.
        :param is_full: whether there are no descriptors left for forwarding.
        """
        self.settings = settings
        self.slow_time_s = slow_time_s
        self.trusted_proxy = trusted_proxy
        self.is_full = is_full
        self.count = count
        self.reactor = reactor
        self.agent = Agent(
            UpstreamReactor(reactor),
            connectTimeout=min(CONNECT_S, settings.forward_timeout),
            pool=quiet_pool(reactor),
        )
        self.active = 0
        """How many requests are being forwarded."""
        self.name = f"apptuner-relay-{token_hex(4)}"
        """This relay's name in Via, by which it detects a request that is forwarded to itself."""
        self._failures = LogThrottle(reactor.seconds)

    def take(self, request: Request, target: bytes, length: int | None) -> "Exchange | None":
        """Begin to forward a request whose head has arrived; None for one for the relay itself.

        :param target: see RFC 9112 §3.2.
        :param length: of its body; None where it is unknown.
        """
        route = self.settings.forward.find(target)
        return None if route is None else Exchange(self, request, route, length)

    def log_failure(self, route: Route, why: str) -> None:
        """Log that an upstream has failed, without the request's path, which may hold a secret."""
        count = self._failures.count()
        if count is not None:
            self.log.warn(
                "forwarding {prefix} to {upstream} has failed: {why} "
                "({count} since the last such line)",
                prefix=route.prefix,
                upstream=route.upstream,
                why=why,
                count=count,
            )


class Exchange:
    """One request and its answer."""

    def __init__(
        self, forwarder: Forwarder, request: Request, route: Route, length: int | None
    ) -> None:
        channel: Any = request.channel
        self._forwarder = forwarder
        self._request = request
        self._channel = channel
        self._route = route
        self._length = length
        self._timeout: IDelayedCall | None = None
        self._reset_check: IDelayedCall | None = None
        self._response: Deferred[IResponse] | None = None
        self.state = ExchangeState.RECEIVING
        self._writer: ResponseWriter | None = None
        self._wrong: Unanswered | None = None
        """Why the relay itself gives the request up."""
        settings = forwarder.settings
        self._body: RequestBody | None = None
        if length != 0:
            self._body = RequestBody(
                self._channel.transport, length, settings.forward_limit, self._moved, self._exceeded
            )
            channel.expect_body()

    @property
    def has_body(self) -> bool:
        """Whether the request has one."""
        return self._body is not None

    asks_for_body = False
    """See `request.BodyTaker`: the channel does."""

    def begin(self) -> None:
        """Send the request to the upstream; the client is answered from here on. A request without
        a body must be complete by then, as it may be answered at once."""
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    def take(self, data: bytes) -> None:
        """A piece of the body has arrived."""
        if self._body is not None:
            self._body.take(data)

    def end(self) -> None:
        """All of the body has arrived."""
        if self._body is not None:
            self._body.end()

    def half_closed(self) -> None:
        """The client has closed its side: it is waiting for its answer, or gone. An interim
        response (RFC 9110 §15.2), which a waiting client ignores, has the system of one that is
        gone reset the connection."""
        request = self._request
        if self.state is not ExchangeState.SENT or request.clientproto != b"HTTP/1.1":
            return
        if self._reset_check is None:
            self._channel.transport.write(_INTERIM)
            self._check_reset_later()

    async def _run(self) -> None:
        forwarder, route = self._forwarder, self._route
        settings = forwarder.settings
        self._writer = writer = ResponseWriter(
            self._request, forwarder.reactor, forwarder.slow_time_s
        )
        forwarder.active += 1
        try:
            self._check()
            headers = self._headers()
            self._response = response = request_target(
                forwarder.agent,
                URI.fromBytes(route.upstream.encode("ascii") + b"/"),
                self._request.method,
                origin_form(self._request.uri),
                headers,
                self._body,
            )
            self._happens(ExchangeEvent.SENT)
            self._moved()
            response.addBoth(self._answered)
            why = await pass_on(self._request, writer, response, silence_s=settings.forward_timeout)
            if why is not None:
                forwarder.log_failure(route, f"cut short: {why}")
                forwarder.count("cut_short")
            else:
                forwarder.count("left" if writer.gone else "answered")
        except Unanswered as wrong:
            if self._body is not None:
                self._body.stopProducing()
            self._refuse(writer, self._wrong or Unanswered(str(wrong), 502), str(wrong))
        finally:
            forwarder.active -= 1

    def _check(self) -> None:
        """:raises Unanswered: the request isn't forwarded."""
        forwarder, settings = self._forwarder, self._forwarder.settings
        if forwarder.active > settings.forward_requests:
            self._wrong = Unanswered(
                "Too many requests are being forwarded (--forward-requests)", 503
            )
        elif forwarder.is_full():
            self._wrong = Unanswered(FULL, 503)
        elif self._length is not None and self._length > settings.forward_limit:
            self._wrong = self._too_large()
        elif forwarder.name in (header(self._request, "via") or ""):
            self._wrong = Unanswered(f"{self._route.prefix} is forwarded to the relay itself", 508)
        elif not self._request.uri.isascii() or not self._request.uri.decode().isprintable():
            self._wrong = Unanswered("Bad request target", 400)
        elif len(self._request.requestHeaders.getRawHeaders(b"host", ())) > 1:
            # RFC 9112 §3.2. The upstream might use another one than a proxy in front of the relay.
            self._wrong = Unanswered("More than one Host", 400)
        if self._wrong is not None:
            raise self._wrong

    def _headers(self) -> Headers:
        settings = self._forwarder.settings
        headers = make_headers(self._request, self._forwarder.trusted_proxy, self._forwarder.name)
        if settings.forward_host == "upstream":
            headers.removeHeader(b"host")
        return headers

    def _refuse(self, writer: ResponseWriter, wrong: Unanswered, why: str) -> None:
        prefix, status = self._route.prefix, wrong.status
        text = str(wrong)
        if self._wrong is None:
            text = f"What is behind {prefix} can't be reached, or fails"
        if writer.gone:
            self._forwarder.count("left")
            return
        has_failed = status in (502, 504, 508)
        self._forwarder.count("failed" if has_failed else "refused")
        if has_failed:
            self._forwarder.log_failure(self._route, why if self._wrong is None else text)
        body = write_json(self._request, {"error": text}, status)
        # The pages of these programs are on other hosts, and couldn't read the error otherwise.
        self._request.setHeader(b"access-control-allow-origin", b"*")
        if status == 503:
            self._request.setHeader(b"retry-after", _RETRY_AFTER)
        if self._channel.is_body_due:
            self._request.setHeader(b"connection", b"close")
        writer.finish(body)

    def _moved(self) -> None:
        """The request has made progress: restart the timer."""
        if self._timeout is not None and self._timeout.active():
            self._timeout.reset(self._forwarder.settings.forward_timeout)
        elif self.state is ExchangeState.SENT:
            self._timeout = self._forwarder.reactor.callLater(
                self._forwarder.settings.forward_timeout, self._late
            )

    def _late(self) -> None:
        body = self._body
        if body is not None and not body.has_ended and not body.is_held:
            wrong = Unanswered("The request's body took too long to come (--forward-timeout)", 408)
        else:
            wrong = Unanswered(f"What is behind {self._route.prefix} gave no answer in time", 504)
        self._give_up(wrong)

    def _exceeded(self) -> None:
        self._give_up(self._too_large())

    def _too_large(self) -> Unanswered:
        limit = self._forwarder.settings.forward_limit
        return Unanswered(f"A body above {limit} bytes (--forward-limit)", 413)

    def _happens(self, event: ExchangeEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    def _give_up(self, wrong: Unanswered) -> None:
        self._wrong = wrong
        if self._response is not None:
            self._response.cancel()

    def _answered(self, answer: Any) -> Any:
        self._happens(ExchangeEvent.ANSWERED)
        for call in (self._timeout, self._reset_check):
            if call is not None and call.active():
                call.cancel()
        return answer

    def _check_reset_later(self) -> None:
        self._reset_check = self._forwarder.reactor.callLater(RESET_CHECK_S, self._check_reset)

    def _check_reset(self) -> None:
        if self._channel.is_reset:
            self._channel.transport.abortConnection()
        else:
            self._check_reset_later()

    def _failed(self, failure: Any) -> None:
        self._forwarder.log.failure("forwarding a request has failed", failure)
        if self._writer is not None:
            self._writer.abort()


def make_headers(request: Request, trusted: TrustedProxies, name: str) -> Headers:
    """The fields of a request for an upstream: all but those of the connection, and the client's
    address. Host stays, as such programs make links of it.

    :param trusted: the proxies whose fields on their clients are passed on.
    :param name: this relay's, for Via (RFC 9110 §7.6.3).
    """
    headers = Headers()
    peer = host_of(request.getClientAddress())
    left_out = _OWN_FIELDS if trusted.trusts(peer) else _OWN_FIELDS | _OF_PROXIES
    for field, lines in end_to_end(request.requestHeaders):
        lower = field.lower()
        # Programs that read fields as CGI does (RFC 3875 §4.1.18) take X_Real_IP for X-Real-IP.
        # No proxy writes them so.
        is_disguised = b"_" in lower and lower.replace(b"_", b"-") in _OWN_FIELDS | _OF_PROXIES
        if lower not in left_out and not is_disguised:
            headers.setRawHeaders(field, lines)
    if peer is not None:
        before = headers.getRawHeaders(b"x-forwarded-for", [])
        headers.setRawHeaders(b"x-forwarded-for", [b", ".join([*before, peer.encode("ascii")])])
    if not headers.hasHeader(b"x-forwarded-proto"):
        headers.setRawHeaders(b"x-forwarded-proto", [b"https" if request.isSecure() else b"http"])
    host = request.requestHeaders.getRawHeaders(b"host")
    if host and not headers.hasHeader(b"x-forwarded-host"):
        headers.setRawHeaders(b"x-forwarded-host", host[-1:])
    headers.addRawHeader(b"via", f"1.1 {name}".encode())
    return headers
