"""The site: puts the WebSocket factories and the other resources under their paths, and the guard
before those that are for operators.

Errors have a JSON body, ``{"error": text}``. Requests are not logged: their paths hold session ids.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.interfaces import IAddress
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from apptuner_relay.access.claim_register import ClaimRegister, MemoryClaimRegister
from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.config.groups.listening_settings import ListeningSettings
from apptuner_relay.config.routes import origin_form
from apptuner_relay.edge.client_side import DESKTOP_SIDE, PHONES, ClientSide
from apptuner_relay.operator.log_threshold import LogThreshold
from apptuner_relay.operator.views import Views
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest, parse_path
from apptuner_relay.web.bundle_resource import BundlesResource, PeerBundles
from apptuner_relay.web.bundle_upload import Uploads
from apptuner_relay.web.channel import RelayChannel
from apptuner_relay.web.claims_resource import (
    IMPORT_PATH,
    MOST_BODY_BYTES,
    ClaimsParts,
    ClaimsResource,
)
from apptuner_relay.web.events import EventsResource
from apptuner_relay.web.front import Front, FrontDesk
from apptuner_relay.web.guard import Guard, Guarded, client_address
from apptuner_relay.web.json_body import ErrorResource, JsonResource, write_json
from apptuner_relay.web.metrics_resource import MetricsResource
from apptuner_relay.web.node_list import NodesResource
from apptuner_relay.web.page import (
    AdviceResource,
    PageResource,
    SessionPageResource,
    StaticResource,
    read_static,
)
from apptuner_relay.web.probes import HealthResource, LiveResource, ReadyResource
from apptuner_relay.web.request import RelayRequest, RequestTaker
from apptuner_relay.web.runtime import (
    RUNTIME_BODY_LIMITS,
    BlockResource,
    DrainResource,
    LogLevelResource,
)
from apptuner_relay.web.session_api import BODY_LIMITS, make_session_api
from apptuner_relay.web.session_resource import PeerSessions
from apptuner_relay.web.sessions import SessionsResource
from apptuner_relay.web.signin import LoginResource, LogoutResource
from apptuner_relay.web.status import StatusResource
from apptuner_relay.web.streaming import Reactor
from apptuner_relay.web.upgrade import WebSocketResource

if TYPE_CHECKING:
    from apptuner_relay.edge.server import RelayFactory
    from apptuner_relay.web.upstream import Forwarder

_DEFAULTS = ListeningSettings()
_NOTHING: Mapping[bytes, Any] = {}


def make_refused(relay: RelayService) -> Callable[[Request, int, str], None]:
    """What a `WebSocketResource` calls where it refuses a handshake."""

    def refused(request: Request, status: int, why: str) -> None:
        address = client_address(request, relay.settings.listening.trusted_proxy)
        relay.refused(status, address, why, request.uri.decode("ascii", "replace"))

    return refused


class RoleResource(WebSocketResource):
    """A path of clients, such as ``/cli/{session}``."""

    def __init__(self, relay: RelayService, find_factory: "Callable[[], RelayFactory]") -> None:
        super().__init__(find_factory, make_refused(relay))

    def refuse_other(self, request: Request) -> bytes:
        """See `WebSocketResource`."""
        try:
            parse_path(request.path.decode("ascii", "replace"))
        except BadRequest as wrong:
            return write_json(request, {"error": str(wrong)}, wrong.status)
        return super().refuse_other(request)


def _path_of(target: bytes) -> bytes:
    return origin_form(target).partition(b"?")[0]


class TransferCount(Protocol):
    """A part that sends answers over HTTP which are to arrive before the relay ends."""

    @property
    def active(self) -> int:
        """How many are on their way."""


class RelaySite(Site):
    """A Site that doesn't log requests, keeps no long body in memory, and knows on which
    connections no request has arrived yet.

    :param listening: has the limits of connections.
    :param request_takers: take requests with their bodies: uploads, and those for other programs.
    :param transfers: what counts the responses that are being sent.
    :param body_limits: the paths of resources of parts above, which are never forwarded, and how
        many bytes a body may have there.
    :param bundles: what serves them over HTTP.
    :param clients: take the connections of clients, by the first segments of their paths; none
        where all handshakes are to be read as any request.
    """

    displayTracebacks = False
    requestFactory = RelayRequest
    protocol = RelayChannel  # type: ignore[assignment]

    def __init__(
        self,
        resource: Resource,
        reactor: Any = None,
        listening: ListeningSettings = _DEFAULTS,
        request_takers: Sequence[RequestTaker] = (),
        transfers: Sequence[TransferCount] = (),
        body_limits: Mapping[bytes, int] = _NOTHING,
        bundles: BundlesResource | None = None,
        clients: Mapping[str, ClientSide] = MappingProxyType({}),
    ) -> None:
        super().__init__(resource, timeout=listening.handshake_timeout, reactor=reactor)
        self.request_takers = request_takers
        self._listening = listening
        self._transfers = transfers
        self._body_limits = body_limits
        self._bundles = bundles
        self._silent: set[object] = set()
        """The channels of connections on which no request has arrived yet."""
        self._desk: FrontDesk | None = None
        if clients:
            self._desk = FrontDesk(
                clients,
                self._make_channel,
                reactor,
                listening.handshake_timeout,
                listening.header_limit,
            )

    def body_limit(self, target: bytes) -> int:
        """How many bytes the body of a request for ``target`` may have, for the relay itself."""
        return self._body_limits.get(_path_of(target), 0)

    def is_added(self, target: bytes) -> bool:
        """Whether a request for ``target`` is for a resource of a part above."""
        path = _path_of(target)
        return any(path == own or path.startswith(own + b"/") for own in self._body_limits)

    def log_what_is_missing(self) -> None:
        """Log which optional library is missing, once the relay has started."""
        if self._bundles is not None:
            self._bundles.log_what_is_missing()

    def count_silent(self) -> int:
        """On how many connections no request has arrived yet."""
        return len(self._silent) + (0 if self._desk is None else len(self._desk.silent))

    def count_transfers(self) -> int:
        """How many bundles, and responses of other programs, are on their way."""
        return sum(part.active for part in self._transfers)

    def acceptableProtocols(self) -> list[bytes]:
        """See `IProtocolNegotiationFactory`: HTTP/1.1 alone. Where the package h2 is installed,
        twisted.web would offer HTTP/2 too, over which it has no WebSockets."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See `IProtocolFactory`."""
        return self._make_channel(addr) if self._desk is None else Front(self._desk, addr)

    def _make_channel(self, addr: IAddress | None) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.set_up(
            self._listening.header_limit, self._listening.http_keep_alive, self._silent.discard
        )
        self._silent.add(channel)
        return channel

    def log(self, request: HTTPRequest) -> None:
        """Nothing: paths hold session ids, which are credentials."""


class PeerParts(NamedTuple):
    """The parts of a relay that have to do with others."""

    connections: "RelayFactory"
    """Takes their connections."""
    bundles: PeerBundles | None = None
    """Gets the bundles that they have cached."""
    sessions: PeerSessions | None = None
    """Asks them about their sessions."""
    claims: ClaimRegister | None = None
    """The claims that all share."""


def make_site(
    relay: RelayService,
    reactor: Reactor | None = None,
    peers: PeerParts | None = None,
    more: Mapping[bytes, Resource] = _NOTHING,
    listening: Callable[[], Sequence[IAddress | None]] = tuple,
    threshold: LogThreshold | None = None,
) -> RelaySite:
    """The one Site that all of the relay's endpoints serve.

    :param reactor: has the threads in which cached bundles are read; None to serve none at all.
    :param peers: has to do with other relays; None where the relay is alone.
    :param more: resources of parts above, by their paths, such as ``/pusher/auth``. One that takes
        a body says so by ``body_limit``, in bytes.
    :param listening: gives the addresses at which the relay speaks plain HTTP.
    :param threshold: of the relay's log; None where that isn't its own.
    """
    settings = relay.settings
    guard = Guard(
        lambda: relay.live.now.access.admin_token,
        relay.clock.seconds,
        relay.wall_s,
        settings.listening.trusted_proxy,
    )
    static = read_static()
    root = JsonResource()
    root.putChild(b"", PageResource(guard, static))
    root.putChild(b"advice", AdviceResource(static))
    root.putChild(b"static", StaticResource(static))
    root.putChild(b"s", SessionPageResource(static))
    root.putChild(b"session", make_session_api(relay, peers and peers.sessions, listening, reactor))
    operator_api = make_api(relay, guard, peers and peers.claims, threshold)
    root.putChild(b"api", Guarded(guard, operator_api))
    root.putChild(b"health", HealthResource(relay))
    root.putChild(b"ready", ReadyResource(relay))
    root.putChild(b"live", LiveResource(relay))
    metrics = MetricsResource(relay.meters, reactor)
    guarded = relay.settings.access.metrics == "guarded"
    root.putChild(b"metrics", Guarded(guard, metrics) if guarded else metrics)
    clients: dict[str, ClientSide] = {}
    for side in (ClientSide(relay, DESKTOP_SIDE), ClientSide(relay, PHONES)):
        taker = RoleResource(relay, _factory_finder(side))
        for role in side.roles:
            root.putChild(role.value.encode(), taker)
            clients[role.value] = side
    if peers is not None:
        connections = peers.connections
        root.putChild(b"peer", RoleResource(relay, lambda: connections))
    bundles = None
    forwarder = make_forwarder(relay, reactor)
    if reactor is not None:
        bundles = BundlesResource(
            relay.store,
            reactor,
            relay.settings.slow.slow_time,
            peers and peers.bundles,
            relay.access,
            relay.settings.listening.trusted_proxy,
            lambda: relay.descriptors.are_short,
            settings.access.allowed_origin,
            downloads=relay.meters.counters.downloads,
        )
        root.putChild(b"bundles", bundles)
    uploads = Uploads(relay)
    transfers = [part for part in (bundles, forwarder, uploads) if part is not None]
    limits = BODY_LIMITS | RUNTIME_BODY_LIMITS | {IMPORT_PATH: MOST_BODY_BYTES}
    limits |= {path: getattr(resource, "body_limit", 0) for path, resource in more.items()}
    for path, resource in more.items():
        _put(root, path, resource)
    takers = [part for part in (forwarder, uploads) if part is not None]
    return RelaySite(
        root, relay.clock, settings.listening, takers, transfers, limits, bundles, clients
    )


def _factory_finder(side: ClientSide) -> "Callable[[], RelayFactory]":
    @cache
    def find() -> "RelayFactory":
        # Usual handshakes go without Autobahn (`front`). The first other one loads it: 3 MiB, and
        # 14 ms once.
        from apptuner_relay.edge.server import RelayFactory

        return RelayFactory(side)

    return find


def _put(root: Resource, path: bytes, resource: Resource) -> None:
    """Put a resource at a path, whose directories are made where there are none."""
    *directories, name = path.removeprefix(b"/").split(b"/")
    for directory in directories:
        below: Resource | None = root.children.get(directory)
        if below is None:
            below = ErrorResource(404, "Not found")
            below.isLeaf = False
            root.putChild(directory, below)
        root = below
    root.putChild(name, resource)


def make_forwarder(relay: RelayService, reactor: Any) -> "Forwarder | None":
    """What takes the requests for other programs; None where no path is forwarded."""
    if reactor is None or not relay.settings.forwarding.forward:
        return None
    # It imports much code, which most relays needn't hold in memory.
    from apptuner_relay.web import upstream

    return upstream.Forwarder(
        relay.settings.forwarding,
        relay.settings.slow.slow_time,
        relay.settings.listening.trusted_proxy,
        reactor,
        relay.meters.counters.count_forwarded,
        lambda: relay.descriptors.are_short,
    )


def make_api(
    relay: RelayService,
    guard: Guard,
    shared_claims: ClaimRegister | None = None,
    threshold: LogThreshold | None = None,
) -> Resource:
    """The resources below ``/api/``, all of them for operators.

    :param shared_claims: those of all relays, where they share them.
    :param threshold: see `make_site`.
    """
    register, claims = shared_claims, relay.access.claims
    if register is None and isinstance(claims, MemoryClaims):
        register = MemoryClaimRegister(claims, relay.clock.seconds, relay.access.forget)
    views = Views(relay.meters)
    api = ErrorResource(404, "Not found")
    api.isLeaf = False
    api.putChild(b"status", StatusResource(views))
    api.putChild(b"events", EventsResource(views.status, relay.clock))
    api.putChild(b"sessions", SessionsResource(relay, views, guard))
    api.putChild(b"claims", ClaimsResource(ClaimsParts(relay, register, guard)))
    api.putChild(b"nodes", NodesResource(relay.meters, views))
    api.putChild(b"drain", DrainResource(relay, guard))
    api.putChild(b"block", BlockResource(relay, guard))
    api.putChild(b"log-level", LogLevelResource(relay, guard, threshold))
    api.putChild(b"login", LoginResource(guard))
    api.putChild(b"logout", LogoutResource(guard))
    return api
