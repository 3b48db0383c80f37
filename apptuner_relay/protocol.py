"""What clients open: Autobahn's server protocol around a `connection.FramedConnection`, and one
factory for each side.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.access.caller import read_caller
from apptuner_relay.connection import COMMON_OPTIONS, FramedConnection
from apptuner_relay.entrance import Entrance
from apptuner_relay.forwarded import FIELD, host_of
from apptuner_relay.service import Attendee, Place, RelayService
from apptuner_relay.session import BadRequest, Role, parse_path
from apptuner_relay.wire.deflate import accept
from apptuner_relay.wire.handshake import END, read_opening
from apptuner_relay.wire.messages import http_refusal
from apptuner_relay.wire.offers import choose_subprotocol

_log = Logger()

Answer = tuple[str, dict[str, str]] | None
"""The subprotocol of a handshake's answer, and headers."""

_MOST_EARLY_BYTES = 64 * 1024
"""What a client sends before it has the handshake's answer is kept, up to about so much."""
_RETRY_AFTER_S = 5
"""What a client is told that comes while this relay can't take it."""


class RelayProtocol(FramedConnection, WebSocketServerProtocol):  # type: ignore[misc]
    """One client's connection."""

    factory: "RelayFactory"
    perMessageCompressionAccept: Callable[[Sequence[object]], object | None]
    _place: Place | None = None
    """Where the client comes in, until it has."""
    _refusal: BadRequest | None = None
    """Why the client is refused."""
    _origin: str | None = None
    """Which page the client is; see `read_caller`."""
    _is_looking = False
    """Whether its place is being looked for."""

    @property
    def relay(self) -> RelayService:
        """See `FramedConnection`."""
        return self.factory.relay

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self._perMessageCompress is not None

    @property
    def client_address(self) -> str | None:
        """Where the client is; see `TrustedProxies.client`."""
        trusted = self.relay.settings.trusted_proxy
        # Autobahn puts fields of one name together, with commas.
        fields = [self.http_headers[FIELD]] if FIELD in self.http_headers else []
        return trusted.client(host_of(self.transport.getPeer()), fields)

    # What Autobahn calls

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[Answer]:
        """Admit the client and find its place, or refuse its handshake."""
        address = self.client_address
        try:
            self.relay.access.knock(address)
            role, session_id = parse_path(request.path)
            if role not in self.factory.roles:
                raise BadRequest(404, "Not found")
            _, _, query = self.http_request_uri.partition("?")
            admission = self.relay.admit(
                role, session_id, query, self._will_deflate(request), address
            )
            headers = request.headers
            caller = read_caller(address, self._origin, headers.get("authorization"), query)
        except BadRequest as refusal:
            raise self._denied(refusal) from None
        spoken = self.relay.settings.subprotocol
        subprotocol = choose_subprotocol(request.protocols, spoken)
        answer = None if subprotocol is None else (subprotocol, dict[str, str]())
        return self._wait_for(self.factory.entrance.find(admission, caller), answer)

    def processHandshake(self) -> None:
        """See Autobahn."""
        if self._is_looking:
            # Nothing is due from a client that waits for its answer, and little is kept.
            if len(self.data) > _MOST_EARLY_BYTES:
                self.transport.pauseProducing()
            return
        head, end, rest = self.data.partition(END)
        if end:
            opening = read_opening(head + end)
            self._origin = opening.origin
            self.data = opening.head + rest
        super().processHandshake()

    def opened(self) -> Attendee:
        """See `FramedConnection`."""
        # Until now the HTTP channel that the request came through was the transport's producer.
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        place, self._place = self._place, None
        assert place is not None
        return place.enter(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has gone."""
        place, self._place = self._place, None
        if place is not None:
            place.abandon()
        super().onClose(wasClean, code, reason)

    def failHandshake(
        self,
        reason: str,
        code: int = 400,
        responseHeaders: list[tuple[str, str]] | None = None,
    ) -> None:
        """Refuse the handshake, without the two lines that Autobahn logs each time: who is refused
        could fill the disk with them."""
        self.wasClean = True
        self.sendHttpErrorResponse(code, reason, responseHeaders)
        self.dropConnection(abort=False)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the handshake with a JSON body."""
        self.relay.refused(code, self.client_address)
        headers = [*(responseHeaders or ()), *(self._refusal.headers if self._refusal else ())]
        if code == HTTPStatus.SERVICE_UNAVAILABLE and not any(
            name == "Retry-After" for name, _ in headers
        ):
            headers.append(("Retry-After", str(_RETRY_AFTER_S)))
        self.sendData(http_refusal(code, reason, headers))

    # What the connection calls

    def parted(self, end: Attendee, why: str) -> None:  # type: ignore[override]
        """See `FramedConnection`."""
        self.relay.leave(end, why)

    def gone(self, end: Attendee, why: str, code: int) -> None:  # type: ignore[override]
        """See `FramedConnection`."""
        self.relay.closed(end, why, code)

    def _will_deflate(self, request: ConnectionRequest) -> bool:
        """Whether Autobahn is going to negotiate permessage-deflate."""
        # `read_opening` has left what can be taken.
        offers = [PerMessageDeflateOffer.parse(parameters) for _, parameters in request.extensions]
        return bool(offers) and self.perMessageCompressionAccept(offers) is not None

    def _wait_for(self, finding: Deferred[Place], answer: Answer = None) -> Deferred[Answer]:
        """What Autobahn waits for, and has ``answer`` then. Should the client go meanwhile, that
        never comes."""
        self._is_looking = True
        waiting: Deferred[Answer] = Deferred()

        def found(place: Place) -> None:
            self._is_looking = False
            if self.state != self.STATE_CONNECTING:
                place.abandon()
                return
            try:
                place.check()
            except BadRequest as refusal:
                place.abandon()
                waiting.errback(Failure(self._denied(refusal)))
                return
            self._place = place
            waiting.callback(answer)

        def failed(failure: Failure) -> None:
            self._is_looking = False
            if isinstance(failure.value, BadRequest):
                denial = self._denied(failure.value)
            else:
                _log.failure("looking for a client's place has failed", failure)
                denial = ConnectionDeny(500, "The relay has failed at this")
            if self.state == self.STATE_CONNECTING:
                waiting.errback(Failure(denial))

        finding.addCallbacks(found, failed)
        return waiting

    def _denied(self, refusal: BadRequest) -> ConnectionDeny:
        """What tells Autobahn to refuse the client."""
        self._refusal = refusal
        return ConnectionDeny(refusal.status, str(refusal))


def _decline(offers: Sequence[object]) -> None:
    """No compression, whatever is offered."""


def _with_options(
    protocol: type[RelayProtocol], factory: WebSocketServerFactory
) -> type[RelayProtocol]:
    """A subclass of ``protocol`` that has the factory's options as class attributes.

    Autobahn copies them to every connection and pretty-prints them for its debug log: half of
    what it costs to take a connection, and a sixth of what one weighs.
    """
    options = {name: getattr(factory, name) for name in protocol.CONFIG_ATTRS}
    functions = {name: staticmethod(value) for name, value in options.items() if callable(value)}
    return type(protocol.__name__, (protocol,), {**options, **functions, "CONFIG_ATTRS": ()})


class RelayFactory(WebSocketServerFactory):
    """What both factories share: the service, and which roles they take."""

    roles: frozenset[Role]

    def __init__(self, relay: RelayService) -> None:
        super().__init__(server=f"AppTunerRelay/{__version__}", reactor=relay.clock)
        self.relay = relay
        self.entrance = Entrance(relay)
        self.set_up(RelayProtocol)

    def set_up(self, protocol: type[RelayProtocol]) -> None:
        """Have the factory make ``protocol``."""
        relay = self.relay
        self.setProtocolOptions(
            **COMMON_OPTIONS,
            versions=[13],
            webStatus=False,
            perMessageCompressionAccept=accept if relay.settings.compression else _decline,
        )
        self.protocol = _with_options(protocol, self)


class DesktopSideFactory(RelayFactory):
    """Takes CLIs, dashboards and desktops."""

    roles = frozenset({Role.CLI, Role.DASHBOARD, Role.DESKTOP})


class MobileFactory(RelayFactory):
    """Takes phones."""

    roles = frozenset({Role.MOBILE})
