"""The site: puts the WebSocket factories and the other resources under their paths, and the guard
before those that are the operator's.

Errors have a JSON body, ``{"error": text}``. Requests are not logged: their paths hold session ids.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from apptuner_relay.options import Settings
from apptuner_relay.protocol import DesktopSideFactory, MobileFactory, RelayFactory
from apptuner_relay.service import RelayService
from apptuner_relay.session import BadRequest, parse_path
from apptuner_relay.web.bundles import BundlesResource, Elsewhere
from apptuner_relay.web.channel import RelayChannel
from apptuner_relay.web.events import EventsResource
from apptuner_relay.web.guard import Guard, Guarded
from apptuner_relay.web.health import HealthResource, LiveResource, ReadyResource
from apptuner_relay.web.json import ErrorResource, JsonResource, write_json
from apptuner_relay.web.metrics import MetricsResource
from apptuner_relay.web.nodes import NodesResource
from apptuner_relay.web.page import PageResource, StaticResource, read_static
from apptuner_relay.web.request import Forwarder, RelayRequest
from apptuner_relay.web.sessions import SessionsResource
from apptuner_relay.web.signin import LoginResource, LogoutResource
from apptuner_relay.web.status import StatusResource
from apptuner_relay.web.streaming import Reactor
from apptuner_relay.web.upgrade import upgrade

WEBSOCKET_VERSION = b"13"


class RoleResource(Resource):
    """A path that WebSocket clients connect to, such as ``/cli/{session}``."""

    isLeaf = True

    def __init__(self, factory: RelayFactory) -> None:
        super().__init__()
        self._factory = factory
        self._meters = factory.relay.meters

    def render(self, request: Request) -> bytes | int:
        if request.method != b"GET" or not _asks_for_websocket(request):
            return self._not_a_handshake(request)
        if request.getHeader(b"sec-websocket-version") != WEBSOCKET_VERSION:
            self._meters.refused(426)
            request.setHeader(b"sec-websocket-version", WEBSOCKET_VERSION)
            return write_json(request, {"error": "Only WebSocket version 13 is spoken here"}, 426)
        return upgrade(request, self._factory)

    @staticmethod
    def _not_a_handshake(request: Request) -> bytes:
        try:
            parse_path(request.path.decode("ascii", "replace"))
        except BadRequest as wrong:
            return write_json(request, {"error": str(wrong)}, wrong.status)
        request.setHeader(b"upgrade", b"websocket")
        return write_json(request, {"error": "This path takes WebSocket connections only"}, 426)


def _asks_for_websocket(request: Request) -> bool:
    """Upgrade is a list (RFC 9110 §7.8)."""
    fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"upgrade", ())
    return b"websocket" in [name.strip().lower() for name in b",".join(fields).split(b",")]


class RelaySite(Site):
    """A Site that doesn't log requests, takes bodies for other programs only, and knows on which
    connections nothing has been asked yet."""

    displayTracebacks = False
    requestFactory = RelayRequest
    protocol = RelayChannel  # type: ignore[assignment]
    header_limit = Settings.header_limit
    forwarder: Forwarder | None = None
    """Takes the requests for other programs."""
    keep_alive_s = Settings.http_keep_alive

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.silent: set[object] = set()
        """Those connections' channels."""

    def acceptableProtocols(self) -> list[bytes]:
        """See `IProtocolNegotiationFactory`: HTTP/1.1 alone, over whichever kind of TLS. Where the
        package h2 is installed, twisted.web would offer HTTP/2 too, which WebSockets can't use."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See `IProtocolFactory`."""
        channel: Any = super().buildProtocol(addr)
        channel.set_up(self.header_limit, self.keep_alive_s)
        end = channel.connectionLost

        def request(*arguments: Any) -> RelayRequest:
            no_longer_silent()
            return self.requestFactory(*arguments)

        def lost(reason: Failure) -> None:
            no_longer_silent()
            end(reason)

        def no_longer_silent() -> None:
            self.silent.discard(channel)
            # What refers to the channel goes, so that it needs no garbage collector to go.
            channel.requestFactory = self.requestFactory
            if channel.connectionLost is lost:
                del channel.connectionLost

        self.silent.add(channel)
        channel.requestFactory = request
        channel.connectionLost = lost
        return channel

    def log(self, request: HTTPRequest) -> None:
        """Nothing: paths hold session ids, which are credentials."""


def make_site(
    relay: RelayService,
    reactor: Reactor | None = None,
    peers: RelayFactory | None = None,
    elsewhere: Elsewhere | None = None,
) -> RelaySite:
    """The one Site that all of the relay's endpoints serve. ``reactor`` has the threads in which
    kept bundles are read; without, they are not served. ``peers`` takes other relays, and
    ``elsewhere`` has the bundles that they keep."""
    settings = relay.settings
    guard = Guard(settings.admin_token, relay.clock.seconds, relay.wall_s, settings.trusted_proxy)
    static = read_static()
    root = JsonResource()
    root.putChild(b"", PageResource(guard, static))
    root.putChild(b"static", StaticResource(static))
    root.putChild(b"api", Guarded(guard, make_api(relay, guard)))
    root.putChild(b"health", HealthResource(relay))
    root.putChild(b"ready", ReadyResource(relay))
    root.putChild(b"live", LiveResource(relay))
    metrics = MetricsResource(relay)
    guarded = relay.settings.metrics == "guarded"
    root.putChild(b"metrics", Guarded(guard, metrics) if guarded else metrics)
    desktop_side = RoleResource(DesktopSideFactory(relay))
    for role in DesktopSideFactory.roles:
        root.putChild(role.value.encode(), desktop_side)
    root.putChild(b"mobile", RoleResource(MobileFactory(relay)))
    if peers is not None:
        root.putChild(b"peer", RoleResource(peers))
    bundles = None
    forwarder = make_forwarder(relay, reactor)
    relay.count_downloads = lambda: sum(part.active for part in (bundles, forwarder) if part)
    if reactor is not None and (relay.store is not None or elsewhere is not None):
        bundles = BundlesResource(
            relay.store,
            reactor,
            relay.settings.slow_time,
            elsewhere,
            relay.access,
            relay.settings.trusted_proxy,
            lambda: relay.descriptors.are_short,
        )
        root.putChild(b"bundles", bundles)
    site = RelaySite(root, timeout=relay.settings.handshake_timeout, reactor=relay.clock)
    relay.count_silent = lambda: len(site.silent)
    site.header_limit = relay.settings.header_limit
    site.forwarder = forwarder
    site.keep_alive_s = relay.settings.http_keep_alive
    return site


def make_forwarder(relay: RelayService, reactor: Any) -> Forwarder | None:
    """What takes the requests for other programs, if there are any."""
    if reactor is None or not relay.settings.forward:
        return None
    # It brings a good deal of code, which most relays needn't hold.
    from apptuner_relay.web import upstream

    return upstream.Forwarder(
        relay.settings, reactor, relay.meters.forward, lambda: relay.descriptors.are_short
    )


def make_api(relay: RelayService, guard: Guard) -> Resource:
    """What is below ``/api/``, all of it the operator's."""
    api = ErrorResource(404, "Not found")
    api.isLeaf = False
    api.putChild(b"status", StatusResource(relay))
    api.putChild(b"events", EventsResource(relay.meters.status, relay.clock))
    api.putChild(b"sessions", SessionsResource(relay))
    api.putChild(b"nodes", NodesResource(relay.meters))
    api.putChild(b"login", LoginResource(guard))
    api.putChild(b"logout", LogoutResource(guard))
    return api
