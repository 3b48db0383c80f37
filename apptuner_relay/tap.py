"""Where the parts are put together: ``twistd apptuner-relay`` calls `makeService`."""

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.access.journal import Journal
from apptuner_relay.bundles.disk import Spares, ThreadedDisk
from apptuner_relay.bundles.offload import Offload
from apptuner_relay.bundles.store import Store
from apptuner_relay.clocks import use_monotonic_clock
from apptuner_relay.listeners import Listener, addresses, is_adopted, make_listeners
from apptuner_relay.logs import Log, make_log
from apptuner_relay.meters.alerts import Alerts, WebhookPoster
from apptuner_relay.meters.process import raise_descriptors_limit
from apptuner_relay.meters.reporting import Reporting
from apptuner_relay.meters.state import find_directory
from apptuner_relay.notify import Notifier
from apptuner_relay.options import Options, Settings
from apptuner_relay.service import RelayService
from apptuner_relay.signals import SignalCalls
from apptuner_relay.web.site import make_site

__all__ = ["Options", "makeService"]

MOST_SPARE_BYTES = 128 * 1024 * 1024
GC_THRESHOLDS = (20_000, 10, 10)
FEW_DESCRIPTORS = 4096


def tune_collector() -> None:
    """Have Python's garbage collector look less often, and never at what start-up made.

    The relay makes hardly any garbage that needs the collector, but with thousands of connections
    there is much to look at each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def tune_descriptors() -> None:
    """Take as many file descriptors as we may, and say so when they are few."""
    limit = raise_descriptors_limit()
    if limit < FEW_DESCRIPTORS:
        Logger().warn(
            "only {limit} file descriptors: a client takes one, and who comes when there are none "
            "left is refused. Raise the hard limit (ulimit -Hn, LimitNOFILE)",
            limit=limit,
        )


def make_store(settings: Settings, reactor: Any) -> Store | None:
    """Where bundles are kept, unless the operator wants none of that."""
    if settings.spool_dir is None:
        return None
    spares = Spares(min(settings.spool_limit // 8, MOST_SPARE_BYTES))
    disk = ThreadedDisk(reactor, reactor.getThreadPool(), spares)
    offload = Offload(reactor, settings.max_message)
    return Store(settings, Path(settings.spool_dir), reactor, disk, offload)


class Tree(MultiService):
    """All of the relay's services. They stop one after the other, the last one first.

    :param events: what takes the log; None where twistd knows.
    """

    log = Logger()

    def __init__(self, events: Log | None) -> None:
        super().__init__()
        self._events = events

    def setServiceParent(self, parent: object) -> None:
        """As any service's; an application is also told of the log's observer, before it starts to
        log."""
        if self._events is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._events.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """As any service's. A daemon has forked by now, so that a thread may write the log."""
        if self._events is not None:
            self._events.writer.start()
        super().privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Fires when all have stopped; one that fails to is logged, and holds up nobody."""
        Service.stopService(self)

        async def stop() -> None:
            for service in reversed(self.services):
                try:
                    await maybeDeferred(service.stopService)
                except Exception:  # whatever it is, the others are to stop as well
                    self.log.failure("{service} failed to stop", service=service)

        return Deferred.fromCoroutine(stop())


def make_relay_log(options: Options, calls: SignalCalls, reactor: Any) -> Log | None:
    """The log, where twistd is told of no other observer (``--logger``); exits with one line if it
    can't be had."""
    twistd = options.parent
    if twistd is None or twistd.get("logger"):
        return None
    form = options.settings.log_format
    try:
        log = make_log(twistd, form)
    except ValueError as wrong:
        sys.exit(f"apptuner-relay: --log-format: {wrong}")
    except OSError as wrong:
        sys.exit(f"apptuner-relay: --logfile: {wrong.filename}: {wrong.strerror}")
    if log.file is not None:
        calls.reload("the log file", log.reopen)
        calls.rotate(log.rotate)
    # What twistd says last comes after that.
    reactor.addSystemEventTrigger("after", "shutdown", log.writer.finish)
    return log


def make_reporting(relay: RelayService, reactor: IReactorTime) -> Reporting:
    """What tells the operator of the relay."""
    settings, meters = relay.settings, relay.meters
    alerts = None
    if settings.alert_url is not None:
        alerts = Alerts(WebhookPoster(settings.alert_url, reactor), reactor, meters.alerts)
    directory = find_directory(settings.state_dir, os.environ)
    return Reporting(meters, reactor, directory, alerts)


def make_journals(relay: RelayService, reactor: Any) -> list[IService]:
    """What has the claims of a relay without others outlive it, if it may keep anything."""
    directory = find_directory(relay.settings.state_dir, os.environ)
    claims = relay.access.claims
    if directory is None or not isinstance(claims, MemoryClaims):
        return []
    return [Journal(claims, directory, reactor, relay.wall_s)]


def makeService(options: Options) -> IService:
    """The service tree: the relay, what reports of it, and the ports on which it is served."""
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    use_monotonic_clock(reactor)
    tune_collector()
    tune_descriptors()
    calls = SignalCalls(reactor)
    calls.install()
    log = make_relay_log(options, calls, reactor)
    tree = Tree(log)
    store = make_store(options.settings, reactor)
    relay = RelayService(options.settings, reactor, store)
    if log is not None:
        relay.meters.watch_log(log.writer)
    listeners: list[IService] = []
    cluster = None
    if options.settings.redis is not None:
        try:
            # Importing it needs a package that a relay without others does without.
            from apptuner_relay.cluster.node import make_node

            cluster = make_node(relay, reactor, lambda: addresses(listeners))
        except ImportError as missing:
            sys.exit(
                f"apptuner-relay: --redis: {missing}; install apptuner-relay with its extra redis"
            )
        except ValueError as wrong:
            sys.exit(f"apptuner-relay: {wrong}")
    if cluster is None:
        site = make_site(relay, reactor)
    else:
        site = make_site(relay, reactor, cluster.peers, cluster.shelves)
    listeners += make_listeners(options, relay, site, reactor, calls)
    relay.hands_over = all(is_adopted(one) for one in listeners if isinstance(one, Listener))
    notifier = Notifier(reactor, os.environ, lambda: show_status(relay))
    reactor.addSystemEventTrigger("before", "shutdown", notifier.begin_stop)
    reactor.addSystemEventTrigger("before", "shutdown", heed_another_signal, relay, reactor)
    # The first one stops last. While the relay drains, others answer on its adopted sockets, and
    # nobody but itself on those of its own.
    services: list[IService] = [notifier, make_reporting(relay, reactor)]
    services += make_journals(relay, reactor)
    if store is not None:
        services.append(store)
    if cluster is not None:
        services.append(cluster.homes)
        if cluster.claims is not None:
            services.append(cluster.claims)
    services += [one for one in listeners if not is_adopted(one)]
    services.append(relay)
    services += [one for one in listeners if is_adopted(one)]
    for service in services:
        service.setServiceParent(tree)
    return tree


def show_status(relay: RelayService) -> str:
    """What ``systemctl status`` shows."""
    if relay.drain is not None:
        return f"draining: {relay.drain.status}"
    return f"{len(relay.sessions)} sessions, {relay.connections} connections"


def heed_another_signal(relay: RelayService, reactor: Any) -> None:
    """The relay stops: one more SIGTERM or SIGINT has it end at once. Twisted alone would complain
    that it stops already."""

    def again(number: int, frame: object) -> None:
        # Should even that take too long, the next one kills.
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(hurry, signal.Signals(number).name)

    def hurry(name: str) -> None:
        if relay.drain is not None:
            relay.log.info("received {name} again: not waiting for anybody", name=name)
            relay.drain.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, again)
