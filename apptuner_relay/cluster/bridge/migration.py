"""The sessions that are leaving this relay: all of them when it stops, or one that another relay
has already. `session_migration` has how each of them leaves.
"""

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.hosts import MigrationHost
from apptuner_relay.cluster.bridge.session_migration import SessionMigration
from apptuner_relay.session.session import Arrival
from apptuner_relay.spool.bundle_file import BundleFile

_MAX_MIGRATIONS = 32
"""How many sessions leave at the same time. In the others everything goes on meanwhile."""
_ASK_TIMES = 3
"""How often a relay that stops asks the directory for the other nodes."""
_POLL_S = 0.02
_CLOSING_SHARE, _MAX_CLOSING_S = 0.2, 3.0
"""The share of a stop's time that is left for closing this relay's clients, when sessions take long
to leave; and at the most."""
_HANDOVER_SHARE, _MAX_HANDOVER_S = 0.1, 2.0
"""Likewise for handing over the sessions themselves, when their bundles take long."""
_LATE_S = 5.0
"""How long a session may take at least that leaves behind all others."""


class Migrations:
    """The sessions of one relay that are leaving it.

    :param trust: see `placement.ClusterPlacement`.
    """

    log = Logger()

    def __init__(self, host: MigrationHost, trust: Certificate | None) -> None:
        self._host = host
        self._trust = trust
        self._migrations: dict[str, SessionMigration] = {}
        """By session."""
        self._turns = DeferredSemaphore(_MAX_MIGRATIONS)
        self.stop_until_s = 0.0
        """When all of the relay's stop is to be over. Set by `drain`."""
        self._bundles_until_s = 0.0

    def __contains__(self, session: object) -> bool:
        return session in self._migrations

    def wait(self, session: str) -> Deferred[None]:
        """Fires when a session is not about to leave, or has left."""
        over: Deferred[None] = Deferred()
        if session in self._migrations:
            self._migrations[session].waiting.append(over)
        else:
            over.callback(None)
        return over

    def start(self, session: str, arrival: Arrival, until_s: float) -> Deferred[None]:
        """Have a session leave, or its last bundle where it has no clients. Fires when nothing of
        it is here any more. Never fails.

        :param arrival: how its clients are to arrive elsewhere.
        :param until_s: clients that have not stopped by then are closed.
        """
        barriers = self._host.barriers
        if session in barriers:
            # Until then its clients may arrive.
            lifted = barriers.wait(session)
            return lifted.addCallback(lambda _: self.start(session, arrival, until_s))
        if session not in self._migrations:
            migration = self._migrations[session] = SessionMigration(
                self._host,
                session,
                arrival,
                until_s,
                self._bundles_until_s,
                self._turns,
                self._trust,
            )
            running = Deferred.fromCoroutine(migration.run())
            running.addErrback(self._failed).addCallback(lambda _: self._finish(session))
        return self.wait(session)

    def start_late(self, session: str) -> None:
        """A client comes into a session of a relay that drains: have the session leave, unless
        there is no other relay. One that drains without stopping may have begun that long ago."""
        host = self._host
        if host.living_nodes.others:
            until_s = max(self.stop_until_s, host.relay.clock.seconds() + _LATE_S)
            bundles_until_s = until_s - min(_MAX_HANDOVER_S, _LATE_S / 2)
            self._bundles_until_s = max(self._bundles_until_s, bundles_until_s)
            self.start(session, Arrival.MOVED, until_s)

    async def drain(self, until_s: float) -> None:
        """Have other relays take the sessions of this one. Returns when none is left here, or no
        relay takes them.

        :param until_s: when all of the stop is to be over.
        """
        host = self._host
        self.stop_until_s = until_s
        now_s = host.relay.clock.seconds()
        timeout_s = max(0.0, until_s - now_s)
        until_s -= min(_MAX_CLOSING_S, _CLOSING_SHARE * timeout_s)
        self._bundles_until_s = until_s - min(_MAX_HANDOVER_S, _HANDOVER_SHARE * timeout_s)
        await host.directory.announce_drain()
        for _ in range(_ASK_TIMES):
            if await host.living_nodes.refresh() or host.relay.clock.seconds() >= until_s:
                break
        if host.directory.state == "away" or not host.living_nodes.others:
            return
        if not host.directory.draining:
            # It was called off meanwhile.
            return
        sessions = self._list_sessions()
        self.log.info("draining: handing over {count} sessions", count=len(sessions))
        moves = [self.start(key, Arrival.MOVED, until_s) for key in sessions]
        for move in moves:
            await move
        # The new owners are to know the clients before these are closed here.
        while host.is_relocating and host.relay.clock.seconds() < until_s:
            await deferLater(host.relay.clock, _POLL_S)

    def _list_sessions(self) -> list[str]:
        """The sessions with clients, and behind them those of which only a bundle is cached: the
        one that was used last is the first."""
        relay = self._host.relay
        store = relay.store
        cached: list[tuple[float, str]] = []
        for lease in self._host.directory.held():
            bundle = store.last(lease.session) if store is not None else None
            if isinstance(bundle, BundleFile) and lease.session not in relay.sessions:
                cached.append((bundle.last_use_s, lease.session))
        return [*relay.sessions, *(session for _, session in sorted(cached, reverse=True))]

    def _finish(self, session: str) -> None:
        self._migrations.pop(session).finish()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the migration of a session has failed", failure)
