"""Receives the notices that other nodes publish, and has the leases compared that they are about.

`pubsub` has the notices. After a connection was lost, all leases are compared, as notices may have
been missed.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import Events
from apptuner_relay.cluster.ownership.heartbeat import Heartbeat
from apptuner_relay.cluster.ownership.pubsub import (
    Begun,
    Drained,
    Emptied,
    Kicked,
    Moved,
    Released,
    parse_notice,
)
from apptuner_relay.cluster.ownership.reconciler import Reconciler
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused, SubscriberLink

_PING_S = 30.0
"""How often to check that the connection, which only listens, still has another end."""


class PeerNotices:
    """Receives the notices for one node.

    :param prefix: what the names of channels begin with.
    :param label: how the server is named in the log.
    """

    log = Logger()

    def __init__(
        self,
        subscriber: SubscriberLink,
        clock: IReactorTime,
        node: str,
        prefix: str,
        label: str,
        events: Events,
        reconciler: Reconciler,
        heartbeat: Heartbeat,
        availability: Availability,
    ) -> None:
        self._subscriber, self._node, self._prefix, self._label = subscriber, node, prefix, label
        self._events, self._reconciler = events, reconciler
        self._heartbeat, self._availability = heartbeat, availability
        self._pings = LoopingCall(subscriber.ping)
        self._pings.clock = clock
        subscriber.on_connected = self._connected
        subscriber.on_disconnected = availability.subscription_lost
        subscriber.on_notice = self._heard

    def start(self) -> None:
        """Begin to connect."""
        self._pings.start(_PING_S, now=False).addErrback(self._failed)
        self._subscriber.start()

    def stop_pings(self) -> None:
        """Ping no more, as the connection is about to be closed. Harmless when called again."""
        if self._pings.running:
            self._pings.stop()

    def subscribe(self, session: str, wanted: bool) -> None:
        """Begin or end to be notified when another node's session gets a new owner."""
        call = self._subscriber.subscribe if wanted else self._subscriber.unsubscribe
        call(f"{self._prefix}on:{session}")

    def _connected(self) -> None:
        for channel in ("all", "news", f"to:{self._node}"):
            self._subscriber.subscribe(f"{self._prefix}{channel}")
        for session in self._reconciler.leases.others:
            self.subscribe(session, True)
        # Notices may have been missed.
        self._start_check(tuple(self._reconciler.leases.held), others=True)

    def _heard(self, channel: str, text: str) -> None:
        if self._availability.is_stopped:
            return
        try:
            notice = parse_notice(text)
        except ValueError:
            self.log.warn("{label}: ignored a malformed notice", label=self._label)
            return
        leases = self._reconciler.leases
        if isinstance(notice, Emptied):
            Deferred.fromCoroutine(self._heartbeat.beat()).addErrback(self._failed)
            self._events.emptied()
        elif isinstance(notice, Drained):
            if notice.node != self._node:
                self._events.drained(notice.node)
        elif isinstance(notice, Kicked):
            self._events.kicked(notice.session, notice.role, notice.reason)
        elif isinstance(notice, Released):
            self._events.released(notice.session)
        elif isinstance(notice, Begun):
            if notice.by != self._node and notice.session in leases.held:
                self._start_check([notice.session])
        elif isinstance(notice, Moved) and notice.by != self._node:
            if notice.session in leases.held:
                self._start_check([notice.session])
            elif notice.session in leases.others:
                self._events.moved(notice.session)

    def _start_check(self, sessions: Sequence[str], others: bool = False) -> None:
        Deferred.fromCoroutine(self._check(sessions, others)).addErrback(self._failed)

    async def _check(self, sessions: Sequence[str], others: bool) -> None:
        """Compare this node's leases; with ``others``, other nodes' as well."""
        if self._availability.is_unreachable:
            return
        try:
            await self._reconciler.restore(sessions)
            if others:
                await self._reconciler.check_others()
        except (LinkLost, ServerRefused):
            # When there is a server again all of this is done.
            return

    def _failed(self, failure: Failure) -> None:
        self.log.failure("handling a notice of another node has failed", failure)
