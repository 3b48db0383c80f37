"""``GET /metrics``: the meters for Prometheus, in its text format or OpenMetrics.

Nothing is kept here: each scrape reads `Meters`. Names and units are by Prometheus' conventions.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from twisted.web.server import Request

from apptuner_relay import __version__
from apptuner_relay.access.access import DENIALS, Access
from apptuner_relay.access.limits import LIMITS
from apptuner_relay.front import REASONS
from apptuner_relay.meters.cluster import Cluster
from apptuner_relay.meters.meters import Meters
from apptuner_relay.meters.thresholds import Certificate, Spool
from apptuner_relay.meters.traffic import Histogram
from apptuner_relay.service import RelayService
from apptuner_relay.session import Role
from apptuner_relay.web.headers import header
from apptuner_relay.web.json import JsonResource
from apptuner_relay.web.request import RESULTS

STATES = ("ok", "degraded", "draining")
RELOAD_RESULTS = ("taken", "refused")
ALERT_RESULTS = ("delivered", "failed", "dropped")
_CLOSE_CODES = range(1000, 1016)
"""Those of RFC 6455 and IANA's registry. Clients may send others, of which there are too many for a
label."""


class MeterCollector(Collector):
    """Makes Prometheus' families of what `Meters` has, anew for each scrape."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        yield from self._now()
        yield from self._traffic()
        yield from self._ends()
        yield from self._health()
        if self._meters.spool is not None:
            yield from _spool(self._meters.spool)
        if self._meters.certificate is not None:
            yield from _certificate(self._meters.certificate)
        if self._meters.cluster is not None:
            yield from _cluster(self._meters.cluster, self._meters.visitors)

    def _now(self) -> Iterator[Metric]:
        meters = self._meters
        info = InfoMetricFamily("apptuner_relay", "The relay's version and the node's name.")
        info.add_metric([], {"version": __version__, "node": meters.node})
        yield info
        connections = GaugeMetricFamily(
            "apptuner_relay_connections", "Clients connected now.", labels=["role"]
        )
        accepted = CounterMetricFamily(
            "apptuner_relay_connections_accepted",
            "Clients that have come in.",
            labels=["role"],
        )
        for role in Role:
            connections.add_metric([role.value], meters.connections[role])
            accepted.add_metric([role.value], meters.accepted[role])
        yield connections
        yield accepted
        yield _gauge("sessions", "Sessions with at least one client now.", meters.session_count)
        yield _gauge(
            "paused_sources",
            "Clients not read from for now, as others don't take what they send.",
            meters.paused_sources,
        )
        yield _gauge(
            "slow_sinks",
            "Clients that for 5 seconds or more never took all that they were sent.",
            meters.slow_sinks,
        )

    def _traffic(self) -> Iterator[Metric]:
        meters = self._meters
        traffic = meters.traffic
        messages = CounterMetricFamily(
            "apptuner_relay_messages",
            "Messages that came from clients (in) and went to clients (out), by type; "
            "notices are the relay's own.",
            labels=["direction", "kind"],
        )
        sizes = CounterMetricFamily(
            "apptuner_relay_message_bytes",
            "Bytes of those messages, as they came (out: once for each client that they were for).",
            labels=["direction", "kind"],
        )
        for kind, tally in traffic.tallies.items():
            messages.add_metric(["in", kind], tally.received)
            messages.add_metric(["out", kind], tally.sent)
            sizes.add_metric(["in", kind], tally.received_bytes)
            sizes.add_metric(["out", kind], tally.sent_bytes)
        yield messages
        yield sizes
        yield _counters(
            "bytes",
            "Bytes that came from clients (in) and went to clients (out) over WebSockets, with all "
            "that frames add, and with what was kept for phones that came late.",
            "direction",
            {"in": meters.bytes_in, "out": meters.bytes_out},
        )
        yield _counter(
            "bundles", "Bundles that went from the desktop side to phones.", traffic.bundles
        )
        yield _histogram(
            "bundle_size_bytes", "A bundle's bytes, as they came.", traffic.bundle_sizes
        )
        yield _histogram(
            "bundle_duration_seconds",
            "From a bundle's first bytes to its last.",
            traffic.bundle_durations,
        )

    def _ends(self) -> Iterator[Metric]:
        meters = self._meters
        counts = {str(code): 0 for code in (1000, 1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013)}
        for code, count in meters.closes.items():
            label = str(code) if code in _CLOSE_CODES else "other"
            counts[label] = counts.get(label, 0) + count
        yield _counters(
            "closes",
            "WebSockets that have ended, by close code (1005: none given, 1006: lost; "
            "other: one of an application's).",
            "code",
            counts,
        )
        reasons = {_reason(status): 0 for status in (400, 401, 403, 404, 409, 429, 503)}
        for status, count in meters.refusals.items():
            reasons[_reason(status)] = reasons.get(_reason(status), 0) + count
        yield _counters(
            "handshakes_refused",
            "WebSocket handshakes that were refused, by the reason that the HTTP status gives.",
            "reason",
            reasons,
        )
        yield _counters(
            "turned_away",
            "Connections that ended before HTTP began, by what was wrong.",
            "reason",
            {why: meters.turned_away[why] for why in REASONS},
        )
        yield _counters(
            "forwarded",
            "Requests that were forwarded to other programs (--forward), by what became of them.",
            "result",
            {result: meters.forwarded[result] for result in RESULTS},
        )
        if meters.access is not None:
            yield from _access(meters.access)
        yield _counter(
            "logs_dropped",
            "Console logs that were dropped, as their phone sent more messages than it may.",
            meters.traffic.dropped_logs,
        )
        yield _counter(
            "throttled",
            "Times that a client was not read from for a while, as it sent more messages than it "
            "may.",
            meters.traffic.throttled,
        )

    def _health(self) -> Iterator[Metric]:
        meters = self._meters
        state = GaugeMetricFamily(
            "apptuner_relay_state", "1 for the state that /health shows.", labels=["state"]
        )
        for name in STATES:
            state.add_metric([name], meters.state == name)
        yield state
        worry = GaugeMetricFamily(
            "apptuner_relay_worry",
            "1 while there is something to worry about, 0 while it is watched.",
            labels=["name", "level"],
        )
        active = {one.name for one in meters.worries.active}
        for name, level in meters.worries.names.items():
            worry.add_metric([name, level.value], name in active)
        yield worry
        yield _counters(
            "alerts",
            "Alerts to --alert-url, by result.",
            "result",
            {result: meters.alerts[result] for result in ALERT_RESULTS},
        )
        if meters.log is not None:
            yield _counter(
                "log_lines_dropped",
                "Lines of this relay's log that were dropped, as nobody read it or it could not be "
                "written.",
                meters.log.dropped,
            )
        yield _gauge(
            "loop_lag_seconds",
            "The latest that the event loop was in the last ten seconds or so.",
            meters.loop_lag_ms / 1000,
        )
        if meters.memory_limit is not None:
            yield _gauge("memory_limit_bytes", "What the process may have.", meters.memory_limit)


def _access(access: Access) -> Iterator[Metric]:
    yield _counters(
        "limited",
        "Clients that were refused for the sake of a limit, by the option that sets it.",
        "limit",
        {limit: access.limited[limit] for limit in LIMITS},
    )
    yield _counters(
        "denied",
        "Clients that were refused for what they have shown, or not shown.",
        "reason",
        {reason: access.denied[reason] for reason in DENIALS},
    )
    yield _counter(
        "failed_joins",
        "Sessions that nobody was in and wrong secrets, each counted once for an address.",
        access.failed_joins,
    )


def _spool(spool: Spool) -> Iterator[Metric]:
    yield _gauge("spool_up", "1 while bundles are kept, 0 when the disk has failed.", not spool.off)
    yield _gauge("spool_bundles", "Bundles that are kept.", spool.bundles)
    yield _gauge("spool_bytes", "What kept bundles take on disk.", spool.used_bytes)
    yield _gauge("spool_limit_bytes", "What they may take.", spool.limit_bytes)
    yield _gauge("spool_backlog_bytes", "What waits to be written.", spool.backlog_bytes)
    yield _counter("spool_evicted", "Bundles that had to go for want of room.", spool.evicted)
    yield _counter("spool_failures", "Times that the disk has failed.", spool.failures)


def _certificate(certificate: Certificate) -> Iterator[Metric]:
    yield _gauge(
        "certificate_expiry_timestamp_seconds",
        "When the TLS certificate expires, in seconds since the epoch.",
        certificate.expires_s,
    )
    yield _counters(
        "certificate_reloads",
        "Times that the TLS certificate's files had changed, by what became of it.",
        "result",
        {result: certificate.reloads.get(result, 0) for result in RELOAD_RESULTS},
    )


def _cluster(cluster: Cluster, visitors: int) -> Iterator[Metric]:
    directory = cluster.directory
    yield _gauge("redis_up", "1 while Redis is reached, 0 while not.", directory.state != "away")
    claims = cluster.claims
    if claims is not None:
        yield _gauge(
            "claims_up",
            "1 while claims are shared, 0 while they are known as far as they were seen here.",
            claims.state == "connected",
        )
        yield _counter(
            "claims_refusals",
            "Times that Redis has refused what it was asked for a claim.",
            claims.refusals,
        )
    yield _gauge(
        "redis_evicts",
        "1 where Redis may drop keys when it is full (maxmemory-policy), as far as it says.",
        directory.eviction_policy is not None,
    )
    yield _gauge("nodes", "Relays that share sessions, as they were seen last.", len(cluster.nodes))
    yield _gauge(
        "bridged_clients",
        "Clients connected here whose sessions are other relays'.",
        cluster.bridged_count,
    )
    yield _gauge(
        "visitors",
        "Members of sessions here who are connected to other relays, and counted there.",
        visitors,
    )
    counters = directory.counters
    yield _counter("directory_commands", "Commands sent to Redis.", counters.commands)
    yield _counter(
        "directory_claims", "Times that a session's owner was asked for.", counters.claims
    )
    yield _counter(
        "directory_leases_lost",
        "Sessions that went to another relay, or to none, before they were given back.",
        counters.lost,
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"apptuner_relay_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    counter = CounterMetricFamily(f"apptuner_relay_{name}", text)
    counter.add_metric([], value)
    return counter


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter with one label."""
    counter = CounterMetricFamily(f"apptuner_relay_{name}", text, labels=[label])
    for value, count in values.items():
        counter.add_metric([value], count)
    return counter


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    counts = [float(count) for count in histogram.cumulative()]
    buckets = list(zip(bounds, counts, strict=True))
    return HistogramMetricFamily(
        f"apptuner_relay_{name}", text, buckets=buckets, sum_value=histogram.total
    )


def _reason(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return HTTPStatus(status).name.lower() if known else "other"


class MetricsResource(JsonResource):
    """The relay's own metrics, and those of its process."""

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._registry = CollectorRegistry()
        self._registry.register(MeterCollector(relay.meters))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def render_GET(self, request: Request) -> bytes:
        body, content_type = self._encode(header(request, "accept") or "")
        request.setHeader(b"content-type", content_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-length", str(len(body)).encode())
        return b"" if request.method == b"HEAD" else body

    def _encode(self, accept: str) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
            return encode(self._registry), content_type
        except (TypeError, ValueError):
            # prometheus-client compares versions as numbers, whatever a client says they are.
            encode, content_type = choose_encoder("")
            return encode(self._registry), content_type
