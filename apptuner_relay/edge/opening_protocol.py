"""What the opening handshakes that Autobahn reads have in common."""

from autobahn.websocket.types import ConnectionDeny

from apptuner_relay.edge.opening import OpeningConnection
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.private_names.of_autobahn import ServerHandshakeProtocol
from apptuner_relay.wire.handshake import END, read_opening


class OpeningProtocol(OpeningConnection, ServerHandshakeProtocol):  # type: ignore[misc]
    """A base class."""

    @property
    def request_target(self) -> str:
        """See `OpeningConnection`."""
        return self.handshake_target

    @property
    def request_fields(self) -> dict[str, str]:
        """See `OpeningConnection`. Fields of one name are put together, with commas."""
        return self.handshake_fields

    def request_received(self, data: bytes) -> bytes | None:
        """See `ServerHandshakeProtocol`."""
        head, end, rest = data.partition(END)
        if not end:
            return data
        opening = read_opening(head + end)
        self.origin = opening.origin
        return opening.head + rest

    def denied(self, refusal: BadRequest) -> ConnectionDeny:
        """The exception that has Autobahn refuse the client."""
        self._refusal = refusal
        return ConnectionDeny(refusal.status, str(refusal))
