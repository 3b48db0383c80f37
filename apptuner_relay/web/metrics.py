"""``GET /metrics``: the meters for Prometheus, in its text format or OpenMetrics.

Each scrape reads `Meters` anew. Names and units follow Prometheus' conventions.
docs/reference/metrics.md is made from this module.
"""

from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from twisted.web.server import Request

from apptuner_relay import __version__
from apptuner_relay.access.access_control import DENIALS
from apptuner_relay.access.limits import LIMITS
from apptuner_relay.edge.prefixes import REASONS
from apptuner_relay.operator.cluster_view import ClusterView
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import AccessCounters, CertificateState, SpoolState
from apptuner_relay.operator.traffic import PATCH_RESULTS
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Role
from apptuner_relay.support.version import commit
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import JsonResource
from apptuner_relay.web.managed_metrics import managed_families
from apptuner_relay.web.metric_families import counter, counters, gauge, histogram
from apptuner_relay.web.request import RESULTS
from apptuner_relay.web.upload_answers import RESULTS as UPLOAD_RESULTS

STATES = ("ok", "degraded", "draining")
RELOAD_RESULTS = ("taken", "refused")
ALERT_RESULTS = ("delivered", "failed", "dropped")
_CLOSE_CODES = range(1000, 1016)
"""The codes of RFC 6455 and IANA's registry. Clients may send any other, too many for a label."""


class MeterCollector(Collector):
    """Makes Prometheus' metric families of `Meters`, anew for each scrape."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        yield from self._now()
        yield from self._traffic()
        yield from self._ends()
        yield from self._health()
        if self._meters.relay.spool is not None:
            yield from _spool(self._meters.relay.spool)
        if self._meters.certificate is not None:
            yield from _certificate(self._meters.certificate)
        if self._meters.cluster is not None:
            yield from _cluster(self._meters.cluster, self._meters.counters.inbound)
        if self._meters.managed is not None:
            yield from managed_families(self._meters.managed)

    def _now(self) -> Iterator[Metric]:
        meters = self._meters
        info = InfoMetricFamily("apptuner_relay", "Its version, its commit and the node's name.")
        labels = {"version": __version__, "commit": commit() or "", "node": meters.node}
        info.add_metric([], labels)
        yield info
        connections = GaugeMetricFamily(
            "apptuner_relay_connections", "Clients connected now.", labels=["role"]
        )
        accepted = CounterMetricFamily(
            "apptuner_relay_connections_accepted",
            "Clients that have connected.",
            labels=["role"],
        )
        for role in Role:
            connections.add_metric([role.value], meters.counters.connections[role])
            accepted.add_metric([role.value], meters.counters.accepted[role])
        yield connections
        yield accepted
        yield gauge("sessions", "Sessions with at least one client now.", meters.session_count)
        yield gauge(
            "paused_sources",
            "Clients that are not read from now, as their receivers or the disk are behind, or as "
            "they exceed --message-rate.",
            meters.paused_sources,
        )
        yield gauge(
            "slow_sinks",
            "Clients for which messages have been waiting for 5 seconds or more.",
            meters.slow_sinks,
        )

    def _traffic(self) -> Iterator[Metric]:
        meters = self._meters
        traffic = meters.counters.traffic
        messages = CounterMetricFamily(
            "apptuner_relay_messages",
            "Messages received from clients (in) and sent to clients (out), by type; "
            "notices are the relay's own.",
            labels=["direction", "kind"],
        )
        sizes = CounterMetricFamily(
            "apptuner_relay_message_bytes",
            "Bytes of those messages as received (out: once for each client that they were for).",
            labels=["direction", "kind"],
        )
        for kind, tally in traffic.tallies.items():
            messages.add_metric(["in", kind], tally.received)
            messages.add_metric(["out", kind], tally.sent)
            sizes.add_metric(["in", kind], tally.received_bytes)
            sizes.add_metric(["out", kind], tally.sent_bytes)
        yield messages
        yield sizes
        yield counters(
            "bytes",
            "Bytes received from clients (in) and sent to clients (out) over WebSockets, with "
            "frame headers, and with cached bundles for phones that joined late.",
            "direction",
            {"in": meters.counters.bytes_in, "out": meters.counters.bytes_out},
        )
        yield counter("bundles", "Bundles passed from the desktop side to phones.", traffic.bundles)
        yield histogram("bundle_size_bytes", "Size of a bundle as received.", traffic.bundle_sizes)
        yield histogram(
            "bundle_duration_seconds",
            "Time from a bundle's first byte received to its last.",
            traffic.bundle_durations,
        )

        yield counters(
            "patches",
            "Patches that CLIs and uploads have sent, by result.",
            "result",
            {result: traffic.patches[result] for result in PATCH_RESULTS},
        )
        yield counter(
            "patch_saved_bytes",
            "Bytes by which the patches that phones were sent are smaller than the code that they "
            "make.",
            traffic.patch_saved_bytes,
        )

    def _ends(self) -> Iterator[Metric]:
        meters = self._meters
        counts = {str(code): 0 for code in (1000, 1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013)}
        for code, count in meters.counters.closes.items():
            label = str(code) if code in _CLOSE_CODES else "other"
            counts[label] = counts.get(label, 0) + count
        yield counters(
            "closes",
            "WebSocket connections that have ended, by close code (1005: none given, 1006: lost, "
            "other: a code of an application).",
            "code",
            counts,
        )
        reasons = {_reason(status): 0 for status in (400, 401, 403, 404, 409, 429, 503)}
        for status, count in meters.counters.refusals.items():
            reasons[_reason(status)] = reasons.get(_reason(status), 0) + count
        yield counters(
            "handshakes_refused",
            "WebSocket handshakes that were refused, by the name of the HTTP status.",
            "reason",
            reasons,
        )
        yield counters(
            "turned_away",
            "Connections that ended before HTTP began, by reason.",
            "reason",
            {why: meters.counters.turned_away[why] for why in REASONS},
        )
        yield counters(
            "forwarded",
            "Requests for other programs (--forward), by result.",
            "result",
            {result: meters.counters.forwarded[result] for result in RESULTS},
        )
        yield counters(
            "uploads",
            "Bundles that were uploaded over HTTP, by the status of the answer; lost is for those "
            "whose client disconnected before it.",
            "result",
            {result: meters.counters.uploads[result] for result in UPLOAD_RESULTS}
            | meters.counters.uploads,
        )
        yield from _access(meters.relay.access)
        yield counter(
            "logs_dropped",
            "Console logs that were dropped, because their phone exceeded --message-rate.",
            meters.counters.traffic.dropped_logs,
        )
        yield counter(
            "throttled",
            "Times that the relay paused reading from a client that exceeded --message-rate.",
            meters.counters.traffic.throttled,
        )

    def _health(self) -> Iterator[Metric]:
        meters = self._meters
        state = GaugeMetricFamily(
            "apptuner_relay_state", "1 for the state that /health reports.", labels=["state"]
        )
        for name in STATES:
            state.add_metric([name], meters.health.state == name)
        yield state
        warning = GaugeMetricFamily(
            "apptuner_relay_worry",
            "1 while a warning or notice is active, 0 while its condition is watched.",
            labels=["name", "level"],
        )
        active = {one.name for one in meters.health.conditions.active}
        for name, level in meters.health.conditions.levels.items():
            warning.add_metric([name, level.value], name in active)
        yield warning
        yield counters(
            "alerts",
            "Alerts to --alert-url, by result.",
            "result",
            {result: meters.counters.alerts[result] for result in ALERT_RESULTS},
        )
        if meters.log is not None:
            yield counter(
                "log_lines_dropped",
                "Log lines that were dropped, as nobody read the log or it could not be written.",
                meters.log.dropped,
            )
        yield gauge(
            "loop_lag_seconds",
            "The longest delay of the event loop in the last ten seconds or so.",
            meters.sampler.loop_lag_ms / 1000,
        )
        limit = meters.process.memory_limit
        if limit is not None:
            yield gauge(
                "memory_limit_bytes",
                "Memory that the process may use (--memory-limit, or the control group's).",
                limit,
            )


def _access(access: AccessCounters) -> Iterator[Metric]:
    yield counters(
        "limited",
        "Clients that were refused because they exceeded a limit, by the option that sets it.",
        "limit",
        {limit: access.limited[limit] for limit in LIMITS},
    )
    yield counters(
        "denied",
        "Clients that were refused for a missing or wrong credential or origin.",
        "reason",
        {reason: access.denied[reason] for reason in DENIALS},
    )
    yield counter(
        "failed_joins",
        "Joins of sessions that nobody was in, and wrong secrets; each counts once for an address.",
        access.failed_joins,
    )


def _spool(spool: SpoolState) -> Iterator[Metric]:
    yield gauge("spool_up", "1 while bundles are cached, 0 while the disk fails.", not spool.off)
    yield gauge("spool_bundles", "Bundles that are cached.", spool.bundles)
    yield gauge("spool_bytes", "Disk space that cached bundles take.", spool.used_bytes)
    yield gauge(
        "spool_limit_bytes", "Disk space that they may take (--spool-limit).", spool.limit_bytes
    )
    yield gauge(
        "spool_backlog_bytes", "Bytes that wait to be written to disk.", spool.backlog_bytes
    )
    yield counter(
        "spool_evicted", "Cached bundles that were evicted for want of room.", spool.evicted
    )
    yield counter("spool_failures", "Times that the disk has failed.", spool.failures)


def _certificate(certificate: CertificateState) -> Iterator[Metric]:
    yield gauge(
        "certificate_expiry_timestamp_seconds",
        "When the TLS certificate expires, in seconds since the epoch.",
        certificate.expires_s,
    )
    yield counters(
        "certificate_reloads",
        "Times that the TLS certificate's files have changed, by result.",
        "result",
        {result: certificate.reloads.get(result, 0) for result in RELOAD_RESULTS},
    )


def _cluster(cluster: ClusterView, inbound: int) -> Iterator[Metric]:
    directory = cluster.directory
    yield gauge(
        "redis_up",
        "1 while Redis is connected, 0 while it is unreachable.",
        directory.state != "away",
    )
    claims = cluster.claims
    if claims is not None:
        yield gauge(
            "claims_up",
            "1 while claims are shared, 0 while this relay knows only those that it has seen.",
            claims.state == "connected",
        )
        yield counter(
            "claims_refusals",
            "Times that Redis has refused a command for a claim.",
            claims.refusals,
        )
    yield gauge(
        "redis_evicts",
        "1 if Redis drops keys when it is full (maxmemory-policy), as far as it says.",
        directory.eviction_policy is not None,
    )
    yield gauge("nodes", "Relays that share sessions, as they were seen last.", len(cluster.nodes))
    yield gauge(
        "bridged_clients",
        "Clients connected here whose sessions other relays own.",
        cluster.bridged_count,
    )
    yield gauge(
        "visitors",
        "Members of this relay's sessions that are connected to other relays, and counted there.",
        inbound,
    )
    done = directory.counters
    yield counter("directory_commands", "Commands sent to Redis.", done.commands)
    yield counter(
        "directory_claims", "Times that the owner of a session was looked up.", done.claims
    )
    yield counter(
        "directory_leases_lost",
        "Sessions that this relay lost to another one, or whose lease expired.",
        done.lost,
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
            # prometheus-client compares versions as numbers, and clients may send any text.
            encode, content_type = choose_encoder("")
            return encode(self._registry), content_type
