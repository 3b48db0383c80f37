"""The directory that nodes share: a `Directory` in Redis.

The rules of ownership are scripts that Redis runs (`scripts`). `redis_link` keeps the connections,
`availability` knows whether the server is reachable, `heartbeat` keeps this node alive in it,
`reconciler` compares the leases there with those that this node remembers, and `peer_notices` hears
other nodes. This module joins them to a `Directory`. Importing it imports txredisapi, of the extra
``redis``.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import (
    DirectoryCounts,
    DirectoryState,
    DirectoryUnreachable,
    Draining,
    Events,
    Lease,
    NodeInfo,
    NodeLife,
    Suspicion,
    check_session,
)
from apptuner_relay.cluster.ownership.eviction import Eviction
from apptuner_relay.cluster.ownership.guarded_events import GuardedEvents
from apptuner_relay.cluster.ownership.heartbeat import Heartbeat, Timing
from apptuner_relay.cluster.ownership.leases import parse_nodes, parse_other, parse_suspicion
from apptuner_relay.cluster.ownership.peer_notices import PeerNotices
from apptuner_relay.cluster.ownership.pubsub import kicked_text
from apptuner_relay.cluster.ownership.reconciler import Reconciler
from apptuner_relay.cluster.ownership.redis_endpoint import make_endpoint
from apptuner_relay.cluster.ownership.redis_errors import is_passing
from apptuner_relay.cluster.ownership.redis_link import (
    CommandLink,
    LinkLost,
    ServerRefused,
    SubscriberLink,
)
from apptuner_relay.config.node_names import check_address, check_node
from apptuner_relay.config.redis_url import RedisUrl
from apptuner_relay.support.authorities import read_authorities
from apptuner_relay.support.clocks import WallClock, in_ms

__all__ = ["DEFAULT_PREFIX", "RedisDirectory", "Timing", "make_directory"]

DEFAULT_PREFIX = "apptuner:"
_AGAIN_S = 0.02
"""The pause before another attempt that is rarely needed: a second heartbeat, or a claim while the
connection is being dropped."""


def make_directory(
    reactor: Any,
    url: RedisUrl,
    node: str,
    address: str,
    events: Events,
    *,
    connections: Callable[[], int],
    version: str,
    authorities: Path | None = None,
    prefix: str = DEFAULT_PREFIX,
    timing: Timing | None = None,
) -> "RedisDirectory":
    """The directory in the server that a URL names.

    :param authorities: a PEM file of the authorities to trust instead of the system's.
    :raises authorities.BadCertificates: the file can't be used.
    """
    timing = timing or Timing()
    trusted = None if authorities is None else read_authorities(authorities)
    endpoint = make_endpoint(reactor, url, trusted)
    return RedisDirectory(
        CommandLink(endpoint, url, reactor, timing.answer),
        SubscriberLink(endpoint, url, reactor, timing.answer),
        reactor,
        node,
        address,
        events,
        connections=connections,
        version=version,
        prefix=prefix,
        timing=timing,
        label=str(url),
    )


class RedisDirectory:
    """A `Directory`; see there for what has no docstring of its own.

    :param label: how the server is named in the log.
    """

    log = Logger()

    def __init__(
        self,
        commands: CommandLink,
        subscriber: SubscriberLink,
        clock: IReactorTime,
        node: str,
        address: str,
        events: Events,
        *,
        connections: Callable[[], int],
        version: str,
        prefix: str = DEFAULT_PREFIX,
        timing: Timing | None = None,
        label: str = "the directory",
        wall_s: WallClock = time.time,
    ) -> None:
        timing = timing or Timing()
        guarded = GuardedEvents(events)
        since_ms = in_ms(wall_s())
        version = version.replace(" ", "_") or "?"
        self.node = check_node(node)
        self.events: Events = guarded
        self._address = check_address(address)
        self._run_id = secrets.token_hex(4)
        self._prefix, self._timing, self._label = prefix, timing, label
        self._commands, self._subscriber, self._clock = commands, subscriber, clock
        self._locks: dict[str, DeferredLock] = {}
        self._availability = Availability(clock, guarded, timing.answer, label)
        self._reconciler = Reconciler(
            self._run,
            node,
            address,
            guarded,
            lambda session, wanted: self._notices.subscribe(session, wanted),
        )
        self._heartbeat = Heartbeat(
            self._run,
            self._reconciler,
            self._availability,
            clock,
            timing,
            lambda: (address, connections(), since_ms, version),
            self._locks.keys(),
            guarded.listed,
        )
        self._eviction = Eviction(commands.run, clock, label)
        commands.on_connected, commands.on_disconnected = self._connected, self._disconnected
        self._notices = PeerNotices(
            subscriber,
            clock,
            node,
            prefix,
            label,
            guarded,
            self._reconciler,
            self._heartbeat,
            self._availability,
        )

    @property
    def counters(self) -> DirectoryCounts:
        return self._reconciler.counters

    @property
    def state(self) -> DirectoryState:
        return "away" if self._availability.is_unreachable else "connected"

    @property
    def unreachable_since_s(self) -> float | None:
        return self._availability.unreachable_since_s

    @property
    def eviction_policy(self) -> str | None:
        return self._eviction.policy

    @property
    def fresh(self) -> bool:
        return self._heartbeat.fresh

    @property
    def draining(self) -> bool:
        return self._heartbeat.draining

    def start(self) -> Deferred[None]:
        self._availability.start()
        self._heartbeat.start()
        self._eviction.start()
        self._notices.start()
        self._commands.start()
        return self._availability.first_attempt

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def held(self) -> list[Lease]:
        return list(self._reconciler.leases.held.values())

    def claim(self, session: str) -> Deferred[Lease]:
        check_session(session)
        self.counters.claims += 1
        until_s = self._clock.seconds() + self._timing.answer
        return Deferred.fromCoroutine(self._in_turn(session, self._claim, until_s))

    def look(self, session: str) -> Deferred[Lease | None]:
        return Deferred.fromCoroutine(self._look(check_session(session)))

    def release(self, session: str) -> Deferred[None]:
        check_session(session)
        return Deferred.fromCoroutine(self._in_turn(session, self._release))

    def take_over(self, session: str, node: str, epoch: int) -> Deferred[Lease]:
        check_session(session)
        check_node(node)
        if self.draining:
            return fail(Draining("this node takes no new sessions"))
        self.counters.claims += 1
        return Deferred.fromCoroutine(self._in_turn(session, self._take_over, node, epoch))

    def hand_over(self, session: str) -> None:
        self._reconciler.leases.held.pop(check_session(session), None)

    def announce_drain(self) -> Deferred[None]:
        self._heartbeat.draining = True
        return Deferred.fromCoroutine(self._heartbeat.beat())

    def end_drain(self) -> Deferred[None]:
        self._heartbeat.draining = False
        return Deferred.fromCoroutine(self._heartbeat.beat())

    def kick(self, session: str, role: str, reason: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kick(session, kicked_text(session, role, reason)))

    def nodes(self) -> Deferred[list[NodeInfo]]:
        return Deferred.fromCoroutine(self._nodes())

    def suspect(self, node: str, address: str, before: Suspicion) -> Deferred[Suspicion]:
        return Deferred.fromCoroutine(self._suspect(check_node(node), address, before))

    # Claims and releases: one at a time for each session

    async def _in_turn(self, session: str, do: Callable[..., Any], *args: object) -> Any:
        lock = self._locks.setdefault(session, DeferredLock())
        await lock.acquire()
        try:
            return await do(session, *args)
        finally:
            lock.release()
            if not lock.locked:
                self._locks.pop(session, None)

    async def _claim(self, session: str, until_s: float) -> Lease:
        leases = self._reconciler.leases
        held = leases.held.get(session)
        if held is not None and (self.fresh or self.state == "away"):
            return held
        has_beaten = False
        while True:
            await self._availability.wait(until_s)
            leases.doubtful.discard(session)
            try:
                reply = await self._run(scripts.CLAIM, session, int(self.draining))
            except (LinkLost, ServerRefused) as wrong:
                # It may be this node's now. Unless this node asks again, it doesn't want it.
                leases.doubtful.add(session)
                if isinstance(wrong, ServerRefused) and not is_passing(str(wrong)):
                    raise DirectoryUnreachable(f"the directory refused: {wrong}") from None
                if not self._availability.is_unreachable:
                    # The connection was dropped, and is not closed yet.
                    await self._pause(_AGAIN_S, until_s)
                continue
            lease = self._reconciler.learn(session, reply)
            if lease is not None:
                return lease
            word, _, wait_ms = reply.partition(" ")
            if word == "draining":
                raise Draining("no node has the session, and this one takes no new sessions")
            if word == "settling":
                await self._pause(int(wait_ms) / 1000, until_s)
            elif word == "unregistered":
                if has_beaten:
                    await self._pause(_AGAIN_S, until_s)
                await self._heartbeat.beat()
                has_beaten = True
            else:
                # A lease that names no node: no relay has written it.
                raise DirectoryUnreachable("the directory holds a damaged lease")

    async def _take_over(self, session: str, node: str, epoch: int) -> Lease:
        leases = self._reconciler.leases
        leases.doubtful.discard(session)
        try:
            reply = await self._ask(scripts.TAKE_OVER, session, node, str(epoch))
        except DirectoryUnreachable:
            leases.doubtful.add(session)
            raise
        lease = self._reconciler.learn(session, reply)
        if lease is None:
            raise DirectoryUnreachable(f"the directory replies {reply}")
        return lease

    async def _look(self, session: str) -> Lease | None:
        held = self._reconciler.leases.held.get(session)
        if held is not None and (self.fresh or self.state == "away"):
            return held
        until_s = self._clock.seconds() + self._timing.answer
        while True:
            (reply,) = await self._ask(scripts.LOOK, int(self._timing.grace * 1000), session)
            word, _, wait_ms = reply.partition(" ")
            if word != "settling" or self._clock.seconds() >= until_s:
                return parse_other(session, reply)
            # Its owner may not know yet that the server has lost the lease.
            await self._heartbeat.beat()
            await self._pause(int(wait_ms) / 1000, until_s)

    async def _release(self, session: str) -> None:
        self._reconciler.forget_other(session)
        if self._reconciler.leases.held.pop(session, None) is not None:
            await self._reconciler.release([session])

    async def _kick(self, session: str, text: str) -> None:
        await self._ask(scripts.KICK, session, text)

    async def _nodes(self) -> list[NodeInfo]:
        nodes, _ = parse_nodes(await self._ask(scripts.NODES))
        return nodes

    async def _suspect(self, node: str, address: str, before: Suspicion) -> Suspicion:
        try:
            asked = (node, address, before.run, before.left_ms)
            return parse_suspicion(await self._ask(scripts.SUSPECT, *asked))
        except DirectoryUnreachable:
            return Suspicion(NodeLife.UNKNOWN)

    async def _ask(self, script: str, *args: str | int) -> Any:
        """Run a script as soon as the server is reachable."""
        await self._availability.wait(self._clock.seconds() + self._timing.answer)
        try:
            return await self._run(script, *args)
        except (LinkLost, ServerRefused) as wrong:
            raise DirectoryUnreachable(f"the directory did not answer: {wrong}") from None

    async def _pause(self, pause_s: float, until_s: float) -> None:
        left_s = until_s - self._clock.seconds()
        await deferLater(self._clock, max(0.0, min(pause_s, left_s)))

    async def _run(self, script: str, *args: str | int) -> Any:
        if not self._commands.is_up:
            raise LinkLost("not connected")
        self.counters.commands += 1
        keep_ms = int(self._timing.keep * 1000)
        return await self._commands.run(
            script, self._prefix, self.node, self._run_id, keep_ms, *args
        )

    async def _stop(self) -> None:
        if self._availability.is_stopped:
            return
        self._availability.stop()
        self._heartbeat.stop()
        self._eviction.stop()
        self._notices.stop_pings()
        leaving = Deferred.fromCoroutine(self._leave())
        try:
            await leaving.addTimeout(self._timing.answer, self._clock)
        except TimeoutError:
            self.log.warn("{label}: not all leases could be released in time", label=self._label)
        await self._commands.stop()
        await self._subscriber.stop()

    async def _leave(self) -> None:
        sessions = tuple(self._reconciler.leases.held)
        self._reconciler.leases.held.clear()
        await self._reconciler.release(sessions)
        try:
            # This also ends the leases that could not be released.
            await self._run(scripts.LEAVE)
        except (LinkLost, ServerRefused):
            return

    # The server

    def _connected(self) -> None:
        Deferred.fromCoroutine(self._heartbeat.beat()).addErrback(self._failed)
        Deferred.fromCoroutine(self._eviction.check()).addErrback(self._failed)

    def _disconnected(self, reason: str) -> None:
        if not self._availability.is_stopped:
            self._subscriber.reset(reason)
        self._availability.lost(reason)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the directory has failed", failure)
