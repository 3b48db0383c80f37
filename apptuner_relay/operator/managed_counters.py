"""`ManagedCounters`: what was exchanged with a managed WebSocket service since the start, in the
units that such services bill.

The part `managed` increments them; they do no I/O and decide nothing.
"""

from collections import Counter

PUBLISH_WAYS = ("client_event", "http")
"""How an event is published: over the WebSocket, or by the service's HTTP API."""
DROP_REASONS = ("away", "full", "large", "refused")
"""Why an event was not published: the service is away, more waits than may, the event is above the
service's limit of bytes, or the service has refused it."""
MOST_CODES = 50
"""How many codes are counted apart. A service that makes up more is counted as giving none."""


class ManagedCounters:
    """Counts events, requests, refusals and reconnections of one service."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter(dict.fromkeys(PUBLISH_WAYS, 0))
        """Events that were published, by one of `PUBLISH_WAYS`."""
        self.deliveries = 0
        """Deliveries of these events, as estimated: one to each other member that the channel had
        when the event was published."""
        self.bytes = 0
        """Bytes of the data of these events, in UTF-8."""
        self.requests = 0
        """Requests to the service's HTTP API."""
        self.refused: Counter[int] = Counter()
        """What the service has refused, by its own code or by HTTP status, 0 where it gives
        neither: connections, subscriptions, events and requests."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(DROP_REASONS, 0))
        """Events that were not published, by one of `DROP_REASONS`."""
        self.reconnects = 0
        """Connections that were lost, or could not be made, and are made again."""
        self.connections = 0
        """Connections to the service now."""
        self.channels = 0
        """Channels of which a subscription is kept up."""
        self.round_trip_s: float | None = None
        """Seconds from the last ``pusher:ping`` to its ``pusher:pong``; None before the first."""

    def count_published(self, way: str, size: int, member_count: int) -> None:
        """An event was published.

        :param way: one of `PUBLISH_WAYS`.
        :param size: bytes of its data, in UTF-8.
        :param member_count: how many members the channel has, this relay included.
        """
        self.published[way] += 1
        self.bytes += size
        self.deliveries += max(0, member_count - 1)

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Events were not published; ``reason`` is one of `DROP_REASONS`."""
        self.dropped[reason] += count

    def count_refused(self, code: int) -> None:
        """The service has refused something with its own code or an HTTP status; 0 where it gives
        neither."""
        if code not in self.refused and len(self.refused) >= MOST_CODES:
            code = 0
        self.refused[code] += 1
