"""The metrics of a managed WebSocket service: is it up, what does it bill, what does it refuse?"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from apptuner_relay.operator.managed_view import ManagedView, managed_state
from apptuner_relay.web.metric_families import counter, counters, gauge

_SERVICE_CODES = frozenset((*range(400, 600), *range(4000, 4400)))
"""HTTP statuses of refusals, and the codes of the Pusher protocol. A service may send any other
number, too many for a label."""
_COMMON_CODES = (401, 403, 413, 429, 4001, 4004, 4009, 4100, 4301)
"""Shown from the start: wrong credentials, used-up quotas, too large, too often."""


def managed_families(managed: ManagedView) -> Iterator[Metric]:
    """The families of one service."""
    done = managed.counters
    yield gauge(
        "managed_up",
        "1 while the managed service carries events, 0 while it is away or refuses.",
        managed_state(managed) == "up",
    )
    yield gauge("managed_connections", "Connections to the managed service now.", done.connections)
    yield gauge("managed_channels", "Channels in which the relay is now.", managed.channels_count)
    yield gauge(
        "managed_members",
        "Clients of this relay's sessions who have come in through channels.",
        managed.members_count,
    )
    round_trip = GaugeMetricFamily(
        "apptuner_relay_managed_round_trip_seconds",
        "Time from the last ping to the managed service to its answer; nothing before the first.",
    )
    if done.round_trip_s is not None:
        round_trip.add_metric([], done.round_trip_s)
    yield round_trip
    yield counters("managed_published", "Events published to channels, by way.", "way",
                   done.published)  # fmt: skip
    yield counter(
        "managed_deliveries",
        "Deliveries of these events, estimated: one to each other member of the channel. Services "
        "bill them beside the events.",
        done.deliveries,
    )
    yield counter("managed_bytes", "Bytes of the data of these events.", done.bytes)
    yield counter("managed_requests", "Requests to the managed service's HTTP API.", done.requests)
    yield counters(
        "managed_dropped", "Events that were not published, by reason.", "reason", done.dropped
    )
    refused = {str(code): 0 for code in _COMMON_CODES}
    for code, count in done.refused.items():
        label = str(code) if code in _SERVICE_CODES else "other"
        refused[label] = refused.get(label, 0) + count
    yield counters(
        "managed_refused",
        "Connections, subscriptions, events and requests that the managed service has refused.",
        "refusal",
        refused,
    )
    yield counter(
        "managed_reconnects",
        "Connections to the managed service that were lost or failed, and are made again.",
        done.reconnects,
    )
