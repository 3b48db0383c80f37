"""What `transport.tune` does to ports, and so to the connections that they take."""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from apptuner_relay.transport import RelayTransport, tune


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
            self.assertEqual(unsent_bytes, 512 * 1024)
        await gatherResults([over, port.stopListening()])
