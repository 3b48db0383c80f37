"""How sessions leave this relay: when it stops, or when another one has them.

A relay that stops gives each session to another one (`handover`): everybody in it stops (`moving`),
its last bundle is sent there, and then the list of who comes along. From then on the other relay
has it, and its clients are brought there. Where nobody takes it, it is given back to the directory,
and whoever brings a client of it first has it then.
"""

import hashlib
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.bundles.spooled import SpooledBundle, State
from apptuner_relay.cluster.directory import DirectoryAway, Draining, Lease, NodeInfo
from apptuner_relay.cluster.handover import Handover, NotHandedOver, Refused
from apptuner_relay.cluster.handover_words import Kept
from apptuner_relay.cluster.link import NotReached, open_handover
from apptuner_relay.cluster.moving import Move
from apptuner_relay.session import Arrival, BadRequest

if TYPE_CHECKING:
    from apptuner_relay.cluster.bridge import Bridged
    from apptuner_relay.cluster.homes import Homes

_MOST_AT_ONCE = 32
"""How many sessions leave at the same time. In those whose turn has not come all goes on."""
_QUICK_S = 1.0
"""For how long a session that has to finish something keeps others from having their turn."""
_ASK_TIMES = 3
"""How often a relay that stops asks who else there is."""
_MOST_CANDIDATES = 3
"""How many relays are asked to take a session."""
_LOOK_S = 0.02
_CLOSING_SHARE, _LONGEST_CLOSING_S = 0.2, 3.0
"""How much of a stop's time is left for closing this relay's clients, when sessions take long to
leave; and at the most."""
_TAKING_SHARE, _LONGEST_TAKING_S = 0.1, 2.0
"""As much of it for the sessions themselves, when their bundles take long."""


class Leaving:
    """The sessions of a relay that are on their way out.

    :param trust: see `homes.Homes`.
    """

    log = Logger()

    def __init__(self, homes: "Homes", trust: Certificate | None) -> None:
        self._homes = homes
        self._trust = trust
        self._moves: dict[str, list[Deferred[None]]] = {}
        """Those sessions, and who waits for their end here."""
        self._slots = DeferredSemaphore(_MOST_AT_ONCE)
        self._bundles_until_s = 0.0

    def __contains__(self, session: object) -> bool:
        return session in self._moves

    def over(self, session: str) -> Deferred[None]:
        """Fires when a session doesn't leave, or has left."""
        over: Deferred[None] = Deferred()
        if session in self._moves:
            self._moves[session].append(over)
        else:
            over.callback(None)
        return over

    def start(self, session: str, arrival: Arrival, until_s: float) -> Deferred[None]:
        """Have a session leave, or its last bundle where nobody is in it. Fires, never fails, when
        nothing of it is here any more.

        :param arrival: how its clients are to arrive elsewhere.
        :param until_s: who has not stopped by then is closed.
        """
        gatherings = self._homes.gatherings
        if session in gatherings:
            # Whoever comes to it is let in until then.
            over = gatherings.over(session)
            return over.addCallback(lambda _: self.start(session, arrival, until_s))
        if session not in self._moves:
            self._moves[session] = []
            moving = Deferred.fromCoroutine(self._move(session, arrival, until_s))
            moving.addErrback(self._failed)
        return self.over(session)

    async def drain(self, until_s: float) -> None:
        """Have other relays take the sessions of this one. Returns when there are none left here,
        or nobody takes them.

        :param until_s: when all of the stop is to be over.
        """
        homes = self._homes
        now_s = homes.relay.clock.seconds()
        timeout_s = max(0.0, until_s - now_s)
        until_s -= min(_LONGEST_CLOSING_S, _CLOSING_SHARE * timeout_s)
        self._bundles_until_s = until_s - min(_LONGEST_TAKING_S, _TAKING_SHARE * timeout_s)
        await homes.directory.announce_drain()
        for _ in range(_ASK_TIMES):
            if await homes.look() or homes.relay.clock.seconds() >= until_s:
                break
        if homes.directory.state == "away" or not homes.others:
            return
        sessions = self._list_sessions()
        self.log.info("draining: {count} sessions go to other relays", count=len(sessions))
        moves = [self.start(key, Arrival.MOVED, until_s) for key in sessions]
        for move in moves:
            await move
        # Their clients are to be known where they are now before they are closed here.
        while homes.bringing and homes.relay.clock.seconds() < until_s:
            await deferLater(homes.relay.clock, _LOOK_S)

    def _list_sessions(self) -> list[str]:
        """Those with clients, and behind them those of which only a bundle is kept, the ones that
        were used last first."""
        relay = self._homes.relay
        store = relay.store
        kept: list[tuple[float, str]] = []
        for lease in self._homes.directory.held():
            bundle = store.latest(lease.session) if store is not None else None
            if isinstance(bundle, SpooledBundle) and lease.session not in relay.sessions:
                kept.append((bundle.last_use_s, lease.session))
        return [*relay.sessions, *(session for _, session in sorted(kept, reverse=True))]

    async def _move(self, key: str, arrival: Arrival, until_s: float) -> None:
        homes = self._homes
        relay = homes.relay
        session = relay.sessions.get(key)
        move = None if session is None else Move(relay, session)
        homeless: list[Bridged] = []
        try:
            handover: Handover | None = None
            taken = False
            if arrival is Arrival.MOVED:
                turn = _Turn(self._slots)
                await turn.begin()
                try:
                    taken, handover = await self._hand_over(key, move, turn, until_s)
                finally:
                    turn.end()
            elif move is not None:
                await self._stop(key, move, until_s)
            if move is not None:
                if not taken:
                    move.list_travellers()
                missing = move.list_missing()
                for member in move.part(taken):
                    # One that was in the middle of another's bundle may have been closed by now.
                    if not member.source.gone:
                        homeless.append(homes.become_bridged(member, arrival))
                if handover is not None and missing:
                    handover.miss(missing)
            if handover is not None:
                homes.see_off(handover.close(), key)
            if session is not None:
                relay.give_up(session)
            elif relay.store is not None:
                relay.store.forget(key)
            homes.no_longer_provisional(key)
            if arrival is Arrival.MOVED and not taken:
                await homes.directory.release(key)
        finally:
            waiting = self._moves.pop(key)
            for bridged in homeless:
                homes.settle(bridged)
            if not homeless:
                homes.left(key)
            for one in waiting:
                one.callback(None)

    async def _hand_over(
        self, key: str, move: Move | None, turn: "_Turn", until_s: float
    ) -> tuple[bool, Handover | None]:
        """Whether another relay has taken a session, and the way to it, where that is open."""
        homes = self._homes
        clock = homes.relay.clock
        if move is not None:
            quick_s = min(until_s, clock.seconds() + _QUICK_S)
            if not await move.stop_desktop_side(quick_s):
                turn.end()
                await move.stop_desktop_side(until_s)
                await turn.begin()
        bundle = await self._last_bundle(key)
        lease = await self._own_lease(key)
        dropped = None if bundle is None else "no relay has taken the session"
        for node in self._list_candidates(key, move) if lease is not None else ():
            assert lease is not None
            try:
                handover, why = await self._reach(key, node, bundle)
                if bundle is not None:
                    dropped = why
                if move is not None:
                    await self._stop(key, move, until_s)
                travellers = [] if move is None else move.list_travellers()
                try:
                    await handover.hand_over(lease.epoch, travellers)
                except Refused:
                    handover.close()
                    raise
                except NotHandedOver:
                    handover.abort()
                    if await self._owner(key) != node.node:
                        raise
            except (NotReached, BadRequest, NotHandedOver) as wrong:
                self.log.warn(
                    "session {session}: relay {node} does not take it over: {why}",
                    session=key[:8],
                    node=node.node,
                    why=str(wrong),
                )
                continue
            homes.directory.hand_over(key)
            self._tell_dropped(key, dropped)
            return True, handover
        if move is not None:
            await self._stop(key, move, until_s)
        self._tell_dropped(key, dropped)
        return False, None

    async def _stop(self, key: str, move: Move, until_s: float) -> None:
        """Have everybody stop, those as well who are just coming in."""
        homes = self._homes
        await move.stop(until_s)
        while key in homes.entering and homes.relay.clock.seconds() < until_s:
            await deferLater(homes.relay.clock, _LOOK_S)
            await move.stop(until_s)

    async def _reach(
        self, key: str, node: NodeInfo, bundle: SpooledBundle | None
    ) -> tuple[Handover, str | None]:
        """Open the way to another relay and send the bundle, if there is one. Returns as well why
        the bundle is not kept there.

        :raises NotReached, BadRequest, NotHandedOver: there is no way to it.
        """
        homes = self._homes
        store = homes.relay.store
        handover = await self._open(key, node)
        try:
            if bundle is None or store is None:
                await handover.offer(None)
                return handover, None
            age_s = max(0.0, homes.relay.clock.seconds() - bundle.last_use_s)
            why = await handover.offer(Kept(bundle.form, bundle.size, age_s))
            if why is not None:
                return handover, why
        except NotHandedOver:
            handover.abort()
            raise
        try:
            why = await handover.send_bundle(bundle, store.disk, self._bundles_until_s)
        except NotHandedOver as wrong:
            # What was begun can't be taken back on that connection.
            why = str(wrong)
            handover.abort()
            handover = await self._open(key, node)
            await handover.offer(None)
        return handover, why

    async def _open(self, key: str, node: NodeInfo) -> Handover:
        homes = self._homes
        link = await open_handover(
            homes.relay, node.address, homes.secret, homes.node, node.node, key, self._trust
        )
        return Handover(link, homes.relay.clock, homes.node)

    async def _last_bundle(self, key: str) -> SpooledBundle | None:
        """The session's last bundle, once it is in its file; None where none is kept."""
        store = self._homes.relay.store
        if store is None or store.off is not None:
            return None
        while True:
            bundle = store.last(key)
            if bundle is None or bundle.state is State.COMPLETE:
                return bundle
            if self._homes.relay.clock.seconds() >= self._bundles_until_s:
                return None
            await deferLater(self._homes.relay.clock, _LOOK_S)

    async def _own_lease(self, key: str) -> Lease | None:
        """What this relay has to give away; None where it has nothing."""
        try:
            lease = await self._homes.directory.claim(key)
        except (DirectoryAway, Draining):
            return None
        return lease if lease.node == self._homes.node else None

    async def _owner(self, key: str) -> str | None:
        try:
            lease = await self._homes.directory.look(key)
        except DirectoryAway:
            return None
        return None if lease is None else lease.node

    def _list_candidates(self, key: str, move: Move | None) -> list[NodeInfo]:
        """Who may take a session: first the relay that most of its clients are connected to."""
        through = {} if move is None else move.count_by_relay()
        others = self._homes.others
        others.sort(key=lambda one: (through.get(one.node, 0), weight(key, one.node)))
        return others[: -_MOST_CANDIDATES - 1 : -1]

    def _tell_dropped(self, key: str, why: str | None) -> None:
        if why is not None:
            self.log.info(
                "session {session}: its last bundle is dropped, as it can't be handed over: {why}",
                session=key[:8],
                why=why,
            )

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a session has failed to leave", failure)


class _Turn:
    """One session's, of those that leave at the same time."""

    def __init__(self, slots: DeferredSemaphore) -> None:
        self._slots = slots
        self._is_on = False

    async def begin(self) -> None:
        """Wait for it."""
        await self._slots.acquire()
        self._is_on = True

    def end(self) -> None:
        """Let another one have its turn. Harmless when it was done before."""
        if self._is_on:
            self._is_on = False
            self._slots.release()


def weight(session: str, node: str) -> bytes:
    """Rendezvous hashing: the node with the greatest has the session."""
    return hashlib.sha256(f"{session} {node}".encode()).digest()
