"""Puts the parts together: ``twistd apptuner-relay`` calls `makeService`. This is the only module
that subscribes one part to another.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from apptuner_relay.access.claims import Claims
from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import Settings
from apptuner_relay.edge.endpoints import (
    addresses,
    are_adopted,
    is_adopted,
    make_listeners,
    shown_addresses,
)
from apptuner_relay.flow.workers import ThreadWorkers
from apptuner_relay.operator.alerts import Alerts, WebhookPoster
from apptuner_relay.operator.audit import Actor, Audit
from apptuner_relay.operator.first_line import FirstLine
from apptuner_relay.operator.log_threshold import LogThreshold
from apptuner_relay.operator.logs import RelayLog, make_log
from apptuner_relay.operator.process import raise_descriptors_limit
from apptuner_relay.operator.reporting import Reporting
from apptuner_relay.operator.signals import SignalCalls
from apptuner_relay.operator.state_check import check_state_directory
from apptuner_relay.operator.state_file import StateError, find_directory
from apptuner_relay.operator.systemd import SystemdNotifier
from apptuner_relay.relay.config_reload import ConfigReload
from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.kept_state import make_kept_state
from apptuner_relay.relay.service import RelayService
from apptuner_relay.spool.code.offload import Offload
from apptuner_relay.spool.disk import ThreadedDisk
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.store import Store
from apptuner_relay.support.clocks import use_monotonic_clock
from apptuner_relay.support.private_names.of_twisted import read_directly
from apptuner_relay.web.site import PeerParts, make_site

if TYPE_CHECKING:
    from apptuner_relay.cluster.node import ClusterNode
    from apptuner_relay.cluster.ownership.redis_claims import RedisClaims
    from apptuner_relay.managed.assembly import ManagedParts
    from apptuner_relay.managed.own_server.authorization import PeerAuthorizations

__all__ = ["Options", "makeService"]

MOST_SPARE_BYTES = 256 * 1024 * 1024
"""Enough for 16 sessions that send 15 MB bundles all the time: each has a spare file beside its
cached bundle."""
GC_THRESHOLDS = (5_000, 5, 80)
"""A crowd of clients makes 60 objects each, which all stay. Of the second generation 30,000 are
looked at in 15 ms; all that a crowd of 4,000 makes would hold up the others for 100 ms."""
FEW_DESCRIPTORS = 4096
_ENDING_S = 30.0
"""What a relay that ends may take beside what its options say."""


def tune_collector() -> None:
    """Have Python's garbage collector run less often, and never look at objects of the start-up.

    The relay makes hardly any garbage that needs the collector, but with thousands of connections
    each run has many objects to look at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def tune_descriptors() -> None:
    """Raise the limit of file descriptors to what is allowed, and warn when that is low."""
    limit = raise_descriptors_limit()
    if limit < FEW_DESCRIPTORS:
        Logger().warn(
            "only {limit} file descriptors: a client takes one, and clients are refused when none "
            "is left. Raise the hard limit (ulimit -Hn, LimitNOFILE)",
            limit=limit,
        )


def make_store(settings: Settings, reactor: Any) -> Store | None:
    """The store of cached bundles; None where the operator has turned it off."""
    if settings.bundles.spool_dir is None:
        return None
    spares = Spares(min(settings.bundles.spool_limit // 8, MOST_SPARE_BYTES))
    disk = ThreadedDisk(reactor, reactor.getThreadPool(), spares)
    offload = Offload(reactor, settings.limits.max_message)
    return Store(
        settings.bundles,
        settings.limits.max_message,
        Path(settings.bundles.spool_dir),
        reactor,
        disk,
        offload,
    )


class Tree(MultiService):
    """All services of the relay. They stop one after the other, the last one first.

    :param events: what takes the log; None where twistd knows.
    :param on_listening: called when all endpoints are listened on.
    """

    log = Logger()

    def __init__(self, events: RelayLog | None, on_listening: Callable[[], None]) -> None:
        super().__init__()
        self._events = events
        self._on_listening = on_listening

    def setServiceParent(self, parent: object) -> None:
        """See `IService`. An application is also given the log's observer, before it logs."""
        if self._events is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._events.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """See `IService`. A daemon has forked by now, so a thread may write the log."""
        if self._events is not None:
            self._events.writer.start()
        super().privilegedStartService()
        self._on_listening()

    def stopService(self) -> Deferred[None]:
        """Fires when all services have stopped; the failure of one is logged, and the others stop
        all the same."""
        Service.stopService(self)

        async def stop() -> None:
            for service in reversed(self.services):
                try:
                    await maybeDeferred(service.stopService)
                except Exception:  # whatever it is, the other services are to stop
                    self.log.failure("{service} failed to stop", service=service)

        return Deferred.fromCoroutine(stop())


def make_relay_log(
    options: Options, calls: SignalCalls, reactor: Any, threshold: LogThreshold
) -> RelayLog | None:
    """The relay's log, unless twistd is told of another observer (``--logger``). Exits with one
    line on stderr if the log can't be opened."""
    twistd = options.parent
    if twistd is None or twistd.get("logger"):
        return None
    form = options.settings.logs.log_format
    try:
        log = make_log(twistd, form, threshold)
    except ValueError as wrong:
        sys.exit(f"apptuner-relay: --log-format: {wrong}")
    except OSError as wrong:
        sys.exit(f"apptuner-relay: --logfile: {wrong.filename}: {wrong.strerror}")
    if log.file is not None:
        calls.reload("the log file", log.reopen)
        calls.rotate(log.rotate)

    def toggle() -> None:
        threshold.toggle()
        Audit().record(Actor(None, "signal"), f"log level {threshold.level}")

    calls.toggle(toggle)
    # twistd logs its last lines after "during".
    reactor.addSystemEventTrigger("after", "shutdown", log.writer.finish)
    return log


def hand_over_s(settings: Settings) -> float:
    """How long a relay that hands over its sockets to this one may take to end."""
    if not are_adopted(settings.listening.listen):
        return 0.0
    return settings.limits.drain_timeout + settings.limits.drain_spread + _ENDING_S


def make_reporting(relay: RelayService, reactor: IReactorTime) -> Reporting:
    """What reports of the relay: log lines, day book, alerts."""
    settings, meters = relay.settings, relay.meters
    alerts = None
    if settings.warnings.alert_url is not None:
        alerts = Alerts(
            WebhookPoster(settings.warnings.alert_url, reactor), reactor, meters.counters.alerts
        )
    directory = find_directory(settings.logs.state_dir, os.environ)
    patience_s = hand_over_s(settings)
    reporting = Reporting(
        meters,
        reactor,
        settings.logs.log_interval,
        directory,
        alerts,
        patience_s=patience_s,
    )
    if directory is not None:
        meters.watch_days(lambda: reporting.trouble)
    return reporting


class ClusterParts(NamedTuple):
    """What `make_cluster` has made."""

    relay: RelayService
    node: "ClusterNode"
    claims: "RedisClaims | None"
    """None where the settings ask for none."""


def make_cluster(
    settings: Settings,
    reactor: Any,
    make_relay: Callable[[Claims | None], RelayService],
    addresses: Callable[[], Sequence[IAddress | None]],
) -> ClusterParts:
    """The relay and what has it share its sessions with others. Exits with one line on stderr if
    something in the settings can't be used.

    :param make_relay: is passed the claims that all relays share, if there are to be any.
    :param addresses: tells where the relay listens, once its services start.
    """
    try:
        # It imports a package that a relay without ``--redis`` does not need.
        from apptuner_relay.cluster.node import make_node, make_shared_claims

        claims = make_shared_claims(settings, reactor)
        relay = make_relay(claims)
        return ClusterParts(relay, make_node(relay, reactor, addresses, claims), claims)
    except ImportError as missing:
        sys.exit(f"apptuner-relay: --redis: {missing}; install apptuner-relay with its extra redis")
    except ValueError as wrong:
        sys.exit(f"apptuner-relay: {wrong}")


def make_managed_parts(
    relay: RelayService, reactor: Any, cluster: ClusterParts | None
) -> "ManagedParts | None":
    """What carries channels of a managed service; None without ``--managed``. Exits with one line
    on stderr if something in the settings can't be used."""
    if relay.settings.managed.managed is None:
        return None
    # Most relays need none of it.
    from apptuner_relay.managed.assembly import make_managed

    peers: PeerAuthorizations | None = None
    if cluster is not None:
        from apptuner_relay.cluster.authorization_proxy import AuthorizationProxy

        peers = AuthorizationProxy(cluster.node.placement, reactor, cluster.node.trust)
    try:
        return make_managed(relay, reactor, peers)
    except ValueError as wrong:
        sys.exit(f"apptuner-relay: {wrong}")


def makeService(options: Options) -> IService:
    """The service tree: the relay, its reporting, its store and its listeners."""
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    use_monotonic_clock(reactor)
    read_directly(reactor)
    if options["check"]:
        # Most of the time it isn't needed.
        from apptuner_relay.config_check import check_and_exit

        check_and_exit(options, reactor)
    try:
        adopts = are_adopted(options.settings.listening.listen)
        check_state_directory(options.settings.logs.state_dir, options.parent or {}, adopts)
    except StateError as wrong:
        sys.exit(f"apptuner-relay: --state-dir: {wrong}")
    tune_collector()
    tune_descriptors()
    calls = SignalCalls(reactor)
    calls.install()
    threshold = LogThreshold(options.settings.logs.log_level, reactor)
    log = make_relay_log(options, calls, reactor, threshold)
    listeners: list[IService] = []
    first_line = FirstLine(options.in_force, lambda: shown_addresses(listeners))

    def on_listening() -> None:
        first_line.write()
        site.log_what_is_missing()
        for spelling, name in options.old_spellings:
            Tree.log.warn(
                "{spelling} is an older spelling: use --tune {name}=VALUE or APPTUNER_TUNE",
                spelling=spelling,
                name=name,
            )

    tree = Tree(log, on_listening)
    store = make_store(options.settings, reactor)
    workers = ThreadWorkers(reactor)
    reactor.addSystemEventTrigger("during", "shutdown", workers.stop)
    hooks = RelayHooks()
    settings = options.settings
    cluster: ClusterParts | None = None

    def make_relay(claims: Claims | None) -> RelayService:
        sockets = are_adopted(settings.listening.listen)
        return RelayService(
            settings, reactor, workers, store, hooks=hooks, claims=claims, shares_sockets=sockets
        )

    if settings.cluster.redis is None:
        relay = make_relay(None)
    else:
        cluster = make_cluster(settings, reactor, make_relay, lambda: addresses(listeners))
        relay, node = cluster.relay, cluster.node
        hooks.subscribe_placement(node.placement)
        hooks.subscribe_undelivered(node.placement.remotes.undelivered_sessions)
        if cluster.claims is not None:
            cluster.claims.on_lost = relay.access.lose_claim
            cluster.claims.on_released = relay.access.forget
    managed = make_managed_parts(relay, reactor, cluster)
    more = {} if managed is None else managed.resources
    if managed is not None:
        app_server = managed.app_server
        hooks.subscribe_closing(lambda: app_server.count)
    peers = None
    if cluster is not None:
        peers = PeerParts(node.peers, node.bundles, node.sessions, node.claim_register)
    own = None if log is None else threshold
    relay.live.subscribe(lambda now: threshold.set_usual(now.logs.log_level))
    if options.config_path is not None:
        calls.reload("the configuration", ConfigReload(options, relay.live).reload)
    site = make_site(relay, reactor, peers, more, lambda: addresses(listeners), own)
    hooks.subscribe_downloads(site.count_transfers)
    hooks.subscribe_silent_connections(site.count_silent)
    if log is not None:
        hooks.subscribe_log_level(lambda: threshold.level == "debug")
        relay.meters.watch_log(log.writer)
    listeners += make_listeners(options, relay, site, reactor, calls)
    notifier = SystemdNotifier(reactor, os.environ, lambda: show_status(relay))
    reactor.addSystemEventTrigger("before", "shutdown", notifier.begin_stop)
    reactor.addSystemEventTrigger("before", "shutdown", hurry_on_second_signal, relay, reactor)
    # The first one stops last. While the relay drains, its successor answers on adopted sockets,
    # but nobody else can answer on sockets of its own.
    services: list[IService] = [notifier, make_reporting(relay, reactor)]
    services += make_kept_state(relay, reactor, hand_over_s(relay.settings))
    if store is not None:
        services.append(store)
    if cluster is not None:
        services.append(cluster.node.placement)
        if cluster.claims is not None:
            services.append(cluster.claims)
    if managed is not None:
        services += managed.services
    services += [one for one in listeners if not is_adopted(one)]
    services.append(relay)
    if managed is not None:
        services.append(managed.app_server)
    services += [one for one in listeners if is_adopted(one)]
    for service in services:
        service.setServiceParent(tree)
    return tree


def show_status(relay: RelayService) -> str:
    """What ``systemctl status`` shows."""
    if relay.shutdown is not None:
        return f"draining: {relay.shutdown.status}"
    drains = f"{relay.drain.state.value}, takes no new sessions: " if relay.drain.is_on else ""
    return f"{drains}{len(relay.sessions)} sessions, {relay.connections} connections"


def hurry_on_second_signal(relay: RelayService, reactor: Any) -> None:
    """The relay stops: one more SIGTERM or SIGINT ends it at once. Twisted alone would log an
    error, as it is stopping already."""

    def again(number: int, frame: object) -> None:
        # The signal after that kills the process.
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(hurry, signal.Signals(number).name)

    def hurry(name: str) -> None:
        if relay.shutdown is not None:
            relay.log.info("received {name} again: closing all clients at once", name=name)
            relay.shutdown.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, again)
