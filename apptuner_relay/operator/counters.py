"""`Counters`: what has happened since the start, and how many clients are connected.

The relay increments them; they do no I/O and decide nothing. `traffic` counts messages and bundles,
on the data path.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from apptuner_relay.operator.download_counter import DownloadCounter
from apptuner_relay.operator.observed import ClientView
from apptuner_relay.operator.traffic import Traffic
from apptuner_relay.session.session import Role


class Totals(NamedTuple):
    """What has passed since the start, at one time of the monotonic clock."""

    at_s: float
    bundles: int
    bundle_bytes: int
    bytes_out: int


class Counters:
    """Counts clients, handshakes and bytes.

    :param clients: every client that is connected; only read.
    :param seconds: the monotonic clock.
    """

    def __init__(self, clients: Collection[ClientView], seconds: Callable[[], float]) -> None:
        self.traffic = Traffic()
        self.connections: Counter[Role] = Counter()
        """Clients that are connected to this relay now."""
        self.inbound = 0
        """Members of sessions here that are connected to other relays, and counted there."""
        self.accepted: Counter[Role] = Counter()
        """Clients that have connected."""
        self.closes: Counter[int] = Counter()
        """Connections that have ended, by the close code of RFC 6455 §7.4.1."""
        self.refusals: Counter[int] = Counter()
        """Handshakes that were refused, by HTTP status."""
        self.turned_away: Counter[str] = Counter()
        """Connections that ended before HTTP began, by one of `prefixes.REASONS`."""
        self.forwarded: Counter[str] = Counter()
        """Requests that were forwarded to other programs, by one of `web.request.RESULTS`."""
        self.uploads: Counter[str] = Counter()
        """Bundles that were uploaded over HTTP, by the status of the answer, or ``lost``."""
        self.downloads = DownloadCounter()
        self.alerts: Counter[str] = Counter()
        """Alerts, by result: ``delivered``, ``failed`` or ``dropped``."""
        self._clients = clients
        self._seconds = seconds
        self._gone_in = 0
        self._gone_out = 0

    def count_connected(self, client: ClientView) -> None:
        """A client has joined a session."""
        if client.through is not None:
            self.inbound += 1
            return
        self.connections[client.role] += 1
        self.accepted[client.role] += 1

    def count_disconnected(self, client: ClientView, code: int) -> None:
        """A client's connection has ended; ``code`` is the close code (RFC 6455 §7.4.1)."""
        written = client.sink.written
        if client.session is not None:
            client.session.bytes_in += client.bytes_in
            client.session.bytes_out += written
        if client.through is not None:
            self.inbound -= 1
            return
        self.connections[client.role] -= 1
        self.closes[code] += 1
        self._gone_in += client.bytes_in
        self._gone_out += written

    def count_refused(self, status: int) -> None:
        """A handshake was refused with an HTTP status."""
        self.refusals[status] += 1

    def count_turned_away(self, reason: str) -> None:
        """A connection ended before HTTP began; ``reason`` is one of `prefixes.REASONS`."""
        self.turned_away[reason] += 1

    def count_forwarded(self, result: str) -> None:
        """A forwarded request is over; ``result`` is one of `web.request.RESULTS`."""
        self.forwarded[result] += 1

    def count_upload(self, result: str) -> None:
        """An upload is over; ``result`` is the HTTP status of its answer, or ``lost``."""
        self.uploads[result] += 1

    @property
    def connection_count(self) -> int:
        """How many clients are connected to this relay now."""
        return sum(self.connections.values())

    @property
    def bytes_in(self) -> int:
        """Bytes that clients have sent, over their WebSockets."""
        own = (client for client in self._clients if client.through is None)
        return self._gone_in + sum(client.bytes_in for client in own)

    @property
    def bytes_out(self) -> int:
        """Bytes that clients were sent, over their WebSockets."""
        own = (client for client in self._clients if client.through is None)
        return self._gone_out + sum(client.sink.written for client in own)

    @property
    def totals(self) -> Totals:
        """What has passed since the start."""
        traffic = self.traffic
        return Totals(self._seconds(), traffic.bundles, traffic.bundle_bytes, self.bytes_out)
