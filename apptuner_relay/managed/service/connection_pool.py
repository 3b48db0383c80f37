"""The connections to a managed service, and which channel is on which.

One is held open always, so that a fault of the service shows at once and a client need not wait for
a connection. Where the service limits what one carries, more are opened on demand, and closed when
nothing is on them. Where it does not, one carries everything.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.managed.protocol.channel_service import ChannelListener
from apptuner_relay.managed.service.service_connection import ServiceConnection
from apptuner_relay.operator.managed_counters import ManagedCounters

IDLE_S = 60.0
"""How long a connection without a channel is kept. The first one is always."""


class ConnectionPool:
    """The connections.

    :param make: makes one.
    :param most_channels: how many channels one may carry; None for any number.
    """

    def __init__(
        self,
        make: Callable[[], ServiceConnection],
        most_channels: int | None,
        counters: ManagedCounters,
        clock: IReactorTime,
    ) -> None:
        self.connections: list[ServiceConnection] = []
        self._make = make
        self._most_channels = most_channels
        self._counters = counters
        self._clock = clock
        self._idle: dict[ServiceConnection, IDelayedCall] = {}
        """Until those are closed that carry no channel."""
        self._places: dict[str, ServiceConnection] = {}
        """By channel, the connection that carries it."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return any(connection.is_up for connection in self.connections)

    @property
    def has_down(self) -> bool:
        """Whether one that is wanted is not there."""
        return not all(connection.is_up for connection in self.connections)

    def count(self) -> None:
        """Count the connections that there are; something has changed."""
        self._counters.connections = sum(one.is_up for one in self.connections)

    def start(self) -> None:
        """Open the first connection."""
        self._add()

    def stop(self) -> Deferred[None]:
        """Close all connections for good. Fires when that is done."""
        connections, self.connections = self.connections, []
        self._places.clear()
        for timer in self._idle.values():
            timer.cancel()
        self._idle.clear()
        self._counters.channels = self._counters.connections = 0
        stopping = DeferredList([connection.stop() for connection in connections])
        return stopping.addCallback(lambda _: None)

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """Keep up a subscription on a connection with room for it."""
        self.unsubscribe(channel)
        connection = next(filter(self._has_room, self.connections), None) or self._add()
        timer = self._idle.pop(connection, None)
        if timer is not None:
            timer.cancel()
        self._places[channel] = connection
        self._counters.channels = len(self._places)
        connection.subscribe(channel, listener)

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel. Harmless where it is not subscribed."""
        connection = self._places.pop(channel, None)
        if connection is None:
            return
        self._counters.channels = len(self._places)
        connection.unsubscribe(channel)
        if not connection.subscriptions and connection is not self.connections[0]:
            self._idle[connection] = self._clock.callLater(IDLE_S, self._close, connection)

    def connection_of(self, channel: str) -> ServiceConnection | None:
        """The connection that carries a channel."""
        return self._places.get(channel)

    def member_count(self, channel: str) -> int | None:
        """How many users are in a channel, the relay included; None where it is not in there."""
        connection = self._places.get(channel)
        subscription = connection and connection.subscriptions.get(channel)
        if not subscription or not subscription.is_subscribed:
            return None
        return len(subscription.user_ids)

    def socket_id(self, channel: str) -> str | None:
        """The service's name of the connection that carries a channel; None while that is down."""
        connection = self._places.get(channel)
        return None if connection is None else connection.socket_id

    def _has_room(self, connection: ServiceConnection) -> bool:
        most = self._most_channels
        if most is None:
            return True
        return len(connection.subscriptions) < most and not connection.is_saturated

    def _add(self) -> ServiceConnection:
        connection = self._make()
        self.connections.append(connection)
        connection.start()
        return connection

    def _close(self, connection: ServiceConnection) -> None:
        del self._idle[connection]
        self.connections.remove(connection)
        connection.stop()
        self.count()
