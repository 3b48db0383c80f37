"""The migration of one session from this relay to another one. `migration_states` has the states.

Its members stop sending (`quiescing`), its last bundle is sent to another relay, the session is
handed over to that (`handover`), and its clients are sent after it. Where no relay takes it, its
lease is released, and the next relay that needs it gets it.
"""

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.logger import Logger

from apptuner_relay.cluster.bridge.handover import Handover, NotHandedOver, Refused
from apptuner_relay.cluster.bridge.handover_messages import BundleDescription
from apptuner_relay.cluster.bridge.hosts import MigrationHost
from apptuner_relay.cluster.bridge.link import NotReached, open_handover
from apptuner_relay.cluster.bridge.migration_states import (
    HAS_TURN,
    MigrationEvent,
    MigrationState,
    next_state,
)
from apptuner_relay.cluster.bridge.quiescing import Quiescing
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.ownership.directory import (
    DirectoryUnreachable,
    Draining,
    Lease,
    NodeInfo,
)
from apptuner_relay.cluster.ownership.rendezvous import weight
from apptuner_relay.operator.moved_records import write_records
from apptuner_relay.session.session import Arrival, BadRequest
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.file_states import FileState

_TURN_S = 1.0
"""How long a session may take to finish what is under way before others have its turn."""
_MAX_CANDIDATES = 3
"""How many relays are asked to take a session."""
_POLL_S = 0.02


class SessionMigration:
    """The migration of one session, or of its last bundle where it has no clients.

    :param session: the hash of its id.
    :param arrival: how its clients arrive elsewhere: MOVED where it is handed over, RECOVERED where
        it is another relay's already.
    :param until_s: members that have not stopped by then are closed.
    :param bundle_until_s: by then the last bundle has to be at the other relay.
    :param turns: how many may be under way at the same time.
    :param trust: see `placement.ClusterPlacement`.
    """

    log = Logger()

    def __init__(
        self,
        host: MigrationHost,
        session: str,
        arrival: Arrival,
        until_s: float,
        bundle_until_s: float,
        turns: DeferredSemaphore,
        trust: Certificate | None,
    ) -> None:
        self.state = MigrationState.QUEUED
        self.waiting: list[Deferred[None]] = []
        """They fire when it is over."""
        self._host, self._relay, self._trust = host, host.relay, trust
        self._session, self._arrival = session, arrival
        self._until_s, self._bundle_until_s = until_s, bundle_until_s
        self._turns = turns
        here = host.relay.sessions.get(session)
        self._members = here
        self._quiescing = None if here is None else Quiescing(host.relay, here)
        self._are_adopted = False
        """Whether the new owner goes on with the records of the session's bundles."""
        self._remotes: list[RemoteMember] = []
        """Those of its clients that stay connected to this relay."""

    async def run(self) -> None:
        """Have the session leave."""
        try:
            handover = None
            if self._arrival is Arrival.MOVED:
                handover = await self._hand_over()
            else:
                self._advance(MigrationEvent.LEASE_LOST)
                await self._halt()
            await self._relocate(handover)
            self._advance(MigrationEvent.DONE)
        except BaseException:
            self._advance(MigrationEvent.FAILED)
            raise

    def finish(self) -> None:
        """It is over: find the clients their places, and fire what waits for the end."""
        for remote in self._remotes:
            self._host.relocate(remote)
        if not self._remotes:
            self._host.release_unused(self._session)
        for one in self.waiting:
            one.callback(None)

    def _advance(self, event: MigrationEvent) -> None:
        had_turn = self.state in HAS_TURN
        self.state = next_state(self.state, event)
        if had_turn and self.state not in HAS_TURN:
            self._turns.release()

    async def _take_turn(self) -> None:
        await self._turns.acquire()
        self._advance(MigrationEvent.TURN)

    # Handing it over

    async def _hand_over(self) -> Handover | None:
        """Have another relay take the session. Returns the handover; None where no relay has taken
        it."""
        await self._take_turn()
        await self._halt_senders()
        bundle = await self._last_bundle()
        lease = await self._own_lease()
        dropped = None if bundle is None else "no relay has taken the session"
        for node in self._candidates() if lease is not None else ():
            assert lease is not None
            try:
                handover, why = await self._open(node, bundle)
                if bundle is not None:
                    dropped = why
                self._advance(MigrationEvent.ACCEPTED)
                await self._halt()
                await self._complete(handover, lease, node)
            except (NotReached, BadRequest, NotHandedOver) as wrong:
                self._advance(MigrationEvent.DECLINED)
                self.log.warn(
                    "session {session}: relay {node} does not take it over: {why}",
                    session=self._session[:8],
                    node=node.node,
                    why=str(wrong),
                )
                continue
            self._advance(MigrationEvent.TAKEN)
            self._host.directory.hand_over(self._session)
            self._log_dropped(dropped)
            return handover
        self._advance(MigrationEvent.NO_CANDIDATE)
        await self._halt()
        self._log_dropped(dropped)
        return None

    async def _halt_senders(self) -> None:
        """Have the desktop side stop between two bundles. A bundle that takes long keeps no other
        session from its turn."""
        quiescing = self._quiescing
        if quiescing is not None:
            turn_until_s = min(self._until_s, self._relay.clock.seconds() + _TURN_S)
            if not await quiescing.stop_desktop_side(turn_until_s):
                self._advance(MigrationEvent.SLOW)
                await quiescing.stop_desktop_side(self._until_s)
                self._advance(MigrationEvent.HALTED)
                await self._take_turn()
                return
        self._advance(MigrationEvent.HALTED)

    async def _halt(self) -> None:
        """Have all members stop between two messages, with those that are about to enter."""
        quiescing, clock = self._quiescing, self._relay.clock
        if quiescing is not None:
            await quiescing.stop(self._until_s)
            while self._session in self._host.entering and clock.seconds() < self._until_s:
                await deferLater(clock, _POLL_S)
                await quiescing.stop(self._until_s)
        self._advance(MigrationEvent.HALTED)

    async def _complete(self, handover: Handover, lease: Lease, node: NodeInfo) -> None:
        """Hand over the session to a relay that is ready.

        :raises NotHandedOver: it has not taken it.
        """
        clients = [] if self._quiescing is None else self._quiescing.list_clients()
        try:
            rows = write_records(self._relay.meters.bundles.recent(self._session))
            kept = self._kept_record()
            self._are_adopted = await handover.hand_over(lease.epoch, clients, rows, kept)
        except Refused:
            handover.close()
            raise
        except NotHandedOver:
            handover.abort()
            # The answer was lost, but the directory knows.
            if await self._owner() != node.node:
                raise

    def _kept_record(self) -> int | None:
        """The number of the record of the bundle that is kept, where there is one."""
        store = self._relay.store
        file = None if store is None else store.last(self._session)
        content = None if file is None else file.content
        record = content.record if isinstance(content, BundleLog) else None
        return None if record is None else record.number

    async def _open(self, node: NodeInfo, bundle: BundleFile | None) -> tuple[Handover, str | None]:
        """Connect to another relay, and send it the last bundle, if there is one. With it, why the
        bundle is not stored there.

        :raises NotReached, BadRequest, NotHandedOver: it can't take the session.
        """
        handover = await self._connect(node)
        try:
            if bundle is None or self._relay.store is None:
                await handover.offer(None)
                return handover, None
            age_s = max(0.0, self._relay.clock.seconds() - bundle.last_use_s)
            why = await handover.offer(BundleDescription(bundle.form, bundle.size, age_s))
            if why is not None:
                return handover, why
        except NotHandedOver:
            handover.abort()
            raise
        try:
            why = await handover.send_bundle(bundle, self._bundle_until_s)
        except NotHandedOver as wrong:
            # What was begun can't be taken back on that connection.
            why = str(wrong)
            handover.abort()
            handover = await self._connect(node)
            await handover.offer(None)
        return handover, why

    async def _connect(self, node: NodeInfo) -> Handover:
        host, relay = self._host, self._relay
        own = host.directory.node
        link = await open_handover(
            relay, node.address, host.secret, own, node.node, self._session, self._trust
        )
        return Handover(link, relay.clock, own)

    async def _last_bundle(self) -> BundleFile | None:
        """The session's last bundle, once it is in its file; None where none is cached."""
        store, clock = self._relay.store, self._relay.clock
        if store is None:
            return None
        while True:
            bundle = store.last(self._session)
            if bundle is None or bundle.state is FileState.COMPLETE:
                return bundle
            if clock.seconds() >= self._bundle_until_s:
                return None
            bundle.need()
            await deferLater(clock, _POLL_S)

    async def _own_lease(self) -> Lease | None:
        """This relay's lease of the session. None where it has none."""
        directory = self._host.directory
        try:
            lease = await directory.claim(self._session)
        except (DirectoryUnreachable, Draining):
            return None
        return lease if lease.node == directory.node else None

    async def _owner(self) -> str | None:
        try:
            lease = await self._host.directory.look(self._session)
        except DirectoryUnreachable:
            return None
        return None if lease is None else lease.node

    def _candidates(self) -> list[NodeInfo]:
        """The relays to ask: first the one that most of the clients are connected to."""
        through = {} if self._quiescing is None else self._quiescing.count_by_relay()
        others = self._host.living_nodes.others
        others.sort(key=lambda one: (through.get(one.node, 0), weight(self._session, one.node)))
        return others[: -_MAX_CANDIDATES - 1 : -1]

    def _log_dropped(self, why: str | None) -> None:
        if why is not None:
            self.log.info(
                "session {session}: its last bundle is dropped, as it can't be handed over: {why}",
                session=self._session[:8],
                why=why,
            )

    # Sending its clients after it

    async def _relocate(self, handover: Handover | None) -> None:
        """Remove the session from this relay. Those of its clients that are connected to this relay
        become remote members."""
        host, relay, session = self._host, self._relay, self._session
        quiescing = self._quiescing
        for phone in () if self._members is None else self._members.mobiles:
            if phone.delivery is not None:
                # Its clients are disconnected here, and nowhere else.
                phone.delivery.recorded.moved()
        if quiescing is not None:
            if handover is None:
                quiescing.list_clients()
            absent = quiescing.list_absent()
            for member in quiescing.dismiss(taken=handover is not None):
                # One that was in the middle of another's bundle may have been closed by now.
                if not member.source.gone:
                    self._remotes.append(host.remotes.replace(member, self._arrival))
            if handover is not None and absent:
                handover.report_absent(absent)
        if handover is not None:
            host.remotes.await_delivery(handover.close(), session)
        if self._members is not None:
            relay.registry.give_up(self._members)
        elif relay.store is not None:
            relay.store.forget(session)
        relay.meters.bundles.give_away(session, self._are_adopted)
        host.forget_provisional(session)
        if self._arrival is Arrival.MOVED and handover is None:
            await host.directory.release(session)
