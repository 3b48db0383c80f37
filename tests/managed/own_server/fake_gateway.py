"""A gateway that notes what it is asked."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.managed.protocol.channel_service import ChannelService
from apptuner_relay.relay.interfaces import Place
from apptuner_relay.session.session import Admission


class FakeGateway:
    """A `gateway_interface.GatewayInterface`."""

    def __init__(self) -> None:
        self.coming: dict[str, Admission] = {}
        """Who is expected, by ``user_id``."""
        self.readying: Deferred[None] | None = None
        """What `ready` returns; None where nothing is to be waited for."""
        self.readied: list[str] = []
        self.found_occupied: list[str] = []

    def expect(
        self,
        user_id: str,
        admission: Admission,
        find: Callable[[Admission], Deferred[Place]] | None = None,
    ) -> None:
        self.coming[user_id] = admission

    def expected(self, session_hash: str) -> Sequence[Admission]:
        return [one for one in self.coming.values() if one.session_hash == session_hash]

    def ready(self, session_hash: str) -> Deferred[None]:
        self.readied.append(session_hash)
        return succeed(None) if self.readying is None else self.readying

    def occupied(self, service: ChannelService, channel: str) -> None:
        self.found_occupied.append(channel)
