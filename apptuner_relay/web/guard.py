"""Who may see the operator's pages: holders of the admin token; without a token, this machine.

With ``--admin-token``, a request needs ``Authorization: Bearer TOKEN`` (RFC 6750) or the cookie
that signing in sets. Without a token, it must come from a loopback address, directly: a request
from a proxy may be anybody's, and so may one through a UNIX socket, at whose other end there is
nearly always a proxy. A proxy on this machine that adds no header of its own can't be told from a
local client: with one in front of the relay, set a token.

A browser sends the cookie, or a request from this machine, for any site that tells it to. So such a
request must come from the relay's own page as well, and must be for a host name that the DNS of
another site can't have.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from enum import Enum
from ipaddress import ip_address

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer

from apptuner_relay.config.authority import Authority, read_authority
from apptuner_relay.config.origins import DEFAULT_PORTS
from apptuner_relay.operator.audit import DONE, Actor, Audit
from apptuner_relay.support.client_address import FIELD, TrustedProxies, host_of
from apptuner_relay.support.clocks import WallClock
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.web.cookies import cookie_name, is_good
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import write_json

_BEARER = re.compile(r"bearer +(\S+)\s*", re.IGNORECASE)
_PROXY_HEADERS = (
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)
_SAFE_METHODS = (b"GET", b"HEAD")


def _challenge(error: str | None = None) -> str:
    # RFC 6750 §3: no error code where no token was sent.
    return 'Bearer realm="AppTuner Relay"' + (f', error="{error}"' if error else "")


_WRONG_TOKEN = _challenge("invalid_token")


class Credential(Enum):
    """The credential with which a request was let in."""

    TOKEN = "token"
    COOKIE = "cookie"
    LOOPBACK = "loopback"


class Denied(Exception):
    """A request that is not let in: an HTTP status, text for people, and a challenge (RFC 9110
    §11.6.1) with a 401."""

    def __init__(self, status: int, text: str, challenge: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.challenge = challenge

    def write(self, request: Request) -> bytes:
        """The answer, in JSON."""
        self.set_headers(request)
        return write_json(request, {"error": str(self)}, self.status)

    def set_headers(self, request: Request) -> None:
        if self.challenge is not None:
            request.setHeader(b"www-authenticate", self.challenge.encode())


class Guard:
    """Decides on requests.

    :param token: gives the admin token as it is now, or None.
    :param seconds: the monotonic clock.
    :param wall_s: the time of day, which cookies go by.
    :param trusted: the proxies whose X-Forwarded-For is believed.
    """

    def __init__(
        self,
        token: Callable[[], str | None],
        seconds: Callable[[], float],
        wall_s: WallClock,
        trusted: TrustedProxies,
    ) -> None:
        self._token = token
        self.wall_s = wall_s
        self._trusted = trusted
        self._failures = LogThrottle(seconds)
        self._denials = LogThrottle(seconds)
        self._audit = Audit()

    @property
    def token(self) -> str | None:
        """The admin token."""
        return self._token()

    def authenticate(self, request: Request) -> Credential:
        """Let in a request for a page, which may follow a link on another site.

        :raises Denied: 401 where a token would help, else 403.
        """
        if self.token is None:
            self._check_loopback(request)
            return Credential.LOOPBACK
        authorization = header(request, "authorization")
        if authorization is not None:
            self._check_bearer(self.token, authorization, request)
            return Credential.TOKEN
        cookie = request.getCookie(cookie_name(self.token))
        if cookie is not None and is_good(self.token, cookie, self.wall_s()):
            return Credential.COOKIE
        raise Denied(401, "This needs the relay's admin token", _challenge())

    def authorize(self, request: Request) -> Credential:
        """Let in a request for anything else: one that a browser sends for another site is denied.

        :raises Denied: as `authenticate`, and 403.
        """
        credential = self.authenticate(request)
        if credential is not Credential.TOKEN:
            _check_origin(request, credential)
        return credential

    def audit(
        self, request: Request, action: str, result: str = DONE, session: str | None = None
    ) -> None:
        """Log what a request that was let in has done; see `Audit.record`."""
        actor = Actor(client_address(request, self._trusted), self.authenticate(request).value)
        self._audit.record(actor, action, result, session)

    def _check_bearer(self, token: str, authorization: str, request: Request) -> None:
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise Denied(401, "Authorization must be: Bearer TOKEN", _challenge("invalid_request"))
        if not hmac.compare_digest(_digest(match[1]), _digest(token)):
            self._failed(request)
            raise Denied(401, "Wrong admin token", _WRONG_TOKEN)

    def denied(self, request: Request, denied: Denied) -> None:
        """Log an action that is denied, but not so often that anybody can fill the disk. A request
        that only looks is nothing to log, unless its token is wrong."""
        if request.method not in _SAFE_METHODS and denied.challenge != _WRONG_TOKEN:
            path = request.path.decode("ascii", "replace").removeprefix("/api/")
            self._log_denied(self._denials, request, path, f"denied: {denied}")

    def _failed(self, request: Request) -> None:
        self._log_denied(self._failures, request, "sign in", "wrong admin token")

    def _log_denied(
        self, throttle: LogThrottle, request: Request, action: str, result: str
    ) -> None:
        count = throttle.count()
        if count is not None:
            actor = Actor(client_address(request, self._trusted), "nothing")
            self._audit.record(actor, action, f"{result} ({count} since the last such line)")

    def _check_loopback(self, request: Request) -> None:
        address = client_address(request, self._trusted)
        is_here = address is not None and ip_address(address).is_loopback
        if not is_here or any(map(request.requestHeaders.hasHeader, _PROXY_HEADERS)):
            raise Denied(
                403,
                "Without --admin-token this is open to the relay's own machine only, and not "
                "through a proxy",
            )
        host = read_authority(header(request, "host") or "localhost")
        if not host or not _is_local_name(host[0].host):
            raise Denied(
                403,
                "Without --admin-token this is served as localhost only, such as "
                "http://127.0.0.1:3000/",
            )


@implementer(IResource)
class Guarded:
    """A resource, and all below it, for those whom the guard lets in."""

    def __init__(self, guard: Guard, resource: Resource) -> None:
        self._guard = guard
        self._resource = resource
        self.isLeaf = bool(resource.isLeaf)

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        try:
            self._guard.authorize(request)
        except Denied as denied:
            self._guard.denied(request, denied)
            return _DeniedResource(denied)
        child: IResource = self._resource.getChildWithDefault(name, request)
        return child

    def putChild(self, path: bytes, child: IResource) -> None:
        self._resource.putChild(path, child)

    def render(self, request: Request) -> bytes | int:
        try:
            self._guard.authorize(request)
        except Denied as denied:
            self._guard.denied(request, denied)
            return denied.write(request)
        result: bytes | int = self._resource.render(request)
        return result


class _DeniedResource(Resource):
    isLeaf = True

    def __init__(self, denied: Denied) -> None:
        super().__init__()
        self._denied = denied

    def render(self, request: Request) -> bytes:
        return self._denied.write(request)


def client_address(request: Request, trusted: TrustedProxies) -> str | None:
    """Where a request comes from; see `TrustedProxies.client`."""
    raw: Sequence[bytes] = request.requestHeaders.getRawHeaders(FIELD.encode(), ())
    fields = [field.decode("latin-1") for field in raw]
    return trusted.client(host_of(request.getClientAddress()), fields)


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to the relay or to a proxy in front of it."""
    return request.isSecure() or header(request, "x-forwarded-proto") == "https"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _is_local_name(host: str) -> bool:
    """Whether a Host names this machine, and can't be the name of a site in the internet: a
    loopback address, localhost, or a name without a dot."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return "." not in host or host.endswith(".localhost")


def is_of_own_page(request: Request) -> bool | None:
    """Whether a browser sends the request for a page of the relay's own; None where it says nothing
    of a page: it is typed in, or no browser's."""
    site = header(request, "sec-fetch-site")
    if site is not None:
        return None if site == "none" else site == "same-origin"
    origin = header(request, "origin")
    if origin is None:
        return None
    # A proxy may have changed Host; no page can set X-Forwarded-Host across sites.
    scheme, _, authority = origin.partition("://")
    page = _places(authority, scheme)
    names = (header(request, "host"), header(request, "x-forwarded-host"))
    return any(not page.isdisjoint(_places(name or "", scheme)) for name in names)


def _check_origin(request: Request, credential: Credential) -> None:
    """:raises Denied: 403, for a request that a page of another site has a browser send."""
    is_own = is_of_own_page(request)
    if is_own is None:
        # Every browser sends Origin with a POST; curl on this machine doesn't.
        is_typed_in = request.requestHeaders.hasHeader(b"sec-fetch-site")
        is_local = credential is Credential.LOOPBACK and not is_typed_in
        is_own = request.method in _SAFE_METHODS or is_local
    if not is_own:
        raise Denied(403, "This is for the relay's own page, not for one of another site")


def _places(authority: str, scheme: str) -> set[Authority]:
    """The host and port, with every port that an authority without one may mean."""
    default = DEFAULT_PORTS.get(scheme.lower(), "")
    return {Authority(host, port or default) for host, port in read_authority(authority)}
