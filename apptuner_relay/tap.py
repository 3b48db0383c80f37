"""Where the parts are put together: ``twistd apptuner-relay`` calls `makeService`."""

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService, MultiService, Service
from twisted.internet import endpoints
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.web.server import Site

from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.access.journal import Journal
from apptuner_relay.bundles.disk import Spares, ThreadedDisk
from apptuner_relay.bundles.offload import Offload
from apptuner_relay.bundles.store import Store
from apptuner_relay.certificate import BadCertificate
from apptuner_relay.clocks import use_monotonic_clock
from apptuner_relay.forwarded import NOBODY
from apptuner_relay.front import Complaints, Front, Prefixes, split_prefixes
from apptuner_relay.logs import json_observer
from apptuner_relay.meters.alerts import Alerts, WebhookPoster
from apptuner_relay.meters.process import raise_descriptors_limit
from apptuner_relay.meters.reporting import Reporting
from apptuner_relay.meters.state import find_directory
from apptuner_relay.notify import Notifier
from apptuner_relay.options import Options, Settings
from apptuner_relay.renewal import HangUp, Renewal
from apptuner_relay.secure import tune_tls
from apptuner_relay.service import RelayService
from apptuner_relay.transport import tune
from apptuner_relay.web.site import make_site

__all__ = ["Options", "makeService"]

ENDPOINT_EXAMPLES = (
    "try tcp:3000, tcp:3000:interface=127.0.0.1, unix:/run/relay.sock or tls:tcp:443"
)
MOST_SPARE_BYTES = 128 * 1024 * 1024
GC_THRESHOLDS = (20_000, 10, 10)
ADOPTED = "systemd:"
"""Endpoints whose sockets come from systemd, which holds them on while this relay restarts."""
FEW_DESCRIPTORS = 4096


class CannotListen(Exception):
    """An endpoint can't be listened on; the text says which, and why."""


class Listener(StreamServerEndpointService):
    """Listens on one endpoint. When it can't, the process ends with one line that says why."""

    log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        daemon: bool,
    ) -> None:
        super().__init__(endpoint, factory)
        self._description = description
        self.is_adopted = split_prefixes(description).endpoint.startswith(ADOPTED)
        self._daemon = daemon
        self._wrong: str | None = None
        self.address: IAddress | None = None
        """Where it listens, once it does, for plain HTTP."""

    def privilegedStartService(self) -> None:
        """:raises CannotListen: in a daemon, whose parent then reports it and exits with 1."""
        self._waitingForPort = self.endpoint.listen(self.factory)
        self._waitingForPort.addCallbacks(self._listening, self._failed)
        if self._wrong is None:
            return
        if self._daemon:
            raise CannotListen(self._wrong.removeprefix("cannot listen on "))
        # By now twistd has taken sys.stderr for the log.
        print(f"apptuner-relay: {self._wrong}", file=sys.__stderr__)
        sys.exit(1)

    def _listening(self, port: IListeningPort) -> IListeningPort:
        tune(port)
        tune_tls(port)
        prefixes = split_prefixes(self._description)
        if not (prefixes.proxied or prefixes.secure):
            self.address = port.getHost()
        front = self._description.removesuffix(prefixes.endpoint)
        self.log.info("listening on {address}", address=front + _show_address(port.getHost()))
        return port

    def _failed(self, failure: Failure) -> None:
        reason = getattr(failure.value, "socketError", failure.value)
        text = getattr(reason, "strerror", None) or str(reason)
        self._wrong = f"cannot listen on {self._description}: {text}"


def _show_address(address: object) -> str:
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'')}"
    host = getattr(address, "host", "?")
    return f"tcp:{f'[{host}]' if ':' in host else host}:{getattr(address, 'port', '?')}"


def _is_adopted(service: IService) -> bool:
    return isinstance(service, Listener) and service.is_adopted


def _addresses(services: list[IService]) -> list[IAddress | None]:
    return [one.address for one in services if isinstance(one, Listener)]


def make_listeners(
    options: Options, relay: RelayService, site: Site, reactor: Any
) -> list[IService]:
    """A `Listener` for each endpoint, and what keeps the certificate of those that speak TLS;
    exits with one line if one is no endpoint string."""
    # Endpoint plugins read files and parse numbers, and raise whatever that raises.
    daemon = options.parent is not None and not options.parent["nodaemon"]
    fronts = Fronts(relay, site, reactor)
    listeners = []
    for description in options.settings.listen:
        try:
            prefixes = split_prefixes(description)
            endpoint = endpoints.serverFromString(reactor, prefixes.endpoint)
        except Exception as wrong:
            why = f"{str(wrong) or type(wrong).__name__} ({ENDPOINT_EXAMPLES})"
            if ADOPTED in description and isinstance(wrong, LookupError):
                why = "systemd has passed no such socket on (is its .socket unit started?)"
            sys.exit(
                f"apptuner-relay: {options.listen_source}: {description!r} can't be listened on: "
                f"{why}"
            )
        try:
            factory = fronts.make(prefixes)
        except ValueError as wrong:
            sys.exit(f"apptuner-relay: {options.listen_source}: {description!r}: {wrong}")
        listeners.append(Listener(description, endpoint, factory, daemon))
    return [*listeners, *fronts.services]


class Fronts:
    """Makes what stands before the Site at each endpoint. `services` keep their certificate."""

    def __init__(self, relay: RelayService, site: Site, reactor: Any) -> None:
        self._relay = relay
        self._site = site
        self._reactor = reactor
        self._complaints = Complaints(relay.meters.turn_away, relay.clock.seconds)
        self._renewal: Renewal | None = None
        self.services: list[IService] = []

    def make(self, prefixes: Prefixes) -> IProtocolFactory:
        """:raises ValueError: an option that it needs is missing or wrong."""
        if not (prefixes.proxied or prefixes.secure):
            return self._site
        settings = self._relay.settings
        if prefixes.proxied and settings.trusted_proxy == NOBODY:
            raise ValueError("proxy: needs --trusted-proxy, which says whose PROXY headers count")
        return Front(
            self._site,
            self._reactor,
            settings.handshake_timeout,
            self._complaints,
            settings.trusted_proxy if prefixes.proxied else None,
            self._find_renewal() if prefixes.secure else None,
        )

    def _find_renewal(self) -> Renewal:
        if self._renewal is None:
            settings = self._relay.settings
            if settings.tls_cert is None:
                raise ValueError("tls: needs --tls-cert, the certificate's file")
            try:
                self._renewal = renewal = Renewal(
                    settings.tls_cert,
                    settings.tls_key,
                    self._reactor,
                    settings.tls_look,
                    self._relay.wall_s,
                )
            except BadCertificate as wrong:
                raise ValueError(f"--tls-cert, --tls-key: {wrong}") from None
            self._relay.meters.watch_certificate(renewal)
            self.services = [renewal, HangUp(self._reactor, renewal.reload)]
        return self._renewal


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
            "left has to wait. Raise the hard limit (ulimit -Hn, LimitNOFILE)",
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

    :param observer: what takes the log, when twistd isn't told otherwise; None for its own.
    """

    log = Logger()

    def __init__(self, observer: ILogObserver | None) -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: object) -> None:
        """As any service's; an application is also told of the observer, before it starts to
        log."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

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


def make_observer(options: Options, reactor: object) -> ILogObserver | None:
    """What ``--log-format`` asks for; exits with one line if it can't be had. None leaves the log
    to twistd."""
    twistd = options.parent
    if options.settings.log_format != "json" or twistd is None or twistd.get("logger"):
        return None
    try:
        return json_observer(twistd, reactor)
    except ValueError as wrong:
        sys.exit(f"apptuner-relay: --log-format: {wrong}")
    except OSError as wrong:
        sys.exit(f"apptuner-relay: --log-format: {wrong.filename}: {wrong.strerror}")


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
    tree = Tree(make_observer(options, reactor))
    store = make_store(options.settings, reactor)
    relay = RelayService(options.settings, reactor, store)
    listeners: list[IService] = []
    cluster = None
    if options.settings.redis is not None:
        try:
            # Importing it needs a package that a relay without others does without.
            from apptuner_relay.cluster.node import make_node

            cluster = make_node(relay, reactor, lambda: _addresses(listeners))
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
    listeners += make_listeners(options, relay, site, reactor)
    relay.hands_over = all(_is_adopted(one) for one in listeners if isinstance(one, Listener))
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
    services += [one for one in listeners if not _is_adopted(one)]
    services.append(relay)
    services += [one for one in listeners if _is_adopted(one)]
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
