"""What other relays open to this one: ``/peer/{role}/{session hash}``, a WebSocket for each client
of theirs whose session is here. To the session it is that client.

Whoever can't show a pass (`passes`) is refused, on whichever endpoint it comes.
"""

import json
from collections.abc import Callable

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.homes import Homes, NotHere
from apptuner_relay.cluster.link import HALT, NOT_HERE, PROBE, SUBPROTOCOL
from apptuner_relay.cluster.passes import (
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    BadPass,
    prove,
)
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

    @property
    def deflates(self) -> bool:
        """Whether the client negotiated permessage-deflate; between relays it isn't."""
        return self._deflates

    def onConnect(  # type: ignore[override]
        self, request: ConnectionRequest
    ) -> Deferred[Answer]:
        """Let the other relay in with its client, or refuse it."""
        homes = self.factory.homes
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

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse the handshake; the reason is in a header as well, which comes with the status."""
        told = (REASON_HEADER, json.dumps(reason))
        super().sendHttpErrorResponse(code, reason, [*(responseHeaders or ()), told])

    def opened(self) -> Attendee:
        """See `connection.FramedConnection`."""
        self._present_s = self.relay.clock.seconds()
        return super().opened()

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
        if self._end is not None:
            self._end.sink.control(frame(PING, HALT), None)

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
