"""The WebSocket connection of a client, once its handshake was read: how the client is admitted,
and how it enters its session. What passes afterwards is in `websocket`; who has read the handshake
are `direct_connection` and `server`.
"""

from twisted.logger import Logger

from apptuner_relay.access.caller import Caller, read_caller
from apptuner_relay.edge.opening import OpeningConnection
from apptuner_relay.edge.websocket import FramedConnection
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Admission, BadRequest, parse_path
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.printable_text import printable_line

_log = Logger()

MOST_EARLY_BYTES = 64 * 1024
"""Where the relay stops to read from a client that has yet to get the handshake's answer."""


class ClientConnection(FramedConnection, OpeningConnection):
    """A base class."""

    place: Place | None = None
    """Where the client will enter, from its admission to the end of the handshake."""

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        raise NotImplementedError

    @property
    def spoken(self) -> str | None:
        """The subprotocol that was agreed on."""
        raise NotImplementedError

    def admit(self, path: str, deflates: bool) -> tuple[Admission, Caller]:
        """Decide on a client whose handshake is good.

        :param path: of its request.
        :param deflates: whether permessage-deflate will be negotiated.
        :raises BadRequest: it can't come in.
        """
        address = self.client_address
        self.relay.access.count_connection(address)
        role, session_id = parse_path(path)
        if role not in self.factory.roles:
            raise BadRequest(404, "Not found")
        _, _, query = self.request_target.partition("?")
        fields = self.request_fields
        admission = self.relay.admit(
            role, session_id, query, deflates, address, fields.get("user-agent")
        )
        return admission, read_caller(address, self.origin, fields.get("authorization"), query)

    def opened(self) -> ConnectedClient:
        """See `FramedConnection`."""
        place, self.place = self.place, None
        assert place is not None
        client = place.enter(self)
        if self.relay.hooks.wants_debug:
            self._log_opened(client)
        return client

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        place, self.place = self.place, None
        if place is not None:
            place.abandon()
        super().onClose(wasClean, code, reason)

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
            subprotocol=self.spoken,
            is_here=client.through is None and isinstance(client, Member),
            patches=admission.patches,
            origin=None if self.origin is None else printable_line(self.origin, 100),
        )
