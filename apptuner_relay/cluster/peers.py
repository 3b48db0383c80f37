"""What other relays open to this one: ``/peer/{role}/{session hash}``, a WebSocket for each client
of theirs whose session is here. To the session it is that client.

Whoever can't show a pass (`passes`) is refused, on whichever endpoint it comes.
"""

import json
from collections.abc import Callable
from typing import cast

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.directory import check_session
from apptuner_relay.cluster.handover_words import PATH
from apptuner_relay.cluster.homes import Homes, NotHere
from apptuner_relay.cluster.link import GO_ON, HALT, NOT_HERE, PROBE, SUBPROTOCOL
from apptuner_relay.cluster.passes import (
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    BadPass,
    prove,
)
from apptuner_relay.cluster.takeover import NOWHERE, Takeover, check_room
from apptuner_relay.connection import NO_ANSWER
from apptuner_relay.ends import End
from apptuner_relay.forwarded import UNKNOWN
from apptuner_relay.protocol import Answer, RelayFactory, RelayProtocol
from apptuner_relay.seldom import Seldom
from apptuner_relay.service import Attendee, Place
from apptuner_relay.session import BadRequest
from apptuner_relay.wire.frames import PING, PONG, frame

_log = Logger()


class PeerProtocol(RelayProtocol):
    """The connection through which another relay's client comes."""

    factory: "PeerFactory"
    is_halted = False
    """Whether all that the client had sent has come: see `moving.Visit`."""
    _deflates = False
    _present_s = 0.0
    """When the client was known to be there last."""
    _probed_s: float | None = None
    """Since when there is no answer to a `PROBE`."""
    _taking_over: str | None = None
    """The session that the other relay gives away, where it comes for that."""

    @property
    def deflates(self) -> bool:
        """Whether the client negotiated permessage-deflate; between relays it isn't."""
        return self._deflates

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[Answer]:
        """Let the other relay in with its client, or refuse it."""
        homes = self.factory.homes
        if request.path.startswith(PATH):
            return self._take_over(request)
        try:
            shown = homes.gate.read(
                request.headers.get(PASS_HEADER.lower(), ""), self.relay.wall_s()
            )
        except BadPass as wrong:
            self.factory.complain(self.client_address, str(wrong))
            raise ConnectionDeny(401, f"The pass is not good: {wrong}") from None
        admission = shown.admission
        if request.path != f"/peer/{admission.role.value}/{admission.session_hash}":
            raise ConnectionDeny(400, "The pass is for another path")
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(400, f"Relays speak {SUBPROTOCOL} to each other")
        self._deflates = admission.deflates
        finding = homes.receive(admission)
        finding.addErrback(_not_here)
        return self._wait_for(
            finding, (SUBPROTOCOL, {PROOF_HEADER: prove(homes.secret, shown.nonce)})
        )

    def _take_over(self, request: ConnectionRequest) -> Deferred[Answer]:
        """Let the other relay in with a session of its own, or refuse it."""
        homes = self.factory.homes
        try:
            shown = request.headers.get(PASS_HEADER.lower(), "")
            nonce = homes.gate.read_errand(shown, request.path, self.relay.wall_s())
        except BadPass as wrong:
            self.factory.complain(self.client_address, str(wrong))
            raise ConnectionDeny(401, f"The pass is not good: {wrong}") from None
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(400, f"Relays speak {SUBPROTOCOL} to each other")
        try:
            session = check_session(request.path.removeprefix(PATH))
            check_room(homes)
        except BadRequest as refusal:
            raise self._denied(refusal) from None
        except ValueError as wrong:
            raise ConnectionDeny(400, str(wrong)) from None
        # Bundles pass as they are kept, compressed or not.
        self._deflates = True
        proof = {PROOF_HEADER: prove(homes.secret, nonce)}
        self._taking_over = session
        return self._wait_for(succeed(NOWHERE), (SUBPROTOCOL, proof))

    def opened(self) -> End:  # type: ignore[override]
        """See `FramedConnection`."""
        self._present_s = self.relay.clock.seconds()
        if self._taking_over is None:
            return super().opened()
        self.transport.unregisterProducer()
        self._place = None
        return Takeover(self.factory.homes, self._taking_over, self)

    def parted(self, end: End, why: str) -> None:
        """See `FramedConnection`."""
        if isinstance(end, Takeover):
            end.lost()
        else:
            super().parted(cast(Attendee, end), why)

    def gone(self, end: End, why: str, code: int) -> None:
        """See `FramedConnection`."""
        if isinstance(end, Takeover):
            end.lost()
        else:
            super().gone(cast(Attendee, end), why, code)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the handshake; the reason is in a header as well, which comes with the status."""
        told = (REASON_HEADER, json.dumps(reason))
        super().sendHttpErrorResponse(code, reason, [*(responseHeaders or ()), told])

    def last_heard_s(self) -> float:
        """See `ends.Connection`. What the other relay says of itself, pongs, doesn't count."""
        if super().last_heard_s() > self.heard_s:
            return self.relay.clock.seconds()
        return self._present_s

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `ends.Connection`. The other relay asks its client, and drops it when it doesn't
        answer."""
        if self._end is None or self.state != self.STATE_OPEN:
            return None
        if self._probed_s is None:
            self._probed_s = self.relay.clock.seconds()
            self._end.sink.control(frame(PING, PROBE), None)
        return self._probed_s

    def fell_silent(self) -> None:
        """See `FramedConnection`. A Close would end the client: without, its relay finds it
        another place."""
        self._own_reason = NO_ANSWER
        self.dropConnection(abort=True)

    def ask_to_halt(self) -> None:
        """See `moving.Visit`."""
        self._ask(HALT)

    def ask_to_go_on(self) -> None:
        """See `moving.Visit`."""
        self.is_halted = False
        self._ask(GO_ON)

    def _ask(self, what: bytes) -> None:
        if self._end is not None:
            self._end.sink.control(frame(PING, what), None)

    def _control(self, end: End, opcode: int, payload: bytes) -> None:
        if opcode == PONG and payload == HALT:
            self.is_halted = True
        elif opcode == PONG and payload == PROBE:
            self._present_s, self._probed_s = self.relay.clock.seconds(), None
        else:
            super()._control(end, opcode, payload)


def _not_here(failure: Failure) -> Place:
    failure.trap(NotHere)
    raise BadRequest(NOT_HERE, str(failure.value))


class PeerFactory(RelayFactory):
    """Takes other relays."""

    def __init__(self, homes: Homes) -> None:
        self.homes = homes
        self._refused = Seldom(homes.relay.clock.seconds)
        super().__init__(homes.relay)
        self.set_up(PeerProtocol)

    def complain(self, address: str | None, why: str) -> None:
        """Log that somebody was refused, but not so often that who tries can fill the disk."""
        count = self._refused.count()
        if count is not None:
            _log.warn(
                "refused {address} as another relay: {why} ({count} since the last such line)",
                address=address or UNKNOWN,
                why=why,
                count=count,
            )
