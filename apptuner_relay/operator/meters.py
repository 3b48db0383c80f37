"""`Meters`: the counters, the samples and the conditions of one relay, put together.

`views` shows them as JSON, `web.metrics` to Prometheus, `reporting` in the log and in alerts.
"""

import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.operator.bundle_outcomes import BundleOutcomes
from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.bundle_records import BundleRecords
from apptuner_relay.operator.capacity import Capacity
from apptuner_relay.operator.cluster_view import ClusterView, watch_cluster
from apptuner_relay.operator.counters import Counters
from apptuner_relay.operator.day_counter import DayCounter
from apptuner_relay.operator.event_feed import EventFeed
from apptuner_relay.operator.event_list import EventList
from apptuner_relay.operator.health import Health
from apptuner_relay.operator.log_writer import LogWriter
from apptuner_relay.operator.managed_view import ManagedView, watch_managed
from apptuner_relay.operator.observed import (
    CertificateState,
    ClaimsFileState,
    ClientView,
    RelayView,
)
from apptuner_relay.operator.phone_record import PhoneRecord
from apptuner_relay.operator.process import ProcessUse
from apptuner_relay.operator.sampler import Sampler
from apptuner_relay.operator.thresholds import (
    watch_certificate,
    watch_claims_file,
    watch_cpu,
    watch_days,
    watch_descriptors,
    watch_log,
    watch_loop_lag,
    watch_process,
    watch_sessions,
    watch_spool,
)
from apptuner_relay.support.clocks import WallClock, in_ms

_SLOW_AFTER_S = 5.0
"""A client is slow when for so long some of what it was sent has always been waiting."""


class Meters:
    """What an operator may know of a relay.

    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(
        self, settings: WarningSettings, clock: IReactorTime, wall_s: WallClock, relay: RelayView
    ) -> None:
        self.settings = settings
        self.wall_s = wall_s
        self.relay = relay
        self.node = socket.gethostname()
        """How operators name this relay: its name in the cluster, where it is in one."""
        self._clock = clock
        self._began_s = clock.seconds()
        self.started_s = wall_s()
        """When this relay started, by the wall clock as it was then."""

        def session_count() -> int:
            return self.session_count

        self.counters = Counters(relay.clients, clock.seconds)
        self.events = EventList(clock.seconds, wall_s)
        """What has happened last."""
        self.feed = EventFeed(self.events)
        self.process = ProcessUse(settings.memory_limit, clock.seconds)
        self.capacity = Capacity(self.process, session_count, settings)
        self.sampler = Sampler(self.counters, session_count, self.process.cpu, clock, wall_s)
        self.days = DayCounter(self.counters, session_count, wall_s)
        self.health = Health(self.process, session_count, relay, clock, wall_s)
        self.bundles = BundleRecords(clock, wall_s)
        """What became of the last bundles of each session."""
        self.bundles.subscribe(self._settled)
        self.bundles.subscribe_phones(self._answered)
        self.outcomes = BundleOutcomes()
        self.bundles.subscribe(self.outcomes.settled)
        self.bundles.subscribe_phones(self.outcomes.phone_ended)
        self.certificate: CertificateState | None = None
        """None where there is no TLS."""
        self.claims_file: ClaimsFileState | None = None
        """None for a relay that keeps no claims in a file."""
        self.log: LogWriter | None = None
        """None where twistd was told of another log observer."""
        self.cluster: ClusterView | None = None
        """None for a relay that is alone."""
        self.managed: ManagedView | None = None
        """None without ``--managed``."""
        conditions, health = self.health.conditions, self.health
        watch_sessions(conditions, lambda: health.fewest_sessions, settings)

        def loop_lag_ms() -> float:
            return self.sampler.loop_lag_ms

        watch_cpu(conditions, self.process, self.capacity, loop_lag_ms, settings)
        watch_loop_lag(conditions, loop_lag_ms, settings)
        watch_process(conditions, self.process, settings)
        if relay.spool is not None:
            watch_spool(conditions, relay.spool, clock.seconds, settings.warning_time)
        watch_descriptors(conditions, relay.descriptors)

    def watch_certificate(self, certificate: CertificateState) -> None:
        """TLS clients are shown ``certificate``."""
        self.certificate = certificate
        days = self.settings.tls_expiry_days
        watch_certificate(self.health.conditions, certificate, self.wall_s, days)

    def watch_cluster(self, cluster: ClusterView) -> None:
        """The relay shares sessions with others, among which it has a name. May be called again
        with the same cluster."""
        if self.cluster is None:
            self.cluster = cluster
            watch_cluster(self.health.conditions, cluster, self._clock.seconds)
        self.node = cluster.node

    def watch_managed(self, managed: ManagedView) -> None:
        """A managed service carries channels of the relay's sessions. May be called again with the
        same service."""
        if self.managed is None:
            self.managed = managed
            watch_managed(self.health.conditions, managed, self._clock.seconds)

    def watch_claims_file(self, file: ClaimsFileState) -> None:
        """Claims are kept in ``file``."""
        self.claims_file = file
        watch_claims_file(self.health.conditions, file)

    def watch_days(self, trouble: Callable[[], str | None]) -> None:
        """Daily metrics are saved, unless there is ``trouble``."""
        watch_days(self.health.conditions, trouble)

    def watch_log(self, log: LogWriter) -> None:
        """The relay logs to ``log``."""
        self.log = log
        watch_log(self.health.conditions, log)

    def connected(self, client: ClientView) -> None:
        """A client has joined a session."""
        self.days.turn()
        self.counters.count_connected(client)
        self.feed.connected(client)
        if client.through is None:
            self.days.count_connected()

    def disconnected(
        self, client: ClientView, code: int, why: str = "", lasted_s: float | None = None
    ) -> None:
        """A client's connection has ended, which was there for ``lasted_s``; ``code`` is the close
        code (RFC 6455 §7.4.1)."""
        self.health.note_sessions()
        self.counters.count_disconnected(client, code)
        self.feed.disconnected(client, code, why, lasted_s)

    def _settled(self, record: BundleRecord) -> None:
        """No phone of a bundle is waited for any more."""
        self.feed.settled(record)
        acknowledged_s = record.acknowledged_s
        if acknowledged_s is not None:
            self.days.count_reload(acknowledged_s)
            self.sampler.count_reload(acknowledged_s)
        for phone in record.live:
            self._answered(phone)

    def _answered(self, phone: PhoneRecord) -> None:
        """Nothing is awaited of a phone any more, for a bundle that it got."""
        if phone.state is BundlePhoneState.FAILED:
            self.feed.failed(phone)
            self.days.count_failed()
            self.sampler.count_failed()

    def sample(self) -> None:
        """To be called every `SAMPLE_INTERVAL_S`."""
        self.days.turn()
        self.sampler.sample()

    def wall_ms(self, at_s: float) -> int:
        """A time of the monotonic clock in ms since the epoch, by the wall clock as it was when
        this relay started: the same time is always shown alike."""
        return in_ms(self.started_s + at_s - self._began_s)

    @property
    def now_s(self) -> float:
        """The monotonic clock's time."""
        return self._clock.seconds()

    @property
    def uptime_s(self) -> float:
        """For how long the relay has been running."""
        return self.now_s - self._began_s

    @property
    def session_count(self) -> int:
        """How many sessions there are now."""
        return len(self.relay.sessions)

    @property
    def paused_sources(self) -> int:
        """How many clients are not read from, because others don't take what they send."""
        return sum(client.source.held for client in self.relay.clients)

    @property
    def slow_sinks(self) -> int:
        """How many clients are slow; see `is_slow`."""
        return sum(self.is_slow(client) for client in self.relay.clients)

    def is_slow(self, client: ClientView) -> bool:
        """Whether some of what ``client`` was sent has been waiting for 5 seconds or more."""
        return self.relay.slow.waits_s(client.sink) >= _SLOW_AFTER_S
