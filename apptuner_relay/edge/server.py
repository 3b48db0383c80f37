"""The WebSocket connections of clients whose handshake Autobahn reads, and their factory. It is
imported when there is such a client: `web.site`.
"""

from collections.abc import Sequence

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.edge.autobahn_options import COMMON_OPTIONS
from apptuner_relay.edge.client_connection import MOST_EARLY_BYTES, ClientConnection
from apptuner_relay.edge.client_side import ClientSide
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.edge.deflate_offers import accept
from apptuner_relay.edge.opening_protocol import OpeningProtocol
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.private_names.of_autobahn import HandshakeProtocol, with_options
from apptuner_relay.wire.offers import choose_subprotocol

_log = Logger()

HandshakeAnswer = tuple[str, dict[str, str]] | None
"""The subprotocol of a handshake's answer, and headers."""


class RelayProtocol(ClientConnection, HandshakeProtocol, OpeningProtocol):  # type: ignore[misc]
    """One client's connection, whose handshake Autobahn has read."""

    factory: "RelayFactory"
    _is_placing = False
    """Whether the client's place is being looked for."""

    @property
    def relay(self) -> RelayService:  # type: ignore[override]
        """See `FramedConnection`."""
        return self.factory.relay

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return self.has_compression

    @property
    def spoken(self) -> str | None:
        """See `ClientConnection`."""
        return self.websocket_protocol_in_use

    # What Autobahn calls

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[HandshakeAnswer]:
        """See Autobahn: find the client's place, or refuse its handshake."""
        try:
            admission, caller = self.admit(request.path, self._will_deflate(request))
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
            if len(data) > MOST_EARLY_BYTES:
                self.transport.pauseProducing()
            return None
        return super().request_received(data)

    def onOpen(self) -> None:
        """See Autobahn."""
        super().onOpen()
        self.forget_handshake()

    def opened(self) -> ConnectedClient:
        """See `FramedConnection`."""
        # Until now the HTTP channel that has read the request was the transport's producer.
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        return super().opened()

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
            self.place = place
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
    """Makes the connections of one side's clients."""

    def __init__(self, side: ClientSide) -> None:
        super().__init__(server=side.server, reactor=side.relay.clock)
        self.relay = side.relay
        self.roles = side.roles
        self.deflates = side.deflates
        self.admission_control = side.admission_control
        self.set_up(RelayProtocol)

    def set_up(self, protocol: type[RelayProtocol]) -> None:
        """Have the factory make connections of this class."""
        self.setProtocolOptions(
            **COMMON_OPTIONS,
            versions=[13],
            webStatus=False,
            perMessageCompressionAccept=accept if self.deflates else _decline,
        )
        self.protocol = with_options(protocol, self)
