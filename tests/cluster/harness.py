"""Several relays that share their sessions, whole, in one process, with one clock to turn and no
sockets.

A `MemoryCluster` has relays with their real directories, a Redis in memory (`redis_model`) and what
is between them (`network`): connections can be cut, delayed and reordered, hosts parted, and Redis
can be stopped or emptied. `ClusterCase` is what tests stand on.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, providedBy

from apptuner_relay.cluster.bridge import link
from apptuner_relay.cluster.bridge.peer_server import PeerFactory
from apptuner_relay.cluster.bundle_proxy import BundleProxy
from apptuner_relay.cluster.ownership.directory import Directory, Events
from apptuner_relay.cluster.ownership.redis_directory import RedisDirectory, Timing
from apptuner_relay.cluster.placement import ClusterPlacement
from apptuner_relay.cluster.session_proxy import SessionProxy
from apptuner_relay.config.settings import Settings
from apptuner_relay.session.session import session_hash
from apptuner_relay.spool.store import Store
from apptuner_relay.web.site import PeerParts, RelaySite, make_site
from apptuner_relay.wire.frames import CLOSE
from tests.cluster.network import Connector, Network, Wire
from tests.cluster.redis_model import HOST as REDIS
from tests.cluster.redis_model import MemoryCommands, MemorySubscriber, RedisServer
from tests.memory import Client, Relay, masked
from tests.web.http import Answer, parse

SECRET = "the-secret-of-these-tests"
SESSION = "ABC234"
KEY = session_hash(SESSION)
TIMING = Timing()
LEASE_S = TIMING.lease
"""How long a node that isn't heard keeps its sessions."""
_LONGEST_S = 60
"""How long the longest of all takes, a stop."""
_RESTART = b"\x03\xf4"
_LOCAL = IPv4Address("TCP", "127.0.0.1", 50000)


class InlinePool:
    """A thread pool that runs everything at once."""

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], None], work: Callable[..., Any], *args: Any
    ) -> None:
        """See `ThreadPool`."""
        try:
            result = work(*args)
        except Exception:  # whatever it is, it is told
            on_result(False, Failure())
        else:
            on_result(True, result)


class RelayReactor:
    """The cluster's reactor as one relay has it: who connects is known by it."""

    def __init__(self, cluster: "MemoryCluster", name: str) -> None:
        self._cluster, self.host = cluster, name
        directlyProvides(self, providedBy(cluster.clock))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster.clock, name)

    def getThreadPool(self) -> Any:
        """See `IReactorThreads`."""
        return InlinePool()

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        """See `IReactorThreads`."""
        self._cluster.clock.callLater(0, call, *args)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: object = None
    ) -> Any:
        """See `IReactorTCP`."""
        return self._cluster.connect_hosts(self.host, port, factory, timeout)


class ClusterClient(Client):
    """A client of one of several relays."""

    is_over = False

    def lose(self) -> None:
        """See `Client`."""
        if not self.is_over:
            self.is_over = True
            super().lose()

    def answer_close(self) -> None:
        """Do as real clients do that have been sent a Close; nothing where none was."""
        self.read()
        if self.is_over:
            return
        if self.closed is not None:
            self.send_raw(masked(CLOSE, _RESTART))
        if self.closed is not None or self.transport.disconnecting:
            self.lose()


class ClusterRelay(Relay):
    """One relay of several."""

    def __init__(
        self,
        cluster: "MemoryCluster",
        name: str,
        store: Callable[[Clock, Settings], Store] | None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.is_dead = False
        self.reactor: Any = RelayReactor(cluster, name)
        super().__init__(store, clock=self.reactor, **settings)
        self._cluster = cluster
        self.placement = ClusterPlacement(self.service, SECRET, self._directory)
        self.hooks.subscribe_placement(self.placement)
        self.hooks.subscribe_undelivered(self.placement.remotes.undelivered_sessions)
        self.peers = PeerFactory(self.placement)
        self.bundle_proxy = BundleProxy(self.placement, self.reactor)
        self.session_proxy = SessionProxy(self.placement, self.reactor)
        parts = PeerParts(self.peers, self.bundle_proxy, self.session_proxy)
        self.site: RelaySite = make_site(self.service, self.reactor, parts)
        self.site.startFactory()
        self.placement.startService()

    def _directory(self, events: Events) -> Directory:
        redis = self._cluster.redis
        return RedisDirectory(
            MemoryCommands(redis, self.name, TIMING.answer),
            MemorySubscriber(redis, self.name, TIMING.answer),
            self.reactor,
            self.name,
            f"ws://127.0.0.1:{ord(self.name)}",
            events,
            connections=lambda: self.service.connections,
            version="0",
            timing=TIMING,
            wall_s=self.wall,
        )

    def stop(self) -> Deferred[None]:
        """As SIGTERM does, but for the directory, which goes on until the end of the test."""
        return self.service.stopService()

    def end(self) -> Deferred[None]:
        """As SIGTERM does, until the process ends."""
        ending = self.stop().addCallback(lambda _: self.placement.stopService())
        return ending.addCallback(lambda _: self._cluster.kill(self, at_once=False))

    def ask(self, path: str, method: str = "GET", **headers: str) -> "HttpRequest":
        """A request of a client over HTTP."""
        return HttpRequest(self.site, path, method, headers)


class HttpRequest:
    """A request over a connection of its own, and its answer as far as it has come."""

    def __init__(self, site: RelaySite, path: str, method: str, headers: dict[str, str]) -> None:
        self.transport: Any = StringTransport(peerAddress=_LOCAL)
        channel = self.transport.protocol = site.buildProtocol(_LOCAL)
        channel.makeConnection(self.transport)
        fields = {"Host": "127.0.0.1:3000"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        channel.dataReceived("\r\n".join(lines).encode())

    def lose(self) -> None:
        """The client's connection is gone."""
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def answer(self) -> Answer | None:
        """The answer; None before its head has come."""
        data = self.transport.value()
        return parse(data) if b"\r\n\r\n" in data else None


class MemoryCluster:
    """Several relays, and the Redis and the network that they share."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.clock = MemoryReactorClock()
        self.clock.advance(1000)
        self.network = Network(self.clock)
        self.redis = RedisServer(self.network)
        self.redis.model.settled()
        self.relays: dict[str, ClusterRelay] = {}
        self.clients: list[ClusterClient] = []
        self._case = case
        case.patch(link, "PeerConnector", self._peer_connector)
        case.addCleanup(self._finish)

    @property
    def wires(self) -> list[Wire]:
        """The connections between relays."""
        return self.network.wires

    def relay(
        self, name: str, store: Callable[[Clock, Settings], Store] | None = None, **settings: Any
    ) -> ClusterRelay:
        """Start a relay, or one that has ended again. Its name is one letter."""
        for other in (*self.relays, REDIS):
            self.network.refused.discard((name, other))
        self.redis.dead.discard(name)
        relay = self.relays[name] = ClusterRelay(self, name, store, **settings)
        self.network.listeners[name] = lambda: relay.site.buildProtocol(_LOCAL)
        self._case.addCleanup(relay.placement.stopService)
        return relay

    def connect(self, relay: ClusterRelay, target: str) -> ClusterClient:
        """Connect a client. Its welcome is still to be read."""
        client = self.begin_to_connect(relay, target)
        self.turn()
        client.read()
        return client

    def begin_to_connect(self, relay: ClusterRelay, target: str) -> ClusterClient:
        """Connect a client, whose handshake need not be answered at once."""
        client = ClusterClient(relay.service, target)
        # Unlike this one, a real transport may be paused while it is closed.
        client.transport._checkState = lambda: None  # type: ignore[method-assign]
        self.clients.append(client)
        return client

    def owner(self, session: str = KEY) -> str | None:
        """The relay that has a session, as Redis knows it."""
        return self.redis.model.owner(session)

    def kill(self, relay: ClusterRelay, at_once: bool = True) -> None:
        """End a process. Its leases end now if ``at_once``, else when their time is over."""
        relay.is_dead = True
        self.network.listeners.pop(relay.name, None)
        self.redis.kill(relay.name)
        if at_once:
            self.redis.model.forget(relay.name)
        for wire in tuple(self.wires):
            if relay.name in wire.hosts:
                wire.cut()
        for other in (*self.relays, REDIS):
            # What is left of it in this process reaches nobody.
            self.network.refused.add((relay.name, other))

    def turn(self, seconds: float = 0.1) -> None:
        """Let time pass. Everything happens at its own time."""
        clock = self.clock
        end_s = clock.seconds() + seconds
        clock.advance(0)
        while clock.calls and clock.calls[0].getTime() <= end_s:
            clock.rightNow = max(clock.rightNow, clock.calls[0].getTime())
            clock.advance(0)
        clock.rightNow = end_s

    def connect_hosts(self, source: str, port: int, factory: Any, timeout_s: float) -> Connector:
        """Open a connection from one relay to another, whose name is the character ``port``."""
        connector = Connector(self.network, source, chr(port), factory, timeout_s)
        connector.connect()
        return connector

    def _peer_connector(
        self, host: str, port: int, factory: Any, timeout_s: float, *_: object
    ) -> Connector:
        return Connector(self.network, factory.relay.clock.host, chr(port), factory, timeout_s)

    def _finish(self) -> None:
        """Let everything come to its end that waits: coroutines which are collected while they do
        would complain, in whatever test runs then."""
        self.network.tamper = lambda wire, data: data
        self.network.join_all()
        self.redis.start()
        self.clock.pump([1] * _LONGEST_S)


class ClusterCase(SynchronousTestCase):
    """A test with a cluster, and what such tests do often."""

    def setUp(self) -> None:
        self.make_cluster()

    def make_cluster(self) -> None:
        """Make a cluster without relays. A test may make several, one after the other."""
        self.cluster = MemoryCluster(self)
        self.network, self.redis = self.cluster.network, self.cluster.redis
        self.turn = self.cluster.turn

    def relays(self, names: str, *args: Any, **settings: Any) -> list[ClusterRelay]:
        """Start relays, each named by a letter."""
        return [self.cluster.relay(name, *args, **settings) for name in names]

    def connect(self, relay: ClusterRelay, target: str) -> ClusterClient:
        """Connect a client, which is welcomed. What all clients have heard so far is taken off.

        :param target: its role, with a query string or without.
        """
        role, _, query = target.partition("?")
        client = self.cluster.connect(relay, f"/{role}/{SESSION}?{query}")
        self.assertEqual(client.types()[:1], ["connected"], client.head)
        self.turn()
        for one in self.cluster.clients:
            one.received()
        return client

    @property
    def owner(self) -> str | None:
        """The relay that has the session."""
        return self.cluster.owner()

    def talk(self, sender: ClusterClient, *numbers: int) -> None:
        """Have a client send messages, each with a number."""
        for n in numbers:
            sender.send(type="talk", n=n)

    def heard(self, client: ClusterClient) -> list[int]:
        """The numbers that a client has got since the last call."""
        return [message["n"] for message in client.received() if message.get("type") == "talk"]

    def closed(self, client: ClusterClient) -> int | None:
        """The code with which a client was closed; None where it wasn't."""
        client.read()
        return client.closed and client.closed[0]

    def assertMeet(self, one: ClusterClient, other: ClusterClient) -> None:
        """What each of two clients says, the other hears, once."""
        one.received(), other.received()
        self.talk(one, 1, 2)
        self.talk(other, 3, 4)
        self.turn()
        self.assertEqual((self.heard(other), self.heard(one)), ([1, 2], [3, 4]))

    def answer_closes(self, *clients: ClusterClient) -> None:
        """As real clients do, who have been sent a Close."""
        for client in clients:
            client.answer_close()

    def ends(self, stopping: "Deferred[None]", *clients: ClusterClient) -> None:
        """The stop is over soon, once these have answered."""
        for _ in range(20):
            self.answer_closes(*clients)
            self.turn()
        self.successResultOf(stopping)
