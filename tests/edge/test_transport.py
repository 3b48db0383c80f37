"""What `transport.tune` does to ports, and so to the connections that they take."""

import socket
from contextlib import ExitStack
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from apptuner_relay.edge.transport import MOST_ACCEPTS, BlockTransport, RelayTransport, tune


class Taken(Protocol):
    """A connection that a port has taken."""

    def __init__(self, taken: Deferred[Any], over: Deferred[None]) -> None:
        self._taken, self._over = taken, over

    def connectionMade(self) -> None:
        self._taken.callback(self.transport)

    def connectionLost(self, reason: object = None) -> None:
        self._over.callback(None)


class Tuning(TestCase):
    timeout = 60

    async def test_a_port_of_its_own(self) -> None:
        await self.check(lambda factory: reactor.listenTCP(0, factory, interface="127.0.0.1"))

    async def test_a_socket_that_somebody_else_listens_on(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as held:
            held.setblocking(False)
            await self.check(
                lambda factory: reactor.adoptStreamPort(held.fileno(), socket.AF_INET, factory)
            )
            # It is still listened on.
            socket.create_connection(held.getsockname(), timeout=5).close()

    async def test_a_crowd_is_taken_a_few_at_a_time(self) -> None:
        made: list[Protocol] = []

        class Counted(Protocol):
            def connectionMade(self) -> None:
                made.append(self)

        port = reactor.listenTCP(0, Factory.forProtocol(Counted), interface="127.0.0.1")
        tune(port)
        address = ("127.0.0.1", port.getHost().port)
        with ExitStack() as crowd:
            # More than Twisted lets wait.
            for _ in range(100):
                crowd.enter_context(socket.create_connection(address, timeout=30))
            for turn in range(1, 6):
                port.doRead()
                self.assertEqual(len(made), MOST_ACCEPTS * turn)
        for one in made:
            one.transport.abortConnection()  # type: ignore[union-attr]
        await port.stopListening()

    async def check(self, listen: Any) -> None:
        taken: Deferred[Any] = Deferred()
        over: Deferred[None] = Deferred()
        factory = Factory()
        factory.buildProtocol = lambda addr: Taken(taken, over)  # type: ignore[method-assign]
        port = listen(factory)
        tune(port)
        with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=30):
            transport = await taken
            self.assertIsInstance(transport, RelayTransport)
            unsent_bytes = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            self.assertEqual(unsent_bytes, 128 * 1024)
        await gatherResults([over, port.stopListening()])


class Waiting(task.Clock):
    """A reactor that remembers who waits for room."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[object] = set()

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)

    def addReader(self, reader: object) -> None:
        pass

    removeReader = addReader


class Resumed:
    """A producer that has nothing more."""

    def __init__(self) -> None:
        self.times = 0

    def resumeProducing(self) -> None:
        self.times += 1

    def stopProducing(self) -> None:
        pass


class Offering(TestCase):
    """What `BlockTransport.offer` does with a socket."""

    def setUp(self) -> None:
        self.clock = Waiting()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.far = socket.create_connection(server.getsockname(), timeout=60)
            near, _ = server.accept()
        near.setblocking(False)
        self.near = near
        self.transport = BlockTransport(near, Protocol(), self.clock)
        self.transport.connected = True
        self.producer = Resumed()
        self.transport.registerProducer(self.producer, True)
        self.file = self.far.makefile("rb")
        for end in (near, self.far, self.file):
            self.addCleanup(end.close)

    def received(self, count: int) -> bytes:
        """The next ``count`` bytes that reach the other end."""
        return self.file.read(count)

    def unsent_limit(self) -> int:
        return self.near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

    def fill(self) -> None:
        """Offer until the kernel takes no more."""
        block = bytes(1024 * 1024)
        for _ in range(100):
            if self.transport.offer([block]) < len(block):
                return
        self.fail("it takes everything")

    def test_parts_arrive_in_their_order_however_many_and_big(self) -> None:
        for count, size in ((1, 10), (4, 1), (40, 10), (40, 3000), (1500, 20), (1200, 2100)):
            parts = [bytes([i % 251]) * size for i in range(count)]
            left = memoryview(b"".join(parts))
            offered: list[bytes | memoryview] = [*parts]
            while left:
                taken = self.transport.offer(offered)
                self.assertTrue(self.received(taken) == left[:taken])
                left = left[taken:]
                offered = [left]

    def test_a_peer_that_takes_quickly_may_have_more_unsent(self) -> None:
        for _ in range(40):
            self.fill()
            self.transport.doWrite()
        self.assertEqual(self.unsent_limit(), 512 * 1024)
        self.assertEqual(self.producer.times, 40)
        self.fill()
        self.clock.advance(10)
        self.transport.doWrite()
        self.assertEqual(self.unsent_limit(), 128 * 1024)

    def test_a_peer_that_takes_slowly_may_not(self) -> None:
        for _ in range(40):
            self.fill()
            self.clock.advance(0.5)
            self.transport.doWrite()
        self.assertNotEqual(self.unsent_limit(), 512 * 1024)
