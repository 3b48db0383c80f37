"""Places the clients of a relay that shares its sessions with others, and follows the directory.

A client's session belongs to one relay, its owner. `place_finder` finds the owner of a client that
connects, `relocation` sends clients after sessions that move, and `bridge.migration` has sessions
leave. This module joins them, and acts on the events of the directory. While that is unreachable,
the relay goes on with the leases that it knows (`owner_lookup`), and compares them afterwards.
"""

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.arrival_barrier import ArrivalBarriers
from apptuner_relay.cluster.bridge.crash_detector import CrashDetector, make_refusal_check
from apptuner_relay.cluster.bridge.failure_detector import (
    CHECK_INTERVAL_S,
    FailureDetector,
    make_asker,
)
from apptuner_relay.cluster.bridge.migration import Migrations
from apptuner_relay.cluster.bridge.peer_auth import PassVerifier
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.bridge.remote_members import RemoteMembers
from apptuner_relay.cluster.bridge.session_counter import SessionCounter
from apptuner_relay.cluster.owner_lookup import OwnerLookup
from apptuner_relay.cluster.ownership.directory import (
    Directory,
    DirectoryUnreachable,
    Draining,
    Events,
    Lease,
    NodeInfo,
)
from apptuner_relay.cluster.ownership.living_nodes import LivingNodes
from apptuner_relay.cluster.ownership.redis_claims import RedisClaims
from apptuner_relay.cluster.place_finder import PlaceFinder
from apptuner_relay.cluster.places import ClusterClients
from apptuner_relay.cluster.relocation import Relocations
from apptuner_relay.relay.interfaces import DecideClaim, Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, Arrival
from apptuner_relay.wire.frames import CLOSE_NORMAL

_FIND_S = 14.0
"""How long the place of a client that connects is looked for: longer than the lease of a failed
owner, and the election of the next one."""
_SWEEP_S = 5.0
_MOVED_S = 2.0
"""How long the old owner of a session that has moved may take to close its links."""
_MOVED_DRAINING_S = 10.0
"""Likewise, for an owner that drains: it is busy, and the failure detector watches it anyway."""
_LOST_S = 2.0
"""How long messages under way may take in a session that is another relay's already."""


class ClusterPlacement(Service, Events):
    """The `interfaces.Placement` of a relay in a cluster.

    :param secret: what all nodes share, and nobody else knows.
    :param make_directory: makes the directory. Called when the service starts, as this relay's
        address is known then.
    :param trust: the authorities to trust for other nodes' certificates. None for the system's.
    :param asks: asks another relay whether it lives; see `FailureDetector`.
    :param claims: where claims are kept. None where there are none.
    """

    log = Logger()

    directory: Directory
    verifier: PassVerifier
    """Verifies the passes of other relays."""

    def __init__(
        self,
        relay: RelayService,
        secret: str,
        make_directory: Callable[[Events], Directory],
        trust: Certificate | None = None,
        asks: Callable[[str], Deferred[bool]] | None = None,
        claims: RedisClaims | None = None,
    ) -> None:
        self.relay = relay
        self.claims = claims
        self.secret = secret
        self._make_directory = make_directory
        self.pending = SessionCounter(self.release_unused)
        self.entering = SessionCounter()
        self.remotes = RemoteMembers(relay, self.relocate, self.release_unused)
        self.barriers = ArrivalBarriers(relay, self.release_unused)
        clients = ClusterClients(relay, self.remotes, self.barriers, self.pending, self.entering)
        self.living_nodes = LivingNodes(lambda: self.directory, relay.hooks.relay_ended)
        self._owners = OwnerLookup(lambda: self.directory, self.living_nodes, self.remotes)
        self._migrations = Migrations(self, trust)
        self._crash_detector = CrashDetector(
            lambda: self.directory, relay.clock, make_refusal_check(relay.clock), self.look
        )
        self._finder = PlaceFinder(
            clients,
            self._owners,
            self._migrations,
            secret,
            trust,
            lambda: self.directory,
            lambda: bool(self.running),
            self._crash_detector.not_reached,
        )
        self._relocations = Relocations(self._finder, relay.clock)
        self._failure_detector = FailureDetector(
            lambda: tuple(self.remotes),
            relay.clock,
            asks or make_asker(relay.clock, trust),
        )
        self._calls = [
            (interval_s, LoopingCall(call))
            for interval_s, call in (
                (CHECK_INTERVAL_S, self._failure_detector.check),
                (_SWEEP_S, self._sweep),
            )
        ]
        for _, call in self._calls:
            call.clock = relay.clock

    @property
    def node(self) -> str:
        """This node's id."""
        return self.directory.node

    @property
    def bridged_count(self) -> int:
        """How many clients of this relay have their sessions elsewhere."""
        return len(self.remotes)

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """The living nodes, as the directory named them last."""
        return self.living_nodes.nodes

    @property
    def takes_sessions(self) -> bool:
        """See `PeerHost`."""
        return bool(self.running) and not self.directory.draining

    @property
    def is_relocating(self) -> bool:
        """See `MigrationHost`."""
        return bool(self._relocations)

    def startService(self) -> None:
        """Make the directory, and begin to connect to it."""
        super().startService()
        self.directory = self._make_directory(self)
        self.verifier = PassVerifier(self.secret, self.directory.node)
        self.relay.meters.watch_cluster(self)
        self.directory.start().addCallback(lambda _: self.look()).addErrback(self._failed)
        for interval_s, call in self._calls:
            self._repeat(interval_s, call)

    def stopService(self) -> Deferred[None]:
        """End all leases."""
        super().stopService()
        for _, call in self._calls:
            if call.running:
                call.stop()
        return self.directory.stop()

    # What the relay calls

    def find(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
        """See `interfaces.Placement`."""
        until_s = self.relay.clock.seconds() + _FIND_S
        finding: Deferred[Place] = Deferred.fromCoroutine(
            self._finder.find(admission, until_s, claim)
        )
        return finding

    def take(self, session_hash: str) -> Deferred[bool]:
        """See `interfaces.Placement`."""
        return Deferred.fromCoroutine(self._take(session_hash))

    async def _take(self, session: str) -> bool:
        if self._is_moving(session) or not self.running:
            return False
        try:
            lease = await self.directory.claim(session)
        except (DirectoryUnreachable, Draining):
            return session in self.relay.sessions
        return lease.node == self.node and not self._is_moving(session)

    def _is_moving(self, session: str) -> bool:
        """Whether a session moves away, or here and its clients are still arriving: one that seems
        to be new may be about to arrive."""
        return session in self._migrations or session in self.barriers

    def left(self, session_hash: str) -> None:
        """See `interfaces.Placement`."""
        self.release_unused(session_hash)

    def drain(self, until_s: float) -> Deferred[None]:
        """See `interfaces.Placement`."""
        return Deferred.fromCoroutine(self._migrations.drain(until_s)).addErrback(self._failed)

    def end_drain(self) -> None:
        """See `interfaces.Placement`."""
        self.directory.end_drain().addErrback(self._failed)

    # What the bridge calls

    def receive(self, admission: Admission) -> Deferred[Place]:
        """See `PeerHost`."""
        receiving: Deferred[Place] = Deferred.fromCoroutine(self._finder.receive(admission))
        return receiving

    def forget_provisional(self, session: str) -> None:
        """See `MigrationHost`."""
        self._owners.provisional.discard(session)

    def release_unused(self, session: str) -> None:
        """Release the lease of a session that has no client here, and of which no bundle is
        cached."""
        store = self.relay.store
        in_use = (
            session in self.relay.sessions
            or session in self.remotes
            or session in self.pending
            or session in self._migrations
            or session in self.barriers
            or (store is not None and store.keeps(session))
        )
        if not in_use:
            self._owners.provisional.discard(session)
            self.directory.release(session).addErrback(self._failed)

    def relocate(self, remote: RemoteMember) -> None:
        """See `MigrationHost`."""
        self._relocations.start(remote)

    # Events of the directory

    def lost(self, session: str, lease: Lease | None) -> None:
        """See `Events`."""
        store = self.relay.store
        if lease is not None and store is not None and session not in self.relay.sessions:
            # The new owner may have got a later bundle.
            store.forget(session)
        Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    def moved(self, session: str) -> None:
        """See `Events`. The old owner, if it lives, is about to close its links, without a loss of
        messages."""

        drains = any(
            one.lease is not None and self.living_nodes.drains(one.lease.node)
            for one in self.remotes.in_session(session)
        )

        async def check() -> None:
            await deferLater(self.relay.clock, _MOVED_DRAINING_S if drains else _MOVED_S)
            await self._compare(session)

        Deferred.fromCoroutine(check()).addErrback(self._failed)

    def drained(self, node: str) -> None:
        """See `Events`."""
        self.living_nodes.set_draining(node)

    def kicked(self, session: str, role: str, reason: str) -> None:
        """See `Events`."""
        here = self.relay.sessions.get(session)
        for member in here.members if here is not None else ():
            if member.role.value == role:
                self.relay.registry.retire(member, CLOSE_NORMAL, reason)

    def listed(self, nodes: list[NodeInfo]) -> None:
        """See `Events`."""
        self.living_nodes.learn(nodes)

    def emptied(self) -> None:
        """See `Events`."""
        if self.claims is not None:
            self.claims.compare().addErrback(self._failed)

    def released(self, session: str) -> None:
        """See `Events`."""
        if self.claims is not None:
            self.claims.released(session)

    def reachable(self) -> None:
        """See `Events`. The sessions that were begun without the directory are compared with it."""
        for session in self._owners.provisional | set(self.relay.sessions) | self.remotes.sessions:
            Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    async def _compare(self, session: str) -> None:
        """Compare the owner of a session with the relay to which its clients here are connected."""
        known = session in self.relay.sessions or session in self.remotes
        if session in self._migrations or not known or not self.running:
            return
        try:
            lease = await self.directory.claim(session)
        except (DirectoryUnreachable, Draining):
            return
        self._owners.provisional.discard(session)
        if lease.node != self.node and session in self.relay.sessions:
            until_s = self.relay.clock.seconds() + _LOST_S
            self._migrations.start(session, Arrival.RECOVERED, until_s)
        for remote in self.remotes.in_session(session):
            known_lease = remote.lease
            if remote.link is not None and known_lease is not None:
                # Epoch 0 is that of a successor, which was chosen before it had a lease.
                later = known_lease.epoch and lease.epoch != known_lease.epoch
                if lease.node != known_lease.node or later:
                    remote.drop_link()

    # Periodic checks

    def _sweep(self) -> None:
        """Release the leases that are not needed any more, as cached bundles have expired. Compare
        the sessions that are here without a lease."""
        held = self.directory.held()
        for lease in held:
            self.release_unused(lease.session)
        if self.directory.state == "connected":
            for session in set(self.relay.sessions) - {lease.session for lease in held}:
                Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    def look(self) -> Deferred[bool]:
        """See `cluster_view.ClusterView`."""
        return Deferred.fromCoroutine(self.living_nodes.refresh())

    def _repeat(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self._failed(failure)
            if self.running:
                self._repeat(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("placing clients has failed", failure)
