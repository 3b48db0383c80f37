"""Several relays that share their sessions through a real Redis."""

import hashlib
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.python.failure import Failure

from tests.live.clients import Client, NodeClients, missing
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess
from tests.live.redis import RedisProcess, client_of, missing_redis

SECRET = "the-secret-of-these-tests"


class ClusterCase(LiveCase):
    """A test with relays that are named a, b, c and so on."""

    skip = missing() or missing_redis()

    async def redis(self) -> RedisProcess:
        """A Redis server, running and empty."""
        redis = RedisProcess()
        self.addCleanup(redis.remove)
        await redis.start()
        return redis

    async def member(self, redis_url: str, name: str, *options: str) -> RelayProcess:
        """A relay that shares its sessions, and listens."""
        relay = await self.relay(
            "--redis", redis_url, "--node", name, "--cluster-secret", SECRET, *options
        )
        return relay

    async def cluster(
        self, count: int, *options: str
    ) -> tuple[RedisProcess, list[RelayProcess], NodeClients]:
        """A Redis server, so many relays, and Node clients for all of them."""
        redis = await self.redis()
        names = "abcdefgh"[:count]
        relays = [await self.member(redis.url, name, *options) for name in names]
        return redis, relays, await self.node(relays[0])

    async def join(
        self,
        node: NodeClients,
        relay: RelayProcess,
        role: str,
        session: str = "ABC234",
        query: str = "",
        **options: Any,
    ) -> Client:
        """Connect to one of the relays and read the welcome."""
        url = relay.url(role, session, query)
        return await node.join(role, session, url=url, **options)


class Wire(ProxyFactory):  # type: ignore[misc]
    """A way to a relay that can be cut: others are to reach the relay through it."""

    noisy = False

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0)
        self._ways: set[Protocol] = set()
        self.listening: IListeningPort = reactor.listenTCP(  # type: ignore[attr-defined]
            0, self, interface="127.0.0.1"
        )

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.listening.getHost().port}"

    def lead_to(self, relay: RelayProcess) -> None:
        self.port = relay.port

    def buildProtocol(self, addr: object) -> Protocol:
        way = _Way(self._ways)
        way.factory = self
        return way

    def cut(self) -> None:
        """End what goes through it now."""
        for way in tuple(self._ways):
            way.transport.abortConnection()  # type: ignore[union-attr]

    async def remove(self) -> None:
        await self.listening.stopListening()  # type: ignore[misc]
        self.cut()


class _Way(ProxyServer):  # type: ignore[misc]
    def __init__(self, ways: set[Protocol]) -> None:
        self._ways = ways

    def connectionMade(self) -> None:
        self._ways.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ways.discard(self)
        super().connectionLost(reason)


def owner_in(redis: RedisProcess, session: str = "ABC234") -> str | None:
    """Which node has a session, as it is written in Redis."""
    key = "apptuner:session:" + hashlib.sha256(session.encode()).hexdigest()
    with client_of(redis) as client:
        value = client("GET", key)
    words = str(value or "").split(" ")
    return words[1] if len(words) == 3 else None
