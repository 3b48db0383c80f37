"""`private_names.of_twisted.read_directly`: what the reactor does with a connection's events."""

import socket
from collections.abc import Callable

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.private_names.of_twisted import BufferedConnection, read_directly


class Heard(Protocol):
    """Keeps what happens to it."""

    def __init__(self) -> None:
        self.data = b""
        self.why: type[BaseException] | None = None
        self.fails_at_end = False
        self.then: list[Callable[[], object]] = []
        """What it does when it receives something, one after the other."""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.then:
            self.then.pop(0)()
        if data == b"bad":
            raise ValueError("bad")

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        self.why = reason.type
        if self.fails_at_end:
            raise KeyError("end")


class DirectReading(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EPollReactor()
        read_directly(self.reactor)
        self.far, near = socket.socketpair()
        self.addCleanup(self.far.close)
        near.setblocking(False)
        self.protocol = Heard()
        self.transport = BufferedConnection(near, self.protocol, self.reactor)
        self.transport.connected = True
        self.protocol.makeConnection(self.transport)
        self.transport.startReading()
        self.addCleanup(near.close)
        self.addCleanup(self.reactor.removeAll)

    def turn(self) -> None:
        self.reactor.doIteration(0)

    def test_what_is_received(self) -> None:
        for data in (b"one", b"two"):
            self.far.send(data)
            self.turn()
        self.turn()
        self.assertEqual(self.protocol.data, b"onetwo")

    def test_what_is_sent_as_the_kernel_takes_it(self) -> None:
        self.transport.write(b"answer")
        self.turn()
        self.assertEqual(self.far.recv(100), b"answer")

    def test_the_end_of_a_connection(self) -> None:
        self.far.close()
        self.turn()
        self.assertIsNotNone(self.protocol.why)
        self.assertNotIn(self.transport, self.reactor.getReaders())

    def test_a_protocol_that_fails_loses_its_connection_alone(self) -> None:
        self.far.send(b"bad")
        self.turn()
        self.assertIs(self.protocol.why, ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.turn()

    def ended(self, count: int) -> list[Heard]:
        """The protocols of more connections, which the other side has ended."""
        heard: list[Heard] = []
        for _ in range(count):
            far, near = socket.socketpair()
            near.setblocking(False)
            self.addCleanup(far.close)
            self.addCleanup(near.close)
            heard.append(Heard())
            transport = BufferedConnection(near, heard[-1], self.reactor)
            transport.connected = True
            heard[-1].makeConnection(transport)
            transport.startReading()
            # As TCP's FIN: what is left is to be read.
            far.shutdown(socket.SHUT_WR)
        return heard

    def test_one_whose_end_fails_holds_up_no_other(self) -> None:
        heard = self.ended(10)
        for one in heard:
            one.fails_at_end = True
        self.turn()
        self.assertEqual(sum(one.why is not None for one in heard), 10)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 10)

    def test_what_else_is_due_waits_for_some_of_many_only(self) -> None:
        heard = self.ended(100)
        counts = []
        for _ in range(2):
            self.turn()
            counts.append(sum(one.why is not None for one in heard))
        self.assertLess(counts[0], 100)
        self.assertEqual(counts[1], 100)

    def test_it_goes_on_until_something_else_is_due(self) -> None:
        self.reactor.running = True
        self.addCleanup(setattr, self.reactor, "running", False)
        for due in (
            lambda: self.reactor.callFromThread(int),
            lambda: self.reactor.callLater(0, int),
            lambda: setattr(self.reactor, "running", False),
        ):
            self.protocol.data = b""
            self.protocol.then = [lambda: self.far.send(b"two"), due]
            self.far.send(b"one")
            self.reactor.doIteration(60)
            self.assertEqual(self.protocol.data, b"onetwo")
            self.reactor.runUntilCurrent()

    def test_other_reactors_stay_as_they_are(self) -> None:
        other = SelectReactor()
        self.addCleanup(other.removeAll)
        read_directly(other)
        self.assertNotIn("doIteration", vars(other))
