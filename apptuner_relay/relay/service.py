"""`RelayService`: the relay as a Twisted service. It makes what all connections share, admits
clients, and starts and stops.

Nothing in here touches a socket; `web.front` and `edge.server` bring connections in. Where several
relays share their sessions, a `Placement` knows where a session's clients meet.
"""

import secrets
import time
from functools import cached_property

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.access.access_control import Access
from apptuner_relay.access.claims import Claims, MemoryClaims
from apptuner_relay.config.live_settings import LiveSettings
from apptuner_relay.config.settings import Settings
from apptuner_relay.flow.log_maker import LogMaker
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.workers import ThreadWorkers
from apptuner_relay.operator.bundle_log_lines import BundleLogLines
from apptuner_relay.operator.descriptors import FULL, DescriptorReserve
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import RelayView
from apptuner_relay.relay.client_registry import ClientRegistry
from apptuner_relay.relay.closing_groups import RESTARTS
from apptuner_relay.relay.drain import DRAINS, Drain
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow, make_flow
from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.housekeeping import Housekeeping
from apptuner_relay.relay.interfaces import ConnectedClient, DecideClaim, Place
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.member_context import MemberContext, OverRate
from apptuner_relay.relay.refusal_log import Refusal, RefusalLog, make_refusal
from apptuner_relay.relay.shutdown import Shutdown
from apptuner_relay.session.session import (
    Admission,
    BadRequest,
    Limits,
    Role,
    Session,
    asks_for_names,
    asks_for_patches,
    parse_device,
    read_agent,
    session_hash,
)
from apptuner_relay.spool.inflating import InflatingRecord
from apptuner_relay.spool.store import Store
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.clocks import WallClock, in_ms
from apptuner_relay.wire.frames import FrameReader


class LocalPlace:
    """A `Place` in a session that is here."""

    is_here = True

    def __init__(self, registry: ClientRegistry, admission: Admission) -> None:
        self._registry = registry
        self._admission = admission

    def check(self) -> None:
        """See `Place`."""
        self._registry.check_room(self._admission)

    def enter(self, connection: Connection) -> ConnectedClient:
        """See `Place`."""
        return self._registry.join(self._admission, connection)

    def abandon(self) -> None:
        """See `Place`."""


class RelayService(Service):
    """One relay. `registry` has its clients and its sessions.

    :param clock: the reactor, or a `task.Clock`.
    :param workers: the threads that convert logs to other forms.
    :param store: caches bundles, if they are to be cached.
    :param wall_s: the time of day (see `clocks`).
    :param hooks: what the relay asks of parts above it; none where it is alone.
    :param claims: the claims that several relays share; None has this relay keep its own, where the
        settings ask for claims.
    :param shares_sockets: whether other relays take connections where this one listens, so that it
        may stop listening while it drains, and need not refuse those that it has taken.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        workers: ThreadWorkers,
        store: Store | None = None,
        wall_s: WallClock = time.time,
        hooks: RelayHooks | None = None,
        claims: Claims | None = None,
        shares_sockets: bool = False,
    ) -> None:
        self.settings = settings
        """As they were at the start; `live` has those that may change."""
        self.live = LiveSettings(settings)
        self.clock = clock
        self.wall_s = wall_s
        self.store = store
        self.hooks = hooks or RelayHooks()
        self._shares_sockets = shares_sockets
        self.clients: set[ConnectedClient] = set()
        """All clients that are connected, those of other relays' sessions included."""
        self.sessions: dict[str, Session[Member]] = {}
        self.unfinished: set[ConnectedClient] = set()
        """Clients of which the rest of a message, or of a bundle, was yet to come."""
        scratch = (lambda key: None) if store is None else store.scratch
        self.logs = LogMaker(settings.limits.window, workers, scratch)
        rate, time_s = settings.slow.slow_rate, settings.slow.slow_time
        self._slow = SlowConsumers(rate, time_s, clock.seconds)
        self._never_slow = SlowConsumers(rate, time_s, clock.seconds)
        """Its clients are never closed for being slow."""
        self.descriptors = DescriptorReserve()
        """Whether file descriptors are left for clients."""
        if claims is None and settings.access.claims:
            claims = MemoryClaims(settings.access.claim_ttl, clock.seconds)
        proxies = settings.listening.trusted_proxy.networks
        self.access = Access(
            settings.access, clock.seconds, wall_s, claims, self._claim_lost, proxies
        )
        self.shutdown: Shutdown | None = None
        """Set when the relay stops."""
        self.drain = Drain(self.hooks, clock, settings.limits.drain_timeout)
        view = RelayView(
            clients=self.clients,
            sessions=self.sessions,
            slow=self._slow,
            access=self.access,
            spool=store,
            descriptors=lambda: self.descriptors,
            is_draining=lambda: self.shutdown is not None or self.drain.is_on,
            is_stopping=lambda: self.shutdown is not None,
        )
        self.meters = Meters(settings.warnings, clock, wall_s, view)
        self._refusals = RefusalLog(clock.seconds)
        self._bundle_lines = BundleLogLines(self.meters.bundles, settings.logs.log_bundles, clock)
        over_rate: set[OverRate] = set()
        context = MemberContext(
            settings.limits,
            settings.bundles.split_bundles,
            clock.seconds,
            wall_s,
            self.meters.counters.traffic,
            over_rate.add,
            self.unfinished.add,
            self.logs,
            InflatingRecord(),
            store,
            clock.callLater,
            self.meters.bundles,
        )
        self.registry = ClientRegistry(
            self.clients,
            self.sessions,
            clock,
            context,
            _limits_of(settings),
            self.make_flow,
            self.meters,
            self.access,
            self.hooks,
        )
        self._housekeeping = Housekeeping(
            settings.limits,
            settings.access.claim_ttl,
            clock,
            self.registry,
            self.access,
            self._slow,
            over_rate,
            self.unfinished,
        )

        self.live.subscribe(self._settings_changed)

    def _settings_changed(self, settings: Settings) -> None:
        self.access.change_limits(settings.access)
        self.registry.change_limits(_limits_of(settings))
        self._bundle_lines.change(settings.logs.log_bundles)

    @cached_property
    def buffer(self) -> ReceiveBuffer:
        """What all connections receive into, one after the other. The first one brings it."""
        return ReceiveBuffer()

    @property
    def connections(self) -> int:
        """How many clients are connected to this relay. A client that was told to close counts
        until its connection is gone."""
        return len(self.clients) - self.meters.counters.inbound

    def startService(self) -> None:
        super().startService()
        self.shutdown = None
        self._housekeeping.start()

    def stopService(self) -> Deferred[None]:
        """Let the messages that are on their way arrive, and close every client with 1012, but with
        1011 those that are left with half a message. Fires when the last client has disconnected.
        See `Shutdown`."""
        super().stopService()
        self._housekeeping.drain()
        limits = self.settings.limits
        self.shutdown = Shutdown(
            self.registry,
            self.hooks,
            self.clock,
            limits.drain_timeout,
            limits.drain_spread,
            self._shares_sockets,
        )
        return self.shutdown.begin().addCallback(self._stopped)

    def _stopped(self, _: None) -> None:
        self.registry.stop()
        self._housekeeping.stop()
        self.meters.bundles.stop()
        self._bundle_lines.stop()

    def admit(
        self,
        role: Role,
        session_id: str,
        query: str,
        deflates: bool = False,
        address: str | None = None,
        agent: str | None = None,
    ) -> Admission:
        """Decide on a client that wants to come in, from what its URL says.

        :param agent: its ``User-Agent``.
        :raises BadRequest: with an HTTP status and a text for the client.
        """
        key = session_hash(session_id)
        shutdown = self.shutdown
        if not (self.running or (shutdown is not None and shutdown.admits(key))):
            raise BadRequest(503, RESTARTS)
        if self.drain.is_on and self.hooks.placement is None and not self._has(key):
            raise BadRequest(503, DRAINS)
        if self.descriptors.are_short:
            raise BadRequest(503, FULL)
        now_ms = in_ms(self.wall_s())
        device = None
        if role is Role.MOBILE:
            device = parse_device(query, secrets.token_hex(8), now_ms)
        patches = role is Role.CLI and self.store is not None and asks_for_patches(query)
        return Admission(
            role,
            key,
            device,
            f"{self.settings.listening.public_url}/bundles/{session_id}",
            deflates,
            client=secrets.token_hex(8),
            since_ms=now_ms,
            address=address,
            patches=patches,
            agent=read_agent(query, agent),
            acks=role is Role.CLI and asks_for_names(query),
        )

    def _has(self, key: str) -> bool:
        return key in self.sessions or (self.store is not None and self.store.keeps(key))

    def find_place(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
        """Find the place of a client that was admitted.

        :param claim: see `Placement.find`.
        :return: fails with `BadRequest` where it has none.
        """
        placement = self.hooks.placement
        if placement is not None:
            return placement.find(admission, claim)

        def find(_: None) -> Place:
            self.registry.check_room(admission)
            return LocalPlace(self.registry, admission)

        return self.registry.make_room(admission).addCallback(find)

    def refused(self, status: int, address: str | None, why: str, target: str = "") -> None:
        """A handshake was refused with an HTTP status.

        :param why: for people, without anything that the client has sent.
        :param target: of its request.
        """
        self.meters.counters.count_refused(status)
        self._tell_refused(make_refusal(status, address, why, target))

    def upload_refused(self, status: int, address: str | None, why: str, target: str) -> None:
        """Likewise, of an upload: it is counted elsewhere."""
        self._tell_refused(make_refusal(status, address, why, target))

    def _tell_refused(self, refusal: Refusal) -> None:
        self._refusals.add(refusal)
        self.log.debug(
            "refused {address} with {status}: {why}",
            address=refusal.address or UNKNOWN,
            status=refusal.status,
            why=refusal.why,
        )
        self.meters.feed.refused(*refusal)

    def make_flow(
        self, connection: Connection, reader: type[FrameReader], hurried: bool = True
    ) -> ConnectionFlow:
        """The flow of a new connection; ``hurried`` says that a slow one is closed."""
        slow = self._slow if hurried else self._never_slow
        limits = self.settings.limits
        return make_flow(connection, limits, slow, reader, self.buffer, self.clock.callLater)

    def _claim_lost(self, session_hash: str) -> None:
        self.registry.retire_claimants(session_hash)


def _limits_of(settings: Settings) -> Limits:
    """What a session may have."""
    limits = settings.limits
    return Limits(limits.max_mobiles, limits.max_pages, silence_s=limits.ping_interval)
