"""The meters for Prometheus, in its text format or OpenMetrics: what `metrics_resource` answers.

Each scrape reads `Meters` anew. Names and units follow Prometheus' conventions. The modules beside
this one whose names end in ``_metrics`` have the families of a part each; docs/reference/metrics.md
is made from all of them.
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

from apptuner_relay import __version__
from apptuner_relay.access.access_control import DENIALS
from apptuner_relay.access.limits import LIMITS
from apptuner_relay.edge.prefixes import REASONS
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import AccessCounters, CertificateState
from apptuner_relay.session.session import Role
from apptuner_relay.support.version import commit
from apptuner_relay.web.bundle_metrics import bundle_families, spool_families
from apptuner_relay.web.cluster_metrics import cluster_families
from apptuner_relay.web.managed_metrics import managed_families
from apptuner_relay.web.metric_families import counter, counters, gauge
from apptuner_relay.web.process_metrics import process_families
from apptuner_relay.web.request import RESULTS

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
        yield from process_families(self._meters)
        yield from bundle_families(self._meters)
        if self._meters.relay.spool is not None:
            yield from spool_families(self._meters.relay.spool)
        if self._meters.claims_file is not None:
            yield counter(
                "claims_bad_lines",
                "Lines of the file of claims that were none of a claim. They are in claims.bad.",
                self._meters.claims_file.bad_lines,
            )
        if self._meters.certificate is not None:
            yield from _certificate(self._meters.certificate)
        if self._meters.cluster is not None:
            yield from cluster_families(self._meters.cluster, self._meters.counters.inbound)
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


def _reason(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return HTTPStatus(status).name.lower() if known else "other"


class Exposition:
    """The relay's own metrics, and those of its process, as a scrape has them."""

    def __init__(self, meters: Meters) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(MeterCollector(meters))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def encode(self, accept: str) -> tuple[bytes, str]:
        """The body for a client that accepts this, and its content type."""
        try:
            encode, content_type = choose_encoder(accept)
            return encode(self._registry), content_type
        except (TypeError, ValueError):
            # prometheus-client compares versions as numbers, and clients may send any text.
            encode, content_type = choose_encoder("")
            return encode(self._registry), content_type
