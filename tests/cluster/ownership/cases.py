"""What tests of the directory stand on: events that are remembered, and nodes of a Redis in
memory."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import Events, Lease
from apptuner_relay.cluster.ownership.redis_directory import RedisDirectory, Timing
from tests.cluster.network import Network
from tests.cluster.redis_model import MemoryCommands, MemorySubscriber, RedisServer

TIMING = Timing()
SESSIONS = tuple(digit * 64 for digit in "abcdef")
A, B, C = SESSIONS[:3]


class Heard(Events):
    """Remembers events."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def take(self) -> list[tuple[Any, ...]]:
        """Those since the last call."""
        seen, self.seen = self.seen, []
        return seen

    def lost(self, session: str, lease: Lease | None) -> None:
        self.seen.append(("lost", session, lease and lease.node))

    def moved(self, session: str) -> None:
        self.seen.append(("moved", session))

    def drained(self, node: str) -> None:
        self.seen.append(("drained", node))

    def kicked(self, session: str, role: str, reason: str) -> None:
        self.seen.append(("kicked", session, role, reason))

    def emptied(self) -> None:
        self.seen.append(("emptied",))

    def unreachable(self) -> None:
        self.seen.append(("unreachable",))

    def reachable(self) -> None:
        self.seen.append(("reachable",))


class Node:
    """A node's directory, and what it was told."""

    def __init__(self, server: RedisServer, name: str, timing: Timing = TIMING) -> None:
        self.name = name
        self.events = Heard()
        self.commands = MemoryCommands(server, name, timing.answer)
        self.subscriber = MemorySubscriber(server, name, timing.answer)
        self.directory = RedisDirectory(
            self.commands,
            self.subscriber,
            server.clock,
            name,
            f"ws://{name}:1",
            self.events,
            connections=lambda: 0,
            version="0",
            timing=timing,
            wall_s=server.clock.seconds,
        )
        self.directory.start()

    def holds(self, session: str) -> bool:
        """Whether it takes a session for its own."""
        return any(lease.session == session for lease in self.directory.held())


class NodesCase(SynchronousTestCase):
    """Nodes ``n1``, ``n2``, … of one server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.network = Network(self.clock)
        self.redis = RedisServer(self.network)
        self.redis.model.settled()

    def nodes(self, count: int) -> list[Node]:
        """So many, that have started."""
        nodes = [Node(self.redis, f"n{number + 1}") for number in range(count)]
        for one in nodes:
            self.addCleanup(self.stop, one)
        self.wait(0)
        return nodes

    def stop(self, node: Node) -> None:
        """It stops, as a process that ends in good order."""
        node.directory.stop()
        self.wait(TIMING.answer)

    def wait(self, seconds: float) -> None:
        """Let time pass: everything at its own time."""
        end_s = self.clock.seconds() + seconds
        self.clock.advance(0)
        while self.clock.calls and self.clock.calls[0].getTime() <= end_s:
            self.clock.rightNow = max(self.clock.rightNow, self.clock.calls[0].getTime())
            self.clock.advance(0)
        self.clock.rightNow = end_s

    def result(self, deferred: Deferred[Any], within_s: float = 3.0) -> Any:
        """What comes of something, in time."""
        self.wait(within_s)
        return self.successResultOf(deferred)

    def claim(self, node: Node, session: str = A) -> Lease:
        """Whose a session is, as a node is told."""
        lease: Lease = self.result(node.directory.claim(session))
        return lease
