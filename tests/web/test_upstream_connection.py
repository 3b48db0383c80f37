"""A program that answers, and ends the connection, before it has the whole body."""

import socket

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from apptuner_relay.web.upstream_connection import UpstreamReactor


class Requester(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.up: Deferred[None] = Deferred()
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.up.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.over.callback(None)


class EarlyAnswerTest(TestCase):
    async def test_the_answer_is_read_where_the_rest_of_the_body_cant_be_written(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        requester = Requester()
        factory = ClientFactory.forProtocol(lambda: requester)  # type: ignore[arg-type]
        factory.noisy = False
        UpstreamReactor(reactor).connectTCP(*listening.getsockname(), factory)
        await requester.up
        program, _ = listening.accept()
        transport = requester.transport
        assert transport is not None
        transport.write(b"some of the body")
        transport.doWrite()  # type: ignore[attr-defined]
        answer = b"HTTP/1.1 413 Content Too Large\r\n\r\n" + b"x" * 100_000
        program.sendall(answer)
        # As part of the body is unread, the system resets the connection.
        program.close()
        transport.write(b"more of it")
        lost = transport.doWrite()  # type: ignore[attr-defined]
        self.assertIsNotNone(lost)
        self.assertEqual(len(requester.received), len(answer))
        transport.abortConnection()  # type: ignore[attr-defined]
        await requester.over
