"""The WebSocket connections that clients open, and a factory for each side of a session: how a
client's handshake is admitted or refused. What passes afterwards is in `websocket`.
"""

from collections.abc import Sequence

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.access.caller import read_caller
from apptuner_relay.edge.autobahn_options import COMMON_OPTIONS
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.edge.deflate_offers import accept
from apptuner_relay.edge.opening_protocol import OpeningProtocol
from apptuner_relay.edge.websocket import FramedConnection
from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest, Role, parse_path
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.support.private_names.of_autobahn import with_options
from apptuner_relay.wire.offers import choose_subprotocol

_log = Logger()

HandshakeAnswer = tuple[str, dict[str, str]] | None
"""The subprotocol of a handshake's answer, and headers."""

_MOST_EARLY_BYTES = 64 * 1024
"""Where the relay stops to read from a client that has yet to get the handshake's answer."""


class RelayProtocol(FramedConnection, OpeningProtocol):  # type: ignore[misc]
    """One client's connection."""

    factory: "RelayFactory"
    _place: Place | None = None
    """Where the client will enter, from its admission to the end of the handshake."""
    _is_placing = False
    """Whether the client's place is being looked for."""

    @property
    def relay(self) -> RelayService:
        """See `FramedConnection` and `OpeningProtocol`."""
        return self.factory.relay

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self.has_compression

    # What Autobahn calls

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[HandshakeAnswer]:
        """See Autobahn: find the client's place, or refuse its handshake."""
        address = self.client_address
        try:
            self.relay.access.count_connection(address)
            role, session_id = parse_path(request.path)
            if role not in self.factory.roles:
                raise BadRequest(404, "Not found")
            _, _, query = self.request_target.partition("?")
            headers = request.headers
            agent = headers.get("user-agent")
            admission = self.relay.admit(
                role, session_id, query, self._will_deflate(request), address, agent
            )
            caller = read_caller(address, self.origin, headers.get("authorization"), query)
        except BadRequest as refusal:
            raise self.denied(refusal) from None
        spoken = self.relay.settings.listening.subprotocol
        subprotocol = choose_subprotocol(request.protocols, spoken)
        answer = None if subprotocol is None else (subprotocol, dict[str, str]())
        return self._wait_for(self.factory.admission_control.find(admission, caller), answer)

    def request_received(self, data: bytes) -> bytes | None:
        """See `ServerHandshakeProtocol`."""
        if self._is_placing:
            # Nothing is due from a client that waits for its answer, and little is kept.
            if len(data) > _MOST_EARLY_BYTES:
                self.transport.pauseProducing()
            return None
        return super().request_received(data)

    def opened(self) -> ConnectedClient:
        """See `FramedConnection`."""
        # Until now the HTTP channel that has read the request was the transport's producer.
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        place, self._place = self._place, None
        assert place is not None
        client = place.enter(self)
        self._log_opened(client)
        return client

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        place, self._place = self._place, None
        if place is not None:
            place.abandon()
        super().onClose(wasClean, code, reason)

    # What the connection calls

    def leaving(self, handler: ConnectedClient, why: str) -> None:  # type: ignore[override]
        """See `FramedConnection`."""
        self.relay.registry.leave(handler, why)

    def ended(self, handler: ConnectedClient, why: str, code: int) -> None:  # type: ignore[override]
        """See `FramedConnection`."""
        self.relay.registry.closed(handler, why, code)

    def _log_opened(self, client: ConnectedClient) -> None:
        admission = client.admission
        _log.debug(
            "session {session}: {role} from {address}: deflate {deflates}, subprotocol "
            "{subprotocol}, here {is_here}, patches {patches}, origin {origin}",
            session=admission.session_hash[:8],
            role=admission.role.value,
            address=admission.address or UNKNOWN,
            deflates=self.deflates,
            subprotocol=self.websocket_protocol_in_use,
            is_here=client.through is None and isinstance(client, Member),
            patches=admission.patches,
            origin=None if self.origin is None else printable_line(self.origin, 100),
        )

    def _will_deflate(self, request: ConnectionRequest) -> bool:
        """Whether Autobahn is going to negotiate permessage-deflate."""
        # `read_opening` has removed the offers that can't be accepted.
        offers = [PerMessageDeflateOffer.parse(parameters) for _, parameters in request.extensions]
        return bool(offers) and self.accept_compression(offers) is not None

    def _wait_for(
        self, finding: Deferred[Place], answer: HandshakeAnswer = None
    ) -> Deferred[HandshakeAnswer]:
        """What Autobahn waits for: ``answer``, once the place is found. It never fires for a client
        that disconnects meanwhile."""
        self._is_placing = True
        waiting: Deferred[HandshakeAnswer] = Deferred()

        def found(place: Place) -> None:
            self._is_placing = False
            if self.closing.state is not ClosingState.CONNECTING:
                place.abandon()
                return
            try:
                place.check()
            except BadRequest as refusal:
                place.abandon()
                waiting.errback(Failure(self.denied(refusal)))
                return
            self._place = place
            waiting.callback(answer)

        def failed(failure: Failure) -> None:
            self._is_placing = False
            if isinstance(failure.value, BadRequest):
                denial = self.denied(failure.value)
            else:
                _log.failure("looking for a client's place has failed", failure)
                denial = ConnectionDeny(500, "The relay has failed at this")
            if self.closing.state is ClosingState.CONNECTING:
                waiting.errback(Failure(denial))

        finding.addCallbacks(found, failed)
        return waiting


def _decline(offers: Sequence[object]) -> None:
    """Accept no compression, whatever is offered."""


class RelayFactory(WebSocketServerFactory):
    """Makes the connections of clients; those of other roles than its own get a 404."""

    roles: frozenset[Role]

    def __init__(self, relay: RelayService) -> None:
        super().__init__(server=f"AppTunerRelay/{__version__}", reactor=relay.clock)
        self.relay = relay
        self.admission_control = AdmissionControl(relay)
        self.set_up(RelayProtocol)

    def set_up(self, protocol: type[RelayProtocol]) -> None:
        """Have the factory make connections of this class."""
        relay = self.relay
        self.setProtocolOptions(
            **COMMON_OPTIONS,
            versions=[13],
            webStatus=False,
            perMessageCompressionAccept=accept
            if relay.settings.listening.compression
            else _decline,
        )
        self.protocol = with_options(protocol, self)


class DesktopSideFactory(RelayFactory):
    """Takes CLIs, dashboards and desktops."""

    roles = frozenset({Role.CLI, Role.DASHBOARD, Role.DESKTOP})


class MobileFactory(RelayFactory):
    """Takes phones."""

    roles = frozenset({Role.MOBILE})
