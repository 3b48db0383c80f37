"""`apptuner_relay.edge.direct_connection` on a socket: its answer is the first that is sent."""

import socket
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.client_side import DESKTOP_SIDE, ClientSide
from apptuner_relay.edge.direct_connection import DirectConnection
from apptuner_relay.edge.transport import BlockTransport
from apptuner_relay.wire.client_request import read_client_request
from tests.memory import HANDSHAKE, Relay, server_frames


class RefusingPlace:
    """The client's place, which has gone when it enters."""

    is_here = True

    def __init__(self, place: Any) -> None:
        self._place = place

    def enter(self, connection: Any) -> object:
        connection.close(1012, "it has moved")
        return self._place.enter(connection)


class FirstTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(clock=Clock())
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.far = socket.create_connection(server.getsockname(), timeout=30)
            near, _ = server.accept()
        near.setblocking(False)
        self.reactor = reactor = EPollReactor()
        for cleanup in (self.far.close, near.close, reactor.removeAll):
            self.addCleanup(cleanup)
        request = read_client_request(HANDSHAKE.format(target="/cli/A", extra="").encode(), 9999)
        assert request is not None
        side = ClientSide(self.relay.service, DESKTOP_SIDE)
        self.protocol = DirectConnection(side, request)
        self.transport = BlockTransport(near, self.protocol, reactor)
        self.transport.connected = True
        self.transport.getPeer = lambda: None  # type: ignore[assignment, method-assign, return-value]

    def opcodes(self) -> list[int]:
        """Those of the frames behind the answer."""
        self.protocol.makeConnection(self.transport)
        self.reactor.doIteration(0)
        head, _, frames = self.far.recv(9999).partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        return [opcode for opcode, _, _ in server_frames(frames)]

    def test_the_first_message_comes_with_it(self) -> None:
        self.assertEqual(self.opcodes(), [1])

    def test_a_close_comes_behind_it(self) -> None:
        find = self.relay.service.find_place
        self.relay.service.find_place = lambda *those: succeed(  # type: ignore[method-assign]
            RefusingPlace(self.successResultOf(find(*those)))  # type: ignore[arg-type]
        )
        self.assertEqual(self.opcodes()[0], 8)
