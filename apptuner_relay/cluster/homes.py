"""Where the sessions of several relays are: asks the directory, and brings clients there.

For each client that comes in, `Homes.find` asks whose its session is, claims it for this relay if
it is nobody's, and else opens a link to the owner. A client whose session moves is brought after
it. While the directory is away, this relay goes on with what it has and knows; a session that
nobody is known to have is served here, and compared with the directory's when that is back.
"""

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Set
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
from apptuner_relay.cluster.gathering import Gatherings
from apptuner_relay.cluster.leaving import Leaving, weight
from apptuner_relay.cluster.link import LinkProtocol, NotReached, NotTrusted, open_link
from apptuner_relay.cluster.passes import Gate
from apptuner_relay.cluster.watch import WATCH_S, Watch, make_asker
from apptuner_relay.ends import Connection, Ends
from apptuner_relay.forwarded import UNKNOWN
from apptuner_relay.member import Member
from apptuner_relay.meters.cluster import Claims
from apptuner_relay.service import Attendee, Claim, Place, RelayService
from apptuner_relay.session import Admission, Arrival, BadRequest
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
_SWEEP_S = 5.0
_NODES_S = 10.0
_RUMOUR_S = 2.0
"""How long the old owner of a session that has moved may take to say so itself, and `_PLANNED_S`
one that stops: it is busy, and that it lives is watched anyway."""
_PLANNED_S = 10.0
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
        homes.entering[admission.session_hash] += 1

    def check(self) -> None:
        """See `Place`."""
        self._homes.relay.check_room(self._admission)

    def enter(self, connection: Connection) -> Attendee:
        """See `Place`."""
        homes = self._homes
        try:
            member = homes.relay.join(homes.gatherings.check(self._admission), connection)
            homes.gatherings.entered(member)
            return member
        finally:
            self._let_go()

    def settle(self, bridged: Bridged) -> None:
        """Make a client that was bridged until now a member."""
        homes = self._homes
        member = homes.relay.adopt(bridged, homes.gatherings.check(bridged.admission))
        homes.gatherings.entered(member)
        homes.forget(bridged)
        self._let_go()
        bridged.source.let_go(bridged)

    def abandon(self) -> None:
        """See `Place`."""
        self._homes.gatherings.miss(self._admission.session_hash, self._admission.client)
        self._let_go()

    def _let_go(self) -> None:
        key, entering = self._admission.session_hash, self._homes.entering
        entering[key] -= 1
        if not entering[key]:
            del entering[key]
        self._homes.unexpect(key)


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
        """By session, the clients that are about to enter here or elsewhere; and `entering` those
        that have their place here already."""
        self.entering: Counter[str] = Counter()
        self.bridged: defaultdict[str, set[Bridged]] = defaultdict(set)
        """By session, the clients that are bridged, or wait for it."""
        self.nodes: list[NodeInfo] = []
        """The living nodes, as they were seen last."""
        self.is_draining = False
        self._trust = trust
        self.leaving = Leaving(self, trust)
        self.gatherings = Gatherings(relay, self.left)
        self._stopping: set[str] = set()
        """Other relays that have said that they stop."""
        self._drain_until_s = 0.0
        self._parting: list[tuple[LinkProtocol, str]] = []
        relay.list_last_words = self.list_last_words
        self.bringing: set[Deferred[None]] = set()
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
            or session_hash in self.leaving
            or session_hash in self.gatherings
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
        if bridged.parting is not None:
            self.see_off(bridged.parting, key)
        those = self.bridged.get(key)
        if those is not None:
            those.discard(bridged)
            if not those:
                del self.bridged[key]
                self.left(key)

    def see_off(self, link: LinkProtocol, session: str) -> None:
        """What was sent over ``link`` is to arrive before this relay ends."""
        self._parting = [(one, key) for one, key in self._parting if one.is_leaving]
        if link.is_leaving:
            self._parting.append((link, session))

    def list_last_words(self) -> Set[str]:
        """See `RelayService.list_last_words`."""
        return {session for link, session in self._parting if link.is_leaving}

    def _bridge(self, admission: Admission, connection: Connection, ends: Ends) -> Bridged:
        bridged = Bridged(
            self.relay, admission, connection, ends, on_lost=self.settle, on_gone=self.forget
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
                await self.leaving.over(key)
                lease = await self._owner(admission)
                if lease.node == self.node:
                    await self.relay.make_room(admission)
                    if key in self.leaving or not await self._is_here(admission):
                        continue
                    try:
                        self.relay.check_room(admission)
                    except BadRequest:
                        self.gatherings.miss(key, admission.client)
                        raise
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

    async def _is_here(self, admission: Admission) -> bool:
        """Whether a session is still this relay's, after others have been waited for."""
        return (await self._owner(admission)).node == self.node

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
        if not self.others:
            raise BadRequest(503, "The relay restarts, and there is no other one")
        chosen = max(self.others, key=lambda one: weight(key, one.node))
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
            if key in self.leaving or not self.running:
                raise NotHere("the session is about to move")
            if key not in self._provisional:
                try:
                    lease = await self.directory.claim(key)
                except (Draining, DirectoryAway) as wrong:
                    raise NotHere(str(wrong)) from None
                if lease.node != self.node:
                    raise NotHere(f"the session is {lease.node}'s")
            if self.is_draining and key not in self.gatherings:
                # Perhaps nobody is in it, and only its last bundle is here.
                self.leaving.start(key, Arrival.MOVED, self._drain_until_s)
            await self.relay.make_room(admission)
            if key in self.leaving or not await self._is_here(admission):
                raise NotHere("the session is about to move")
            try:
                self.relay.check_room(admission)
            except BadRequest:
                self.gatherings.miss(key, admission.client)
                raise
            return Here(self, admission)
        finally:
            self.unexpect(key)

    # Moving

    def drain(self, until_s: float) -> Deferred[None]:
        """See `service.Homes`."""
        self.is_draining = True
        self._drain_until_s = until_s
        return Deferred.fromCoroutine(self.leaving.drain(until_s)).addErrback(self._failed)

    def become_bridged(self, member: Member, arrival: Arrival) -> Bridged:
        """A client of this relay, held and idle, is no member any more: its session is, or is to
        be, elsewhere."""
        lost_ms = in_ms(self.relay.wall_s())
        admission = dataclasses.replace(member.admission, arrival=arrival, lost_ms=lost_ms)
        ends = Ends(member.source, member.sink, member.reader)
        bridged = self._bridge(admission, member.connection, ends)
        self.relay.replace(member, bridged)
        return bridged

    def no_longer_provisional(self, session: str) -> None:
        """A session that was begun without the directory has gone."""
        self._provisional.discard(session)

    def settle(self, bridged: Bridged) -> None:
        """Bring a client whose session has moved to where that is now."""
        bringing = self._at_once.run(self._bring_or_close, bridged)
        self.bringing.add(bringing)
        bringing.addBoth(lambda _: self.bringing.discard(bringing))

    def _bring_or_close(self, bridged: Bridged) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            self._failed(failure)
            bridged.connection.close(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

        return Deferred.fromCoroutine(self._bring(bridged)).addErrback(failed)

    async def _bring(self, bridged: Bridged) -> None:
        if bridged.is_gone and bridged.admission.arrival is not Arrival.MOVED:
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
            # Where others wait for it they know now.
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

        planned = any(
            one.lease is not None and one.lease.node in self._stopping
            for one in self.bridged.get(session, ())
        )

        async def check() -> None:
            await deferLater(self.relay.clock, _PLANNED_S if planned else _RUMOUR_S)
            await self._compare(session)

        Deferred.fromCoroutine(check()).addErrback(self._failed)

    def drained(self, node: str) -> None:
        """See `Events`."""
        self._stopping.add(node)

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
        if session in self.leaving or not known or not self.running:
            return
        try:
            lease = await self.directory.claim(session)
        except (DirectoryAway, Draining):
            return
        self._provisional.discard(session)
        if lease.node != self.node and session in self.relay.sessions:
            until_s = self.relay.clock.seconds() + _LOST_PATIENCE_S
            self.leaving.start(session, Arrival.RECOVERED, until_s)
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
    def others(self) -> list[NodeInfo]:
        """The other nodes that take sessions."""
        return [one for one in self.nodes if not one.draining and one.node != self.node]

    async def _look_at_nodes(self) -> bool:
        """Whether the directory has answered."""
        try:
            self.nodes = await self.directory.nodes()
        except DirectoryAway:
            return False
        self._stopping &= {one.node for one in self.nodes if one.draining}
        return True

    def _repeat(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self._failed(failure)
            if self.running:
                self._repeat(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the cluster has failed at something", failure)
