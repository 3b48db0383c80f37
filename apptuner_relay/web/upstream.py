"""Forwards requests for other programs' paths (``--forward``, `routes`) to these programs, whole:
any method, body and answer, as they are, both streamed at the pace of whoever takes them.

To such a program, its upstream, a connection is opened for each request: one that is kept may end
just as a POST goes out on it, which could then be neither repeated nor answered. The upstream has
the whole request before its answer goes to the client, which is how `twisted.web.client` works.
"""

from collections.abc import Callable
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from twisted.web.server import Request

from apptuner_relay.asking import quiet_pool
from apptuner_relay.descriptors import FULL
from apptuner_relay.forwarded import TrustedProxies, host_of
from apptuner_relay.options import Settings
from apptuner_relay.seldom import Seldom
from apptuner_relay.web.headers import header
from apptuner_relay.web.http_proxy import Unanswered, end_to_end, pass_on
from apptuner_relay.web.intake import Intake
from apptuner_relay.web.json import write_json
from apptuner_relay.web.routes import Route, origin_form
from apptuner_relay.web.streaming import Outlet

CONNECT_S = 5.0
LOOK_S = 1.0
"""How often a client that sends nothing more is looked at while it waits for its answer."""

_INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"
_RETRY_AFTER = b"1"
_OWN_FIELDS = frozenset({b"content-length", b"expect"})
"""Of a request: what the connection to the upstream has anew. What a client expects is a go-ahead,
which it has had."""
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
"""What a proxy says of a client. Anybody else's word on that doesn't go on."""


class _Agent(Agent):
    """Asks for exactly the target that the client has asked for."""

    def ask(
        self, route: Route, request: Request, headers: Headers, body: IBodyProducer | None
    ) -> Deferred[IResponse]:
        """Twisted's own ``request`` reads a URL and writes it anew, without an empty query."""
        uri = URI.fromBytes(route.upstream.encode("ascii") + b"/")
        asking: Deferred[IResponse] = self._requestWithEndpoint(
            (uri.scheme, uri.host, uri.port),
            self._getEndpoint(uri),
            request.method,
            uri,
            headers,
            body,
            origin_form(request.uri),
        )
        return asking


class Forwarder:
    """Forwards the requests of a site."""

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        count: Callable[[str], None],
        is_full: Callable[[], bool],
    ) -> None:
        """:param count: is called with one of `request.RESULTS`.
        :param is_full: whether there are no descriptors left for forwarding.
        """
        self.settings = settings
        self.is_full = is_full
        self.count = count
        self.reactor = reactor
        self.agent = _Agent(
            reactor,
            connectTimeout=min(CONNECT_S, settings.forward_timeout),
            pool=quiet_pool(reactor),
        )
        self.active = 0
        """How many are on their way."""
        self.name = f"apptuner-relay-{token_hex(4)}"
        """How this relay is called in Via, by which it knows a request that comes back."""
        self._failures = Seldom(reactor.seconds)

    def take(self, request: Request, target: bytes, length: int | None) -> "Exchange | None":
        """Begin to forward a request whose head has come; None for one that is the relay's own.

        :param target: see RFC 9112 §3.2.
        :param length: of its body; None where that isn't said beforehand.
        """
        route = self.settings.forward.find(target)
        return None if route is None else Exchange(self, request, route, length)

    def complain(self, route: Route, why: str) -> None:
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
    """One request, and its answer."""

    def __init__(
        self, forwarder: Forwarder, request: Request, route: Route, length: int | None
    ) -> None:
        channel: Any = request.channel
        self._forwarder = forwarder
        self._request = request
        self._channel = channel
        self._route = route
        self._length = length
        self._watch: IDelayedCall | None = None
        self._look: IDelayedCall | None = None
        self._asking: Deferred[IResponse] | None = None
        self._is_answered = False
        """Whether the upstream has answered, or will not."""
        self._outlet: Outlet | None = None
        self._wrong: Unanswered | None = None
        """What is wrong, where it isn't the upstream that says so."""
        settings = forwarder.settings
        self._intake: Intake | None = None
        if length != 0:
            self._intake = Intake(
                self._channel.transport, length, settings.forward_limit, self._moved, self._exceeded
            )
            channel.expect_body()

    @property
    def has_body(self) -> bool:
        """Whether the request has one."""
        return self._intake is not None

    def begin(self) -> None:
        """Ask the upstream; from here on the client is answered. Where there is no body, that is
        when the request is there whole, as it may be answered at once."""
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    def take(self, data: bytes) -> None:
        """A piece of the body has come."""
        if self._intake is not None:
            self._intake.take(data)

    def end(self) -> None:
        """All of the body has come."""
        if self._intake is not None:
            self._intake.end()

    def half_closed(self) -> None:
        """The client sends nothing more. It may be waiting for its answer, or gone: with an interim
        response (RFC 9110 §15.2), which one that waits ignores, its system tells."""
        request = self._request
        if self._asking is None or self._is_answered or request.clientproto != b"HTTP/1.1":
            return
        if self._look is None:
            self._channel.transport.write(_INTERIM)
            self._look_later()

    async def _run(self) -> None:
        forwarder, route = self._forwarder, self._route
        settings = forwarder.settings
        self._outlet = outlet = Outlet(self._request, forwarder.reactor, settings.slow_time)
        forwarder.active += 1
        try:
            self._check()
            headers = self._headers()
            self._asking = asking = forwarder.agent.ask(route, self._request, headers, self._intake)
            self._moved()
            asking.addBoth(self._answered)
            why = await pass_on(self._request, outlet, asking, silence_s=settings.forward_timeout)
            if why is not None:
                forwarder.complain(route, f"cut short: {why}")
                forwarder.count("cut_short")
            else:
                forwarder.count("left" if outlet.gone else "answered")
        except Unanswered as wrong:
            if self._intake is not None:
                self._intake.stopProducing()
            self._refuse(outlet, self._wrong or Unanswered(str(wrong), 502), str(wrong))
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
            # RFC 9112 §3.2. The upstream might go by another one than what is in front.
            self._wrong = Unanswered("More than one Host", 400)
        if self._wrong is not None:
            raise self._wrong

    def _headers(self) -> Headers:
        settings = self._forwarder.settings
        headers = make_headers(self._request, settings.trusted_proxy, self._forwarder.name)
        if settings.forward_host == "upstream":
            headers.removeHeader(b"host")
        return headers

    def _refuse(self, outlet: Outlet, wrong: Unanswered, why: str) -> None:
        prefix, status = self._route.prefix, wrong.status
        text = str(wrong)
        if self._wrong is None:
            text = f"What is behind {prefix} can't be reached, or fails"
        if outlet.gone:
            self._forwarder.count("left")
            return
        has_failed = status in (502, 504, 508)
        self._forwarder.count("failed" if has_failed else "refused")
        if has_failed:
            self._forwarder.complain(self._route, why if self._wrong is None else text)
        body = write_json(self._request, {"error": text}, status)
        # The pages of these programs are on other hosts, and couldn't read it otherwise.
        self._request.setHeader(b"access-control-allow-origin", b"*")
        if status == 503:
            self._request.setHeader(b"retry-after", _RETRY_AFTER)
        if self._channel.is_body_due:
            self._request.setHeader(b"connection", b"close")
        outlet.finish(body)

    def _moved(self) -> None:
        """Something has happened: begin to wait anew."""
        if self._watch is not None and self._watch.active():
            self._watch.reset(self._forwarder.settings.forward_timeout)
        elif self._asking is not None and not self._is_answered:
            self._watch = self._forwarder.reactor.callLater(
                self._forwarder.settings.forward_timeout, self._late
            )

    def _late(self) -> None:
        intake = self._intake
        if intake is not None and not intake.has_ended and not intake.is_held:
            wrong = Unanswered("The request's body took too long to come (--forward-timeout)", 408)
        else:
            wrong = Unanswered(f"What is behind {self._route.prefix} gave no answer in time", 504)
        self._give_up(wrong)

    def _exceeded(self) -> None:
        self._give_up(self._too_large())

    def _too_large(self) -> Unanswered:
        limit = self._forwarder.settings.forward_limit
        return Unanswered(f"A body above {limit} bytes (--forward-limit)", 413)

    def _give_up(self, wrong: Unanswered) -> None:
        self._wrong = wrong
        if self._asking is not None:
            self._asking.cancel()

    def _answered(self, answer: Any) -> Any:
        self._is_answered = True
        for call in (self._watch, self._look):
            if call is not None and call.active():
                call.cancel()
        return answer

    def _look_later(self) -> None:
        self._look = self._forwarder.reactor.callLater(LOOK_S, self._look_again)

    def _look_again(self) -> None:
        if self._channel.is_reset:
            self._channel.transport.abortConnection()
        else:
            self._look_later()

    def _failed(self, failure: Any) -> None:
        self._forwarder.log.failure("forwarding a request has failed", failure)
        if self._outlet is not None:
            self._outlet.abort()


def make_headers(request: Request, trusted: TrustedProxies, name: str) -> Headers:
    """The fields of a request for an upstream: all but those of the connection, and where the
    client is. Host stays, as such programs make links of it.

    :param trusted: whose word on where a client is goes on.
    :param name: this relay's, for Via (RFC 9110 §7.6.3).
    """
    headers = Headers()
    peer = host_of(request.getClientAddress())
    left_out = _OWN_FIELDS if trusted.trusts(peer) else _OWN_FIELDS | _OF_PROXIES
    for field, lines in end_to_end(request.requestHeaders):
        lower = field.lower()
        # To programs that know fields as CGI does (RFC 3875 §4.1.18) X_Real_IP is X-Real-IP. No
        # proxy writes them so.
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
