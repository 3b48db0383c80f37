"""What the parts that let users into channels call of the gateway."""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.managed.protocol.channel_service import ChannelService
from apptuner_relay.session.session import Admission


class GatewayInterface(Protocol):
    """The gateway: a `gateway.Gateway`."""

    def expect(self, user_id: str, admission: Admission) -> None:
        """A user has been authorized, and is about to come into the channel of its session. It is
        expected for `expected_users.EXPECTED_S`.

        :param admission: how it is let in. The gateway sets its `client` and `bundles_url`.
        """

    def expected(self, session_hash: str) -> Sequence[Admission]:
        """The users of a session who are expected, and haven't come yet."""

    def ready(self, session_hash: str) -> Deferred[None]:
        """Subscribe to the channel of a session at the provider, if there is one. Fires once that
        is done, after `gateway.READY_S` all the same, and never fails."""

    def occupied(self, service: ChannelService, channel: str) -> None:
        """The first user is coming into a channel of a local service: subscribe to it there. The
        gateway leaves it when its last user has left."""
