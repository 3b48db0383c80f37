"""A managed service as what carries the channels of a relay's sessions: a `ChannelService`.

It puts the connections, the HTTP API and the checks together, tells the log when the service comes
and goes, and has a text for ``/health`` while anything is wrong. It never stops the relay.
"""

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.ssl import trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.config.groups.managed_settings import ManagedSettings
from apptuner_relay.config.managed_url import ManagedUrl, PublishBy, Vendor
from apptuner_relay.managed.protocol.channel_service import ChannelListener
from apptuner_relay.managed.protocol.envelopes import ServiceError
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.api_client import ApiAgent, ApiClient, make_agent
from apptuner_relay.managed.service.connection_pool import ConnectionPool
from apptuner_relay.managed.service.paced_sender import SendRates
from apptuner_relay.managed.service.publisher import ApiPublisher
from apptuner_relay.managed.service.service_connection import (
    WELCOME_S,
    ServiceConnection,
    is_permanent,
)
from apptuner_relay.managed.service.service_problem import ServiceProblem, problem_of_ending
from apptuner_relay.managed.service.service_status import ServiceStatus
from apptuner_relay.managed.service.service_target import ServiceTarget, make_endpoint
from apptuner_relay.managed.service.service_websocket import ServiceEnding
from apptuner_relay.managed.service.start_check import CLIENT_EVENT_REFUSED, StartCheck
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.operator.managed_view import ServiceRefusal
from apptuner_relay.support.authorities import read_authorities
from apptuner_relay.support.clocks import WallClock

RECHECK_S = 300.0
"""How often it is checked again while something is wrong."""
SOON_S = 5.0
"""After the first client event that is refused, when that is checked."""
_BATCH_BYTES = 100 * 1024
_OWN_BATCH_BYTES = 8 * 1024
"""Of data in one request. Reverb takes no request above 10,000 bytes by default."""


class Provider(Service):
    """The service.

    :param endpoint: of the WebSocket.
    :param agent: sends requests to the HTTP API.
    :param prefix: of the names of channels.
    :param node: the name of this relay.
    :param reactor: its clock.
    """

    log = Logger()
    is_local = False

    def __init__(
        self,
        url: ManagedUrl,
        signer: Signer,
        endpoint: IStreamClientEndpoint,
        agent: ApiAgent,
        prefix: str,
        node: str,
        reactor: Any,
        wall_s: WallClock,
        counters: ManagedCounters | None = None,
    ) -> None:
        service = url.service
        if service is None:
            raise ValueError("relay:// names no service")
        self.counters = counters or ManagedCounters()
        self._clock = reactor
        limits = url.limits
        uses_client_events = service.publish_by is PublishBy.CLIENT
        target = ServiceTarget(
            endpoint,
            service.websocket_url(url.key, __version__),
            signer,
            node,
            SendRates(limits.client_events_per_s, limits.events_per_s),
        )

        def make() -> ServiceConnection:
            return ServiceConnection(target, self, self.counters, reactor, wall_s)

        self._pool = ConnectionPool(make, limits.channels, self.counters, reactor)
        self._api = ApiClient(service, signer, agent, self.counters, reactor, wall_s)
        self._publisher: ApiPublisher | None = None
        """None where events go as client events."""
        if not uses_client_events:
            self._publisher = ApiPublisher(
                self._api,
                self._pool,
                self,
                self.counters,
                reactor,
                limits.batch_events,
                _OWN_BATCH_BYTES if service.vendor is Vendor.OWN else _BATCH_BYTES,
            )
        self._check = StartCheck(self._api, prefix, uses_client_events, reactor)
        self._status = ServiceStatus(url.name, reactor)
        self._refused_since_s: float | None = None
        """Since when the service has taken no events over HTTP."""
        self._checked_s: float | None = None
        """When the service was checked last, with nothing found."""
        self._checking: Deferred[None] | None = None
        self._recheck: IDelayedCall | None = None

    # ChannelService

    @property
    def is_up(self) -> bool:
        """See `ChannelService`."""
        return self._pool.is_up and not (self._publisher and self._publisher.is_refused)

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """See `ChannelService`."""
        self._pool.subscribe(channel, listener)

    def unsubscribe(self, channel: str) -> None:
        """See `ChannelService`."""
        self._pool.unsubscribe(channel)

    def publish(self, channel: str, name: str, data: str) -> bool:
        """See `ChannelService`."""
        if self._publisher is not None:
            return self._publisher.publish(channel, name, data)
        connection = self._pool.connection_of(channel)
        return connection is not None and connection.send_event(channel, name, data)

    def occupied(self, prefix: str) -> Deferred[Sequence[str]]:
        """See `ChannelService`."""

        async def ask() -> Sequence[str]:
            return list(await self._api.channels(prefix))

        return Deferred.fromCoroutine(ask())

    # For the operator

    @property
    def problem(self) -> str | None:
        """What is wrong first of all, in one line; None where nothing is."""
        return self._status.problem

    @property
    def refusal(self) -> ServiceRefusal | None:
        """See `managed_view.ManagedView`."""
        return self._status.refusal

    @property
    def away_since_s(self) -> float | None:
        """See `managed_view.ManagedView`."""
        if self.is_up:
            return None
        return self._status.down_since_s or self._refused_since_s

    # Service

    def startService(self) -> None:
        """Connect."""
        super().startService()
        self._status.start()
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Leave the service. Fires when that is done."""
        super().stopService()
        if self._recheck is not None and self._recheck.active():
            self._recheck.cancel()
        if self._publisher is not None:
            self._publisher.stop()
        stopped = self._pool.stop()
        if self._checking is not None:
            self._checking.cancel()
        return stopped.addCallback(lambda _: self._api.stop())

    # ConnectionObserver

    def connection_up(self, connection: ServiceConnection) -> None:
        """See `ConnectionObserver`."""
        self._pool.count()
        self._status.up(self._pool.has_down)
        now_s = self._clock.seconds()
        if self._checked_s is None or now_s - self._checked_s >= RECHECK_S:
            self._run_check(connection)

    def connection_down(self, connection: ServiceConnection, ending: ServiceEnding) -> None:
        """See `ConnectionObserver`."""
        self._pool.count()
        has_others = self._pool.is_up
        if self._publisher is not None and not has_others:
            self._publisher.drop_waiting("away")
        self._status.down(problem_of_ending(ending, is_permanent(ending)), has_others)

    def event_refused(self, error: ServiceError) -> None:
        """See `ConnectionObserver`."""
        self._check.event_refused(error)
        if error.code == CLIENT_EVENT_REFUSED and self._checking is None:
            self._check_in(SOON_S)

    # PublishingObserver

    def publishing_failed(self, problem: ServiceProblem) -> None:
        """See `PublishingObserver`."""
        if self._refused_since_s is None:
            self._refused_since_s = self._clock.seconds()
        self._status.publishing_failed(problem)

    def publishing_works(self) -> None:
        """See `PublishingObserver`."""
        self._refused_since_s = None
        self._status.publishing_works()

    # The check

    def _run_check(self, connection: ServiceConnection) -> None:
        if self._checking is not None:
            return

        async def check() -> None:
            try:
                found = await self._check.run(connection)
            except CancelledError:
                return
            if self.running:
                self._status.checked(found)
                self._checked_s = None if found else self._clock.seconds()
                if found:
                    self._check_in(RECHECK_S)

        def over(result: Failure | None) -> None:
            self._checking = None
            if result is not None:
                self.log.failure("managed service: it could not be checked", result)

        self._checking = checking = Deferred.fromCoroutine(check())
        checking.addBoth(over)

    def _check_in(self, seconds: float) -> None:
        if self._recheck is None or not self._recheck.active():
            self._recheck = self._clock.callLater(seconds, self._check_again)

    def _check_again(self) -> None:
        connection = next((one for one in self._pool.connections if one.is_up), None)
        # Where there is none, the next one is checked.
        self._checked_s = None
        if connection is not None:
            self._run_check(connection)


def make_provider(
    settings: ManagedSettings,
    node: str,
    reactor: Any,
    wall_s: WallClock,
    counters: ManagedCounters | None = None,
) -> Provider:
    """The provider that ``--managed`` names.

    :param settings: with a service and a secret.
    :param node: the name of this relay.
    :raises authorities.BadCertificates: the file of ``--managed-ca`` can't be used.
    :raises ValueError: there is no service or no secret.
    """
    url = settings.managed
    if url is None or url.service is None or settings.managed_secret is None:
        raise ValueError("a managed service needs a URL and a secret")
    trust = None
    if settings.managed_ca is not None:
        trust = trustRootFromCertificates(read_authorities(settings.managed_ca))
    return Provider(
        url,
        Signer(url.key, settings.managed_secret),
        make_endpoint(reactor, url.service.websocket, WELCOME_S, trust),
        make_agent(reactor, WELCOME_S, trust),
        settings.managed_prefix,
        node,
        reactor,
        wall_s,
        counters,
    )
