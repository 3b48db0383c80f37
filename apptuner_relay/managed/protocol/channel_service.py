"""The protocols between a gateway and what carries its channels: a provider's service, or the relay
itself.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred


class ChannelListener(Protocol):
    """What hears of one channel. Nothing is called between `unsubscribed` and the next
    `subscribed`."""

    def subscribed(self, members: Mapping[str, Mapping[str, object]]) -> None:
        """The subscription has begun, or begun anew: ``members`` has everybody who is in the
        channel, the gateway's own user included, by ``user_id``, with their ``user_info``."""

    def unsubscribed(self, why: str) -> None:
        """The subscription is over, for now: the service is away, or refuses the channel."""

    def member_added(self, user_id: str, info: Mapping[str, object]) -> None:
        """Somebody has come into the channel."""

    def member_removed(self, user_id: str) -> None:
        """Somebody has left the channel."""

    def event_received(self, name: str, data: str, user_id: str | None) -> None:
        """An event of somebody else. ``data`` is a JSON text; ``user_id`` is None where the service
        does not vouch for the sender."""


class ChannelService(Protocol):
    """What carries channels."""

    is_local: bool
    """Whether this relay itself is the service, so that members are connected to it."""

    @property
    def is_up(self) -> bool:
        """Whether events can be published now."""

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """Keep up a subscription of a presence channel until `unsubscribe`."""

    def unsubscribe(self, channel: str) -> None:
        """Leave the channel. Harmless where it is not subscribed."""

    def publish(self, channel: str, name: str, data: str) -> bool:
        """Publish an event to everybody else in the channel, in order. It is at most once.

        :param data: a JSON text.
        :return: False where it could not be taken: the service is away, or more waits than may.
        """

    def occupied(self, prefix: str) -> Deferred[Sequence[str]]:
        """The channels whose names begin with ``prefix`` and in which anybody is. Fails with
        `ServiceRefused` or an error of the connection."""


class ServiceRefused(Exception):
    """A service has refused a request or a subscription. The text is for the operator.

    :ivar code: the service's own code or HTTP status.
    :ivar is_permanent: whether it will refuse until somebody changes something.
    """

    def __init__(self, code: int, text: str, is_permanent: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.is_permanent = is_permanent
