"""Where the sessions of several relays are: asks the directory, and brings clients there.

For each client that comes in, `Homes.find` asks whose its session is, claims it for this relay if
it is nobody's, and else opens a link to the owner. A client whose session moves is brought after
it. While the directory is away, this relay goes on with what it has and knows; a session that
nobody is known to have is served here, and compared with the directory's when that is back.
"""

import dataclasses
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.ssl import Certificate
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.clocks import in_ms
from apptuner_relay.cluster.bridge import Bridged
from apptuner_relay.cluster.directory import (
    Directory,
    DirectoryAway,
    Draining,
    Events,
    Lease,
    NodeInfo,
)
from apptuner_relay.cluster.link import LinkProtocol, NotReached, NotTrusted, open_link
from apptuner_relay.cluster.moving import Move
from apptuner_relay.cluster.passes import Gate
from apptuner_relay.cluster.watch import WATCH_S, Watch, make_asker
from apptuner_relay.ends import Connection, Ends
from apptuner_relay.forwarded import UNKNOWN
from apptuner_relay.member import Member
from apptuner_relay.meters.cluster import Claims
from apptuner_relay.service import Attendee, Claim, Place, RelayService
from apptuner_relay.session import Admission, Arrival, BadRequest, Session
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_TRY_AGAIN_LATER,
    FrameReader,
)

_FIND_S = 12.0
"""How long the place of a client that comes in is looked for: longer than a lease, and what comes
behind it."""
_SILENCE_S = 9.5
"""How long after the last sign of its session a client's new place is looked for, before it is
closed to try through another relay; but not less than `_LEAST_S`."""
_LEAST_S = 2.0
_AGAIN_S = 0.2
"""The first pause before it is looked for again; the others are longer."""
_LONGEST_PAUSE_S = 1.0
_MOST_AT_ONCE = 100
"""How many clients are brought after their sessions at the same time."""
_ASK_TIMES = 3
"""How often a relay that stops asks who else there is."""
_OTHERS_S = 1.0
"""How long other relays may take to follow a session that has moved."""
_SWEEP_S = 5.0
_NODES_S = 10.0
_RUMOUR_S = 1.0
"""How long the old owner of a session that has moved may take to say so itself."""
_LOST_PATIENCE_S = 2.0
"""How long messages under way may take in a session that is already another relay's."""


def _claim_nothing() -> Deferred[None]:
    """Its claim is decided already."""
    return succeed(None)


_CLOSE_CODES = {403: CLOSE_POLICY, 409: CLOSE_NORMAL}
"""What becomes of a client whose session has moved, and doesn't take it there."""


class SharedClaims(Claims, Protocol):
    """Claims that the relays share: `claims.RedisClaims`."""

    def compare(self) -> Deferred[None]:
        """Redis may have lost its data: put back what is in use. Never fails."""


class NotHere(Exception):
    """Another relay wants to bring a client into a session that isn't this relay's."""


class Here:
    """A `Place` in a session of this relay."""

    is_here = True

    def __init__(self, homes: "Homes", admission: Admission) -> None:
        self._homes, self._admission = homes, admission
        homes.expected[admission.session_hash] += 1

    def check(self) -> None:
        """See `Place`."""
        self._homes.relay.check_room(self._admission)

    def enter(self, connection: Connection) -> Attendee:
        """See `Place`."""
        try:
            return self._homes.relay.join(self._admission, connection)
        finally:
            self.abandon()

    def settle(self, bridged: Bridged) -> None:
        """Make a client that was bridged until now a member."""
        self._homes.relay.adopt(bridged, bridged.admission)
        self._homes.forget(bridged)
        self.abandon()
        bridged.source.let_go(bridged)

    def abandon(self) -> None:
        """See `Place`."""
        self._homes.unexpect(self._admission.session_hash)


class There:
    """A `Place` in another relay's session."""

    is_here = False

    def __init__(
        self, homes: "Homes", admission: Admission, link: LinkProtocol, lease: Lease
    ) -> None:
        self._homes, self._admission = homes, admission
        self._link, self._lease = link, lease
        homes.expected[admission.session_hash] += 1

    def check(self) -> None:
        """See `Place`. It was checked there."""

    def enter(self, connection: Connection) -> Attendee:
        """See `Place`."""
        bridged = self._homes.make_bridged(self._admission, connection)
        self.settle(bridged)
        return bridged

    def settle(self, bridged: Bridged) -> None:
        """Bridge a client."""
        bridged.cross(self._link, self._lease)
        self._homes.unexpect(self._admission.session_hash)

    def abandon(self) -> None:
        """See `Place`."""
        self._link.abort()
        self._homes.unexpect(self._admission.session_hash)


class Homes(Service, Events):
    """The `service.Homes` of a relay in a cluster.

    :param secret: what all nodes share, and nobody else knows.
    :param make_directory: called when the service starts, which tells others where this relay is.
    :param asks: asks another relay whether it lives; see `watch.Watch`.
    :param claims: where claims are kept, if they are.
    :param trust: who may have signed other nodes' certificates; None for those that the system
        trusts.
    """

    log = Logger()

    directory: Directory
    gate: Gate
    """Lets other relays in."""

    def __init__(
        self,
        relay: RelayService,
        secret: str,
        make_directory: Callable[[Events], Directory],
        trust: Certificate | None = None,
        asks: Callable[[str], Deferred[bool]] | None = None,
        claims: SharedClaims | None = None,
    ) -> None:
        self.relay = relay
        self.claims = claims
        self.secret = secret
        self._make_directory = make_directory
        self.expected: Counter[str] = Counter()
        """By session, the clients that are about to enter here or elsewhere."""
        self.bridged: defaultdict[str, set[Bridged]] = defaultdict(set)
        """By session, the clients that are bridged, or wait for it."""
        self.nodes: list[NodeInfo] = []
        """The living nodes, as they were seen last."""
        self.is_draining = False
        self._trust = trust
        self._moves: dict[str, list[Deferred[None]]] = {}
        """The sessions that are leaving, and who waits for that."""
        self._bringing: set[Deferred[None]] = set()
        """The clients whose place is being looked for."""
        self._at_once = DeferredSemaphore(_MOST_AT_ONCE)
        self._provisional: set[str] = set()
        self._watch = Watch(
            lambda: tuple(one for those in self.bridged.values() for one in those),
            relay.clock,
            asks or make_asker(relay.clock, trust),
        )
        self._calls = [
            (interval_s, LoopingCall(call))
            for interval_s, call in (
                (WATCH_S, self._watch.look),
                (_SWEEP_S, self._sweep),
                (_NODES_S, self._look_at_nodes),
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
        return sum(map(len, self.bridged.values()))

    def startService(self) -> None:
        """Look for the directory."""
        super().startService()
        self.directory = self._make_directory(self)
        self.gate = Gate(self.secret, self.directory.node)
        self.relay.meters.watch_cluster(self)
        self.directory.start().addCallback(lambda _: self.look()).addErrback(self._failed)
        for interval_s, call in self._calls:
            self._repeat(interval_s, call)

    def stopService(self) -> Deferred[None]:
        """Give all sessions back."""
        super().stopService()
        for _, call in self._calls:
            if call.running:
                call.stop()
        return self.directory.stop()

    # What the service calls

    def find(self, admission: Admission, claim: Claim) -> Deferred[Place]:
        """See `service.Homes`."""
        until_s = self.relay.clock.seconds() + _FIND_S
        finding: Deferred[Place] = Deferred.fromCoroutine(self._find(admission, until_s, claim))
        return finding

    def left(self, session_hash: str) -> None:
        """See `service.Homes`. A session nobody is in, and of which nothing is kept, is given
        back."""
        store = self.relay.store
        in_use = (
            session_hash in self.relay.sessions
            or session_hash in self.bridged
            or session_hash in self.expected
            or session_hash in self._moves
            or (store is not None and store.keeps(session_hash))
        )
        if not in_use:
            self._provisional.discard(session_hash)
            self.directory.release(session_hash).addErrback(self._failed)

    # What places call

    def unexpect(self, session_hash: str) -> None:
        """A client that was `expected` has come, or won't."""
        self.expected[session_hash] -= 1
        if not self.expected[session_hash]:
            del self.expected[session_hash]
            self.left(session_hash)

    def make_bridged(self, admission: Admission, connection: Connection) -> Bridged:
        """A client that has just come in, and whose session is elsewhere."""
        ends = self.relay.make_ends(connection, FrameReader)
        bridged = self._bridge(admission, connection, ends)
        self.relay.attend(bridged)
        self.log.info(
            "session {session}: {role} connected from {address}, its session is elsewhere",
            session=bridged.label,
            role=bridged.role.value,
            address=admission.address or UNKNOWN,
        )
        return bridged

    def forget(self, bridged: Bridged) -> None:
        """A client is bridged no more."""
        key = bridged.admission.session_hash
        those = self.bridged.get(key)
        if those is not None:
            those.discard(bridged)
            if not those:
                del self.bridged[key]
                self.left(key)

    def _bridge(self, admission: Admission, connection: Connection, ends: Ends) -> Bridged:
        bridged = Bridged(
            self.relay, admission, connection, ends, on_lost=self._settle, on_gone=self.forget
        )
        self.bridged[admission.session_hash].add(bridged)
        return bridged

    # Finding

    async def _find(
        self, admission: Admission, until_s: float, claim: Claim = _claim_nothing
    ) -> Here | There:
        key = admission.session_hash
        pause_s = _AGAIN_S
        self.expected[key] += 1
        try:
            while True:
                await self._end_of_move(key)
                lease = await self._owner(admission)
                if lease.node == self.node:
                    await self.relay.make_room(admission)
                    if key in self._moves:
                        continue
                    self.relay.check_room(admission)
                    return Here(self, admission)
                await claim()
                claim = _claim_nothing
                try:
                    link = await open_link(
                        self.relay,
                        lease.address,
                        self.secret,
                        self.node,
                        lease.node,
                        admission,
                        self._trust,
                    )
                    return There(self, admission, link, lease)
                except NotReached as wrong:
                    late = self.relay.clock.seconds() >= until_s
                    if late or isinstance(wrong, NotTrusted) or not self.running:
                        self.log.warn(
                            "session {session}: its relay {node} can't be reached: {wrong}",
                            session=key[:8],
                            node=lease.node,
                            wrong=str(wrong),
                        )
                        raise BadRequest(
                            503, "The relay that has this session can't be reached now"
                        ) from None
                await deferLater(self.relay.clock, pause_s * random.uniform(0.5, 1))
                pause_s = min(_LONGEST_PAUSE_S, 1.5 * pause_s)
        finally:
            self.unexpect(key)

    async def _owner(self, admission: Admission) -> Lease:
        """Whose a session is, or is to be."""
        key = admission.session_hash
        away = self.directory.state == "away"
        if not (away and key in self._provisional):
            try:
                lease = await self.directory.claim(key)
                self._provisional.discard(key)
                return lease
            except Draining:
                return await self._successor(admission)
            except DirectoryAway:
                for bridged in self.bridged.get(key, ()):
                    if bridged.link is not None and bridged.lease is not None:
                        return bridged.lease
        if self.is_draining:
            raise BadRequest(503, "The relay restarts")
        self._provisional.add(key)
        return Lease(key, self.node, "", 0)

    async def _successor(self, admission: Admission) -> Lease:
        """Who is to have a session that nobody has, and that this relay, as it drains, may not
        take: all of its clients choose the same."""
        if admission.arrival is Arrival.NEW:
            raise BadRequest(503, "The relay restarts")
        key = admission.session_hash
        if not self.nodes:
            await self._look_at_nodes()
        if not self._others:
            raise BadRequest(503, "The relay restarts, and there is no other one")
        chosen = max(self._others, key=lambda one: _weight(key, one.node))
        return Lease(key, chosen.node, chosen.address, 0)

    def receive(self, admission: Admission) -> Deferred[Place]:
        """Find a place here for a client that is connected to another node.

        :return: fails with `NotHere`, or with `BadRequest`.
        """
        return Deferred.fromCoroutine(self._receive(admission))

    async def _receive(self, admission: Admission) -> Place:
        key = admission.session_hash
        self.expected[key] += 1
        try:
            if key in self._moves or not self.running:
                raise NotHere("the session is about to move")
            if key not in self._provisional:
                try:
                    lease = await self.directory.claim(key)
                except (Draining, DirectoryAway) as wrong:
                    raise NotHere(str(wrong)) from None
                if lease.node != self.node:
                    raise NotHere(f"the session is {lease.node}'s")
            if self.is_draining:
                self._start_move(key, Arrival.MOVED, self.relay.settings.drain_timeout)
                if key not in self._moves:
                    # Nobody is in it: only its last bundle was here.
                    await self._give_away(key)
                    raise NotHere("this relay stops")
            await self.relay.make_room(admission)
            if key in self._moves:
                raise NotHere("the session is about to move")
            self.relay.check_room(admission)
            return Here(self, admission)
        finally:
            self.unexpect(key)

    async def _give_away(self, key: str) -> None:
        if self.relay.store is not None:
            self.relay.store.forget(key)
        await self.directory.release(key)

    # Moving

    def drain(self) -> Deferred[None]:
        """Have other nodes take the sessions of this one. Fires when there are none left here, or
        there is nobody to take them; never fails."""
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        self.is_draining = True
        await self.directory.announce_drain()
        for _ in range(_ASK_TIMES):
            if await self._look_at_nodes():
                break
        if self.directory.state == "away" or not self._others:
            return
        moves = [
            self._start_move(key, Arrival.MOVED, self.relay.settings.drain_timeout)
            for key in tuple(self.relay.sessions)
        ]
        for move in moves:
            await move
        # Their clients are to be known where they are now before they are closed here, and so are
        # those of other relays, who are to hear of that.
        for bringing in tuple(self._bringing):
            await bringing
        if moves:
            await deferLater(self.relay.clock, _OTHERS_S)

    def _start_move(self, key: str, arrival: Arrival, patience_s: float) -> Deferred[None]:
        """Have a session of this relay go elsewhere. Fires, never fails, when it has no member
        here any more."""
        session = self.relay.sessions.get(key)
        if session is not None and key not in self._moves:
            self._moves[key] = []
            moving = Deferred.fromCoroutine(self._move(session, arrival, patience_s))
            moving.addErrback(self._failed)
        return self._end_of_move(key)

    def _end_of_move(self, key: str) -> Deferred[None]:
        """Fires when a session doesn't move, or no more."""
        end: Deferred[None] = Deferred()
        if key in self._moves:
            self._moves[key].append(end)
        else:
            end.callback(None)
        return end

    async def _move(self, session: Session[Member], arrival: Arrival, patience_s: float) -> None:
        key = session.hash
        homeless: list[Bridged] = []
        try:
            for member in await Move(self.relay, session).run(patience_s):
                lost_ms = in_ms(self.relay.wall_s())
                admission = dataclasses.replace(member.admission, arrival=arrival, lost_ms=lost_ms)
                ends = Ends(member.source, member.sink, member.reader)
                bridged = self._bridge(admission, member.connection, ends)
                self.relay.replace(member, bridged)
                homeless.append(bridged)
            self.relay.give_up(session)
            self._provisional.discard(key)
            if arrival is Arrival.MOVED:
                await self.directory.release(key)
        finally:
            for waiting in self._moves.pop(key):
                waiting.callback(None)
        for bridged in homeless:
            self._settle(bridged)
        if not homeless:
            self.left(key)

    def _settle(self, bridged: Bridged) -> None:
        """Bring a client whose session has moved to where that is now."""
        bringing = self._at_once.run(self._bring_or_close, bridged)
        self._bringing.add(bringing)
        bringing.addBoth(lambda _: self._bringing.discard(bringing))

    def _bring_or_close(self, bridged: Bridged) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            self._failed(failure)
            bridged.connection.close(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

        return Deferred.fromCoroutine(self._bring(bridged)).addErrback(failed)

    async def _bring(self, bridged: Bridged) -> None:
        if bridged.is_gone:
            return
        try:
            now_s = self.relay.clock.seconds()
            until_s = max(now_s + _LEAST_S, bridged.heard_s + _SILENCE_S)
            place = await self._find(bridged.admission, until_s)
        except BadRequest as refusal:
            code = _CLOSE_CODES.get(refusal.status, CLOSE_TRY_AGAIN_LATER)
            bridged.connection.close(code, str(refusal))
            return
        if bridged.is_gone:
            place.abandon()
        else:
            place.settle(bridged)

    # What the directory says

    def lost(self, session: str, lease: Lease | None) -> None:
        """See `Events`."""
        store = self.relay.store
        if lease is not None and store is not None and session not in self.relay.sessions:
            # Another relay may have had a later bundle.
            store.forget(session)
        Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    def moved(self, session: str) -> None:
        """See `Events`. The old owner, if it lives, is about to say so itself, and then nothing is
        lost."""

        async def check() -> None:
            await deferLater(self.relay.clock, _RUMOUR_S)
            await self._compare(session)

        Deferred.fromCoroutine(check()).addErrback(self._failed)

    def kicked(self, session: str, role: str, reason: str) -> None:
        """See `Events`."""
        here = self.relay.sessions.get(session)
        for member in here.members if here is not None else ():
            if member.role.value == role:
                self.relay.retire(member, CLOSE_NORMAL, reason)

    def emptied(self) -> None:
        """See `Events`."""
        if self.claims is not None:
            self.claims.compare().addErrback(self._failed)

    def back(self) -> None:
        """See `Events`. What was begun without the directory is compared with it."""
        for session in self._provisional | set(self.relay.sessions) | set(self.bridged):
            Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    async def _compare(self, session: str) -> None:
        """See whether a session is where its clients here are."""
        known = session in self.relay.sessions or session in self.bridged
        if session in self._moves or not known or not self.running:
            return
        try:
            lease = await self.directory.claim(session)
        except (DirectoryAway, Draining):
            return
        self._provisional.discard(session)
        if lease.node != self.node and session in self.relay.sessions:
            self._start_move(session, Arrival.RECOVERED, _LOST_PATIENCE_S)
        for bridged in tuple(self.bridged.get(session, ())):
            known_lease = bridged.lease
            if bridged.link is not None and known_lease is not None:
                # A successor was chosen before it had a lease.
                later = known_lease.epoch and lease.epoch != known_lease.epoch
                if lease.node != known_lease.node or later:
                    bridged.cut_off()

    # Looking after

    def _sweep(self) -> None:
        """Give back what is needed no more: bundles that were kept have been dropped. And see
        whose the sessions are that are here without a lease."""
        held = self.directory.held()
        for lease in held:
            self.left(lease.session)
        if self.directory.state == "connected":
            for session in set(self.relay.sessions) - {lease.session for lease in held}:
                Deferred.fromCoroutine(self._compare(session)).addErrback(self._failed)

    def look(self) -> Deferred[bool]:
        """See `meters.cluster.Cluster`."""
        return Deferred.fromCoroutine(self._look_at_nodes())

    @property
    def _others(self) -> list[NodeInfo]:
        """The other nodes that take sessions."""
        return [one for one in self.nodes if not one.draining and one.node != self.node]

    async def _look_at_nodes(self) -> bool:
        """Whether the directory has answered."""
        try:
            self.nodes = await self.directory.nodes()
        except DirectoryAway:
            return False
        return True

    def _repeat(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self._failed(failure)
            if self.running:
                self._repeat(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the cluster has failed at something", failure)


def _weight(session: str, node: str) -> bytes:
    """Rendezvous hashing: the node with the greatest has the session."""
    return hashlib.sha256(f"{session} {node}".encode()).digest()
