"""The server's end of links: ``/peer/{role}/{session hash}`` is a WebSocket that another relay
opens for one of its clients, whose session is here. To the session it stands for that client.

A handshake without a good pass (`peer_auth`) is refused on every endpoint.
"""

import json
from collections.abc import Callable
from typing import cast

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.handover_messages import PATH
from apptuner_relay.cluster.bridge.hosts import NotHere, PeerHost
from apptuner_relay.cluster.bridge.link import (
    HALT,
    NOT_HERE,
    PROBE,
    RESUME,
    ROUND_TRIP,
    SUBPROTOCOL,
)
from apptuner_relay.cluster.bridge.peer_auth import (
    FEATURES,
    FEATURES_HEADER,
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    BadPass,
    prove,
)
from apptuner_relay.cluster.bridge.takeover import NO_CLIENT_PLACE, Takeover, check_room
from apptuner_relay.cluster.ownership.directory import check_session
from apptuner_relay.edge.client_side import ClientSide
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.edge.pinged import NO_ANSWER
from apptuner_relay.edge.server import HandshakeAnswer, RelayFactory, RelayProtocol
from apptuner_relay.relay.frame_handler import FrameHandler
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.http_fields import HttpFields
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.support.round_trip import RoundTrip
from apptuner_relay.wire.frames import PING, PONG, frame

_log = Logger()

_LONGEST_ROUND_TRIP_S = 3600.0


class PeerProtocol(RelayProtocol):
    """An inbound connection: another relay has opened it, for a client or for a handover."""

    factory: "PeerFactory"
    is_halted = False
    """Whether the other relay has stopped sending, and everything that it had sent has arrived."""
    _deflates = False
    _present_s = 0.0
    """When the client was last known to live."""
    _probed_s: float | None = None
    """Since when a `PROBE` has not been answered. None where none is on its way."""
    _told: RoundTrip | None = None
    _taking_over: str | None = None
    """The session that the other relay hands over. None where the connection is a client's."""

    @property
    def deflates(self) -> bool:
        """Whether the client has negotiated permessage-deflate. The relays don't: frames pass as
        they are."""
        return self._deflates

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[HandshakeAnswer]:
        """Accept the handshake for a client of the other relay, or refuse it."""
        host = self.factory.peer_host
        if request.path.startswith(PATH):
            return self._take_over(request)
        try:
            shown = host.verifier.read(
                request.headers.get(PASS_HEADER.lower(), ""), self.relay.wall_s()
            )
        except BadPass as wrong:
            self.factory.log_refusal(self.client_address, str(wrong))
            raise ConnectionDeny(401, f"The pass is not good: {wrong}") from None
        admission = shown.admission
        if request.path != f"/peer/{admission.role.value}/{admission.session_hash}":
            raise ConnectionDeny(400, "The pass is for another path")
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(400, f"Relays speak {SUBPROTOCOL} to each other")
        self._deflates = admission.deflates
        finding = host.receive(admission)
        finding.addErrback(_refuse_not_here)
        return self._wait_for(
            finding,
            (
                SUBPROTOCOL,
                {
                    PROOF_HEADER: prove(host.secret, shown.nonce),
                    FEATURES_HEADER: ", ".join(sorted(self.factory.features)),
                },
            ),
        )

    def _take_over(self, request: ConnectionRequest) -> Deferred[HandshakeAnswer]:
        """Accept the handshake for a handover, or refuse it."""
        host = self.factory.peer_host
        try:
            shown = request.headers.get(PASS_HEADER.lower(), "")
            nonce = host.verifier.read_request_pass(shown, request.path, self.relay.wall_s())
        except BadPass as wrong:
            self.factory.log_refusal(self.client_address, str(wrong))
            raise ConnectionDeny(401, f"The pass is not good: {wrong}") from None
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(400, f"Relays speak {SUBPROTOCOL} to each other")
        try:
            session = check_session(request.path.removeprefix(PATH))
            check_room(host)
        except BadRequest as refusal:
            raise self.denied(refusal) from None
        except ValueError as wrong:
            raise ConnectionDeny(400, str(wrong)) from None
        # Bundles pass as they are stored, compressed or not.
        self._deflates = True
        proof = {PROOF_HEADER: prove(host.secret, nonce)}
        self._taking_over = session
        return self._wait_for(succeed(NO_CLIENT_PLACE), (SUBPROTOCOL, proof))

    def opened(self) -> FrameHandler:  # type: ignore[override]
        """See `FramedConnection`."""
        self._present_s = self.relay.clock.seconds()
        if self._taking_over is None:
            return super().opened()
        self.transport.unregisterProducer()
        self.place = None
        return Takeover(self.factory.peer_host, self._taking_over, self)

    def leaving(self, handler: FrameHandler, why: str) -> None:
        """See `FramedConnection`."""
        if isinstance(handler, Takeover):
            handler.lost()
        else:
            super().leaving(cast(ConnectedClient, handler), why)

    def ended(self, handler: FrameHandler, why: str, code: int) -> None:
        """See `FramedConnection`."""
        if isinstance(handler, Takeover):
            handler.lost()
        else:
            super().ended(cast(ConnectedClient, handler), why, code)

    def refusal(self, status: int, reason: str, fields: HttpFields) -> bytes:
        """Refuse the handshake. A header repeats the reason, as the other relay doesn't read the
        body."""
        return super().refusal(status, reason, [*fields, (REASON_HEADER, json.dumps(reason))])

    def last_heard_s(self) -> float:
        """See `frame_handler.Connection`. Pongs don't count, as they come from the other relay."""
        if super().last_heard_s() > self.heard_s:
            return self.relay.clock.seconds()
        return self._present_s

    @property
    def round_trip(self) -> RoundTrip | None:
        """See `frame_handler.Connection`. The other relay tells it of its client."""
        return self._told

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `frame_handler.Connection`. The other relay pings its client, and drops it when it
        doesn't answer."""
        if self.frame_handler is None or self.closing.state is not ClosingState.OPEN:
            return None
        if self._probed_s is None:
            self._probed_s = self.relay.clock.seconds()
            self.frame_handler.sink.control(frame(PING, PROBE), None)
        return self._probed_s

    def fell_silent(self) -> None:
        """See `FramedConnection`. A Close would close the client. Without one, its relay finds it
        another place."""
        self.closing.reason = NO_ANSWER
        self.drop()

    def ask_to_halt(self) -> None:
        """Have the other relay send nothing more: the session is about to move."""
        self._ask(HALT)

    def ask_to_resume(self) -> None:
        """Have it go on sending, as the rest of a bundle is missing."""
        self.is_halted = False
        self._ask(RESUME)

    def _ask(self, what: bytes) -> None:
        if self.frame_handler is not None:
            self.frame_handler.sink.control(frame(PING, what), None)

    def control_received(self, handler: FrameHandler, opcode: int, payload: bytes) -> None:
        if opcode == PONG and payload == HALT:
            self.is_halted = True
        elif opcode == PONG and payload == PROBE:
            self._present_s, self._probed_s = self.relay.clock.seconds(), None
        elif opcode == PONG and payload.startswith(ROUND_TRIP):
            self._told = read_round_trip(payload, self.relay.clock.seconds()) or self._told
        else:
            super().control_received(handler, opcode, payload)


def read_round_trip(payload: bytes, now_s: float) -> RoundTrip | None:
    """What `LinkProtocol.tell_round_trip` tells; None where it can't be read."""
    try:
        took_s = float(payload.removeprefix(ROUND_TRIP))
    except ValueError:
        return None
    return RoundTrip(took_s, now_s) if 0 <= took_s <= _LONGEST_ROUND_TRIP_S else None


def _refuse_not_here(failure: Failure) -> Place:
    failure.trap(NotHere)
    raise BadRequest(NOT_HERE, str(failure.value))


class PeerFactory(RelayFactory):
    """Makes the inbound connections."""

    def __init__(self, host: PeerHost) -> None:
        self.peer_host = host
        self.features = FEATURES
        """See `FEATURES_HEADER`."""
        self._refused = LogThrottle(host.relay.clock.seconds)
        super().__init__(ClientSide(host.relay, frozenset()))
        self.set_up(PeerProtocol)

    def log_refusal(self, address: str | None, why: str) -> None:
        """Log a refusal, but not so often that an attacker could fill the disk."""
        count = self._refused.count()
        if count is not None:
            _log.warn(
                "refused {address} as another relay: {why} ({count} since the last such line)",
                address=address or UNKNOWN,
                why=why,
                count=count,
            )
