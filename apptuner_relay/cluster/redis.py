"""The directory that nodes share: a `Directory` in Redis.

The rules of ownership are scripts that Redis runs (`scripts`). `redis_link` keeps the connections,
`presence` knows whether there is a server, `heartbeat` keeps this node alive in it, and `ledger`
compares what is written there with what this node remembers. Here is what a node asks of them.
Importing this module imports txredisapi, of the extra ``redis``.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.clocks import WallClock, in_ms
from apptuner_relay.cluster import scripts
from apptuner_relay.cluster.connections import Commands, Notices
from apptuner_relay.cluster.directory import (
    Counters,
    DirectoryAway,
    Draining,
    Events,
    Lease,
    NodeInfo,
    State,
    check_address,
    check_node,
    check_session,
)
from apptuner_relay.cluster.eviction import Eviction
from apptuner_relay.cluster.guarded import GuardedEvents
from apptuner_relay.cluster.heartbeat import Heartbeat, Timing
from apptuner_relay.cluster.leases import parse_node, parse_other
from apptuner_relay.cluster.ledger import Ledger
from apptuner_relay.cluster.notices import (
    Begun,
    Drained,
    Emptied,
    Kicked,
    Moved,
    kicked_text,
    parse_notice,
)
from apptuner_relay.cluster.presence import Presence
from apptuner_relay.cluster.redis_endpoint import make_endpoint, read_authorities
from apptuner_relay.cluster.redis_errors import is_passing
from apptuner_relay.cluster.redis_link import CommandLink, LinkLost, NoticeLink, ServerRefused
from apptuner_relay.cluster.redis_url import RedisUrl

__all__ = ["DEFAULT_PREFIX", "RedisDirectory", "Timing", "make_directory"]

DEFAULT_PREFIX = "apptuner:"
_PING_S = 10.0
"""How often to look whether the connection that only listens still has another end."""
_AGAIN_S = 0.02
"""Before what should not have been needed: a second beat, a claim on a connection that goes."""


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
    """The directory in the server of a URL.

    :param authorities: a PEM file: who may have signed the server's certificate.
    :raises redis_endpoint.BadCertificates: the file can't be used.
    """
    timing = timing or Timing()
    trusted = None if authorities is None else read_authorities(authorities)
    endpoint = make_endpoint(reactor, url, trusted)
    return RedisDirectory(
        CommandLink(endpoint, url, reactor, timing.answer),
        NoticeLink(endpoint, url, reactor, timing.answer),
        reactor,
        node,
        address,
        events,
        connections=connections,
        version=version,
        prefix=prefix,
        timing=timing,
        place=str(url),
    )


class RedisDirectory:
    """A `Directory`; see there for what has no docstring of its own.

    :param place: how the server is named in the log.
    """

    log = Logger()

    def __init__(
        self,
        commands: Commands,
        notices: Notices,
        clock: IReactorTime,
        node: str,
        address: str,
        events: Events,
        *,
        connections: Callable[[], int],
        version: str,
        prefix: str = DEFAULT_PREFIX,
        timing: Timing | None = None,
        place: str = "the directory",
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
        self._prefix, self._timing, self._place = prefix, timing, place
        self._commands, self._notices, self._clock = commands, notices, clock
        self._locks: dict[str, DeferredLock] = {}
        self._pings = LoopingCall(notices.ping)
        self._pings.clock = clock
        self._presence = Presence(clock, guarded, timing.answer, place)
        self._ledger = Ledger(self._run, node, address, guarded, self._subscribe)
        self._heartbeat = Heartbeat(
            self._run,
            self._ledger,
            self._presence,
            clock,
            timing,
            lambda: (address, connections(), since_ms, version),
            self._locks.keys(),
        )
        self._eviction = Eviction(commands.run, clock, place)
        commands.on_up, commands.on_down = self._arrived, self._lost_server
        notices.on_up, notices.on_down = self._listening, self._presence.deaf
        notices.on_notice = self._heard

    @property
    def counters(self) -> Counters:
        return self._ledger.counters

    @property
    def state(self) -> State:
        return "away" if self._presence.is_away else "connected"

    @property
    def away_since_s(self) -> float | None:
        return self._presence.away_since_s

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
        self._presence.start()
        self._heartbeat.start()
        self._eviction.start()
        self._pings.start(_PING_S, now=False).addErrback(self._failed)
        self._notices.start()
        self._commands.start()
        return self._presence.tried

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def held(self) -> list[Lease]:
        return list(self._ledger.leases.held.values())

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
        self._ledger.leases.held.pop(check_session(session), None)

    def announce_drain(self) -> Deferred[None]:
        self._heartbeat.draining = True
        return Deferred.fromCoroutine(self._heartbeat.beat())

    def kick(self, session: str, role: str, reason: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._kick(session, kicked_text(session, role, reason)))

    def nodes(self) -> Deferred[list[NodeInfo]]:
        return Deferred.fromCoroutine(self._nodes())

    # Claims and releases, one at a time for each session.

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
        leases = self._ledger.leases
        held = leases.held.get(session)
        if held is not None and (self.fresh or self.state == "away"):
            return held
        has_beaten = False
        while True:
            await self._presence.wait(until_s)
            leases.doubtful.discard(session)
            try:
                reply = await self._run(scripts.CLAIM, session, int(self.draining))
            except (LinkLost, ServerRefused) as wrong:
                # Whether it is ours now is not known. If we don't ask again, we don't want it.
                leases.doubtful.add(session)
                if isinstance(wrong, ServerRefused) and not is_passing(str(wrong)):
                    raise DirectoryAway(f"the directory refused: {wrong}") from None
                if not self._presence.is_away:
                    # The connection is given up, but not gone yet.
                    await self._pause(_AGAIN_S, until_s)
                continue
            lease = self._ledger.learn(session, reply)
            if lease is not None:
                return lease
            word, _, wait_ms = reply.partition(" ")
            if word == "draining":
                raise Draining("nobody has the session, and this node takes no new ones")
            if word == "settling":
                await self._pause(int(wait_ms) / 1000, until_s)
            elif word == "unregistered":
                if has_beaten:
                    await self._pause(_AGAIN_S, until_s)
                await self._heartbeat.beat()
                has_beaten = True
            else:
                # A lease that names no node: the server holds what no relay wrote.
                raise DirectoryAway("the directory holds a damaged lease")

    async def _take_over(self, session: str, node: str, epoch: int) -> Lease:
        leases = self._ledger.leases
        leases.doubtful.discard(session)
        try:
            reply = await self._ask(scripts.TAKE_OVER, session, node, str(epoch))
        except DirectoryAway:
            leases.doubtful.add(session)
            raise
        lease = self._ledger.learn(session, reply)
        if lease is None:
            raise DirectoryAway(f"the directory says {reply}")
        return lease

    async def _look(self, session: str) -> Lease | None:
        held = self._ledger.leases.held.get(session)
        if held is not None and (self.fresh or self.state == "away"):
            return held
        until_s = self._clock.seconds() + self._timing.answer
        while True:
            (reply,) = await self._ask(scripts.LOOK, int(self._timing.grace * 1000), session)
            word, _, wait_ms = reply.partition(" ")
            if word != "settling" or self._clock.seconds() >= until_s:
                return parse_other(session, reply)
            # Those who have it may not have heard yet that it is to be written again.
            await self._heartbeat.beat()
            await self._pause(int(wait_ms) / 1000, until_s)

    async def _release(self, session: str) -> None:
        self._ledger.forget_other(session)
        if self._ledger.leases.held.pop(session, None) is not None:
            await self._ledger.release([session])

    async def _kick(self, session: str, text: str) -> None:
        await self._ask(scripts.KICK, session, text)

    async def _nodes(self) -> list[NodeInfo]:
        lines = await self._ask(scripts.NODES)
        return sorted(info for line in lines if (info := parse_node(line)) is not None)

    async def _ask(self, script: str, *args: str | int) -> Any:
        """Run a script as soon as there is a server."""
        await self._presence.wait(self._clock.seconds() + self._timing.answer)
        try:
            return await self._run(script, *args)
        except (LinkLost, ServerRefused) as wrong:
            raise DirectoryAway(f"the directory did not answer: {wrong}") from None

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
        if self._presence.is_stopped:
            return
        self._presence.stop()
        self._heartbeat.stop()
        self._eviction.stop()
        if self._pings.running:
            self._pings.stop()
        leaving = Deferred.fromCoroutine(self._leave())
        try:
            await leaving.addTimeout(self._timing.answer, self._clock)
        except TimeoutError:
            self.log.warn("{place}: no time to release all leases", place=self._place)
        await self._commands.stop()
        await self._notices.stop()

    async def _leave(self) -> None:
        sessions = tuple(self._ledger.leases.held)
        self._ledger.leases.held.clear()
        await self._ledger.release(sessions)
        try:
            # This ends also what could not be released.
            await self._run(scripts.LEAVE)
        except (LinkLost, ServerRefused):
            return

    # The server comes and goes; other nodes say something.

    def _arrived(self) -> None:
        self._beat_soon()
        Deferred.fromCoroutine(self._eviction.look()).addErrback(self._failed)

    def _beat_soon(self) -> None:
        Deferred.fromCoroutine(self._heartbeat.beat()).addErrback(self._failed)

    def _lost_server(self, reason: str) -> None:
        if not self._presence.is_stopped:
            self._notices.reset(reason)
        self._presence.lost(reason)

    def _subscribe(self, session: str, wanted: bool) -> None:
        call = self._notices.subscribe if wanted else self._notices.unsubscribe
        call(f"{self._prefix}on:{session}")

    def _listening(self) -> None:
        for channel in ("all", "news"):
            self._notices.subscribe(f"{self._prefix}{channel}")
        self._notices.subscribe(f"{self._prefix}to:{self.node}")
        for session in self._ledger.leases.others:
            self._subscribe(session, True)
        # What was said while nobody listened.
        self._start_check(tuple(self._ledger.leases.held), look=True)

    def _start_check(self, sessions: Sequence[str], look: bool = False) -> None:
        Deferred.fromCoroutine(self._check(sessions, look)).addErrback(self._failed)

    async def _check(self, sessions: Sequence[str], look: bool) -> None:
        if self._presence.is_away:
            return
        try:
            await self._ledger.restore(sessions)
            if look:
                await self._ledger.look()
        except (LinkLost, ServerRefused):
            # When there is a server again all of this is done.
            return

    def _heard(self, channel: str, text: str) -> None:
        if self._presence.is_stopped:
            return
        try:
            notice = parse_notice(text)
        except ValueError:
            self.log.warn("{place}: heard what no relay says", place=self._place)
            return
        if isinstance(notice, Emptied):
            self._beat_soon()
            self.events.emptied()
        elif isinstance(notice, Drained):
            if notice.node != self.node:
                self.events.drained(notice.node)
        elif isinstance(notice, Kicked):
            self.events.kicked(notice.session, notice.role, notice.reason)
        elif isinstance(notice, Begun):
            if notice.by != self.node and notice.session in self._ledger.leases.held:
                self._start_check([notice.session])
        elif isinstance(notice, Moved) and notice.by != self.node:
            if notice.session in self._ledger.leases.held:
                self._start_check([notice.session])
            elif notice.session in self._ledger.leases.others:
                self.events.moved(notice.session)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the directory has failed at something", failure)
