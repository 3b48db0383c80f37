"""Relays that share their sessions, without a network: connections and a directory in memory, and
one clock to turn."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.bundles.store import Store
from apptuner_relay.cluster import link
from apptuner_relay.cluster.directory import (
    AloneDirectory,
    Directory,
    DirectoryAway,
    Draining,
    Events,
    Lease,
    NodeInfo,
)
from apptuner_relay.cluster.homes import Homes
from apptuner_relay.cluster.peers import PeerFactory
from apptuner_relay.options import Settings
from tests.memory import Client, HttpChannel, Relay

SECRET = "the-secret-of-these-tests"
STEP_S = 0.01
_LONGEST_S = 60
"""What takes longest: a stop."""


class Registry:
    """What a Redis would hold."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.directories: dict[str, MemoryDirectory] = {}
        self.is_away = False


class MemoryDirectory(AloneDirectory):
    """One node's, in a registry that all share."""

    def __init__(self, registry: Registry, node: str, address: str, events: Events) -> None:
        super().__init__(node, address, events, connections=lambda: 0, version="0", now_ms=0)
        self._registry = registry
        registry.directories[node] = self

    def held(self) -> list[Lease]:
        return [one for one in self._registry.leases.values() if one.node == self.node]

    def claim(self, session: str) -> Deferred[Lease]:
        leases = self._registry.leases
        if self._registry.is_away:
            return fail(DirectoryAway("away"))
        if session not in leases:
            if self._draining:
                return fail(Draining("draining"))
            self._epoch += 1
            leases[session] = Lease(session, self.node, self._address, self._epoch)
        return succeed(leases[session])

    def look(self, session: str) -> Deferred[Lease | None]:
        if self._registry.is_away:
            return fail(DirectoryAway("away"))
        return succeed(self._registry.leases.get(session))

    def release(self, session: str) -> Deferred[None]:
        lease = self._registry.leases.get(session)
        if lease is not None and lease.node == self.node:
            del self._registry.leases[session]
        return succeed(None)

    def take_over(self, session: str, node: str, epoch: int) -> Deferred[Lease]:
        lease = self._registry.leases.get(session)
        if self._registry.is_away or lease is None:
            return fail(DirectoryAway("away"))
        if (lease.node, lease.epoch) == (node, epoch):
            lease = Lease(session, self.node, self._address, epoch + 1)
            self._registry.leases[session] = lease
        return succeed(lease)

    def hand_over(self, session: str) -> None: ...

    def nodes(self) -> Deferred[list[NodeInfo]]:
        if self._registry.is_away:
            return fail(DirectoryAway("away"))
        return succeed(
            [
                NodeInfo(node, one._address, 0, 0, 0, one._draining, "0")
                for node, one in sorted(self._registry.directories.items())
            ]
        )


class _Transport(StringTransport):
    """One end of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False
        self.other: _Transport
        self.protocol: Any = None

    def abortConnection(self) -> None:
        self.is_aborted = True


class Wire:
    """A connection between two relays."""

    def __init__(self, cluster: "MemoryCluster", client: Any, server: Any) -> None:
        self._cluster = cluster
        self.ends: list[_Transport] = []
        self.is_over = False
        self.is_stuck = False
        """Whether nothing passes for now."""
        for protocol in (client, server):
            transport = _Transport()
            transport.protocol = protocol
            self.ends.append(transport)
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        self.ends[1].registerProducer(HttpChannel(), True)
        for transport in reversed(self.ends):
            transport.protocol.makeConnection(transport)

    def pump(self) -> bool:
        """Pass on what has been sent. Whether there was anything."""
        if self.is_over or self.is_stuck:
            return False
        moved = False
        for transport in self.ends:
            other = transport.other
            data = transport.value()
            if data and other.producerState != "paused" and not self.is_over:
                transport.clear()
                data = self._cluster.tamper(self, data)
                if not self.is_over:
                    other.protocol.dataReceived(data)
                moved = True
        for transport in self.ends:
            gone = transport.disconnecting and not transport.value()
            if not self.is_over and (gone or transport.is_aborted):
                self.cut()
                return True
        return moved

    def cut(self) -> None:
        """It is gone, for both."""
        if not self.is_over:
            self.is_over = True
            for transport in self.ends:
                transport.protocol.connectionLost(Failure(ConnectionDone()))


class ClusterClient(Client):
    """A client of one of several relays."""

    is_over = False

    def lose(self) -> None:
        """See `Client`."""
        self.is_over = True
        super().lose()


class ClusterRelay(Relay):
    """One relay of several."""

    def __init__(
        self,
        cluster: "MemoryCluster",
        name: str,
        store: Callable[[Clock, Settings], Store] | None,
        **settings: Any,
    ) -> None:
        super().__init__(store, clock=cluster.clock, **settings)
        self.name = name
        self._cluster = cluster
        self.homes = Homes(self.service, SECRET, self._directory, asks=lambda _: succeed(True))
        self.service.homes = self.homes
        self.peers = PeerFactory(self.homes)
        self.homes.startService()

    def _directory(self, events: Events) -> Directory:
        return MemoryDirectory(
            self._cluster.registry, self.name, f"ws://127.0.0.1:{ord(self.name)}", events
        )

    def stop(self) -> Deferred[None]:
        """As SIGTERM does."""
        return self.service.stopService()


class MemoryCluster:
    """Some of them."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.registry = Registry()
        self.relays: dict[int, ClusterRelay] = {}
        self.wires: list[Wire] = []
        self.clients: list[ClusterClient] = []
        self.blocked: set[tuple[str, str]] = set()
        """Which relay can't reach which."""
        self.tamper: Callable[[Wire, bytes], bytes] = lambda wire, data: data
        """What becomes of what is sent between relays."""
        case.patch(link, "PeerConnector", self._connector)
        self._case = case
        case.addCleanup(self._finish)

    def relay(
        self, name: str, store: Callable[[Clock, Settings], Store] | None = None, **settings: Any
    ) -> ClusterRelay:
        """One more."""
        relay = self.relays[ord(name)] = ClusterRelay(self, name, store, **settings)
        self._case.addCleanup(relay.homes.stopService)
        return relay

    def connect(self, relay: ClusterRelay, target: str) -> "ClusterClient":
        """A client. Its welcome is still to be read."""
        client = ClusterClient(relay.service, target)
        # Unlike this one, a real transport may be paused while it is closed.
        client.transport._checkState = lambda: None  # type: ignore[method-assign]
        self.turn()
        client.read()
        self.clients.append(client)
        return client

    def kill(self, relay: ClusterRelay) -> None:
        """It is gone, and its leases are over."""
        self.blocked |= {(other.name, relay.name) for other in self.relays.values()}
        del self.registry.directories[relay.name]
        for lease in tuple(self.registry.leases.values()):
            if lease.node == relay.name:
                del self.registry.leases[lease.session]
        for wire in self.wires:
            if relay.service in (end.protocol.relay for end in wire.ends):
                wire.cut()

    def turn(self, seconds: float = 0.1) -> None:
        """Let time pass, and what is sent arrive."""
        for _ in range(max(1, round(seconds / STEP_S))):
            while sum(wire.pump() for wire in tuple(self.wires)):
                self.clock.advance(0)
            self.clock.advance(STEP_S)

    def _finish(self) -> None:
        """Let everything come to its end that waits: coroutines which are collected while they do
        would complain, in whatever test runs then."""
        self.blocked.clear()
        self.tamper = lambda wire, data: data
        for wire in self.wires:
            wire.is_stuck = False
        for _ in range(_LONGEST_S):
            self.turn(STEP_S)
            self.clock.advance(1)

    def _connector(self, host: str, port: int, factory: Any, *_: object) -> Any:
        return _Connector(self, self.relays[port], factory)


class _Connector:
    def __init__(self, cluster: MemoryCluster, relay: ClusterRelay, factory: Any) -> None:
        self._cluster, self._relay, self._factory = cluster, relay, factory

    def connect(self) -> None:
        cluster = self._cluster
        sender = next(one for one in cluster.relays.values() if one.service is self._factory.relay)
        if (sender.name, self._relay.name) in cluster.blocked:
            failure = Failure(ConnectionDone())
            self._factory.clientConnectionFailed(self, failure)
            return
        protocol = self._factory.buildProtocol(None)
        server = self._relay.peers.buildProtocol(None)
        cluster.wires.append(Wire(cluster, protocol, server))

    def disconnect(self) -> None: ...
