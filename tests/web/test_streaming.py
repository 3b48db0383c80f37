"""`apptuner_relay.web.streaming`: when a client is waited for, and when it is given up."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.streaming import ResponseWriter

SLOW_S = 30.0


class Transport:
    """A connection of which ``unsent_bytes`` are in the kernel."""

    def __init__(self) -> None:
        self.unsent_bytes = 1000
        self.aborted = False

    def unsent(self) -> int:
        return self.unsent_bytes

    def abortConnection(self) -> None:
        self.aborted = True


class Channel:
    abortTimeout = 15


class StubRequest:
    """What an writer needs of a request; full after every write."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.channel = Channel()
        self.producer: ResponseWriter | None = None
        self.written: list[bytes] = []
        self.finished = False
        self._finish: Deferred[None] = Deferred()

    def notifyFinish(self) -> Deferred[None]:
        return self._finish

    def registerProducer(self, producer: ResponseWriter, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.producer is not None:
            self.producer.pauseProducing()

    def finish(self) -> None:
        assert self.producer is None
        self.finished = True
        self._finish.callback(None)

    def lose(self) -> None:
        self._finish.errback(Failure(ConnectionDone()))


class Outlets(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.start(self.transport)

    def start(self, transport: Any) -> None:
        self.request = StubRequest(transport)
        self.writer = ResponseWriter(self.request, self.clock, SLOW_S)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.5] * int(seconds * 2))

    def test_room_comes_with_the_kernel(self) -> None:
        self.writer.write(b"a")
        room = self.writer.room()
        self.assertNoResult(room)
        self.writer.resumeProducing()
        self.successResultOf(room)
        self.successResultOf(self.writer.room())
        self.writer.finish(b"b")
        self.assertEqual((self.request.written, self.request.finished), ([b"a", b"b"], True))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.writer.gone)

    def test_nothing_is_taken(self) -> None:
        self.writer.write(b"a")
        room = self.writer.room()
        self.wait(SLOW_S - 1)
        self.assertNoResult(room)
        self.assertFalse(self.transport.aborted)
        self.wait(2)
        self.successResultOf(room)
        self.assertTrue(self.transport.aborted and self.writer.gone and self.writer.cut)
        # The connection's end is news no more.
        self.request.lose()
        self.writer.write(b"b")
        self.writer.finish()
        self.assertEqual(self.request.written, [b"a"])

    def test_a_byte_now_and_then_is_enough(self) -> None:
        # On a slow connection it takes minutes until the kernel takes more.
        self.writer.write(b"a")
        room = self.writer.room()
        for _ in range(20):
            self.wait(SLOW_S * 3 / 4)
            self.transport.unsent_bytes -= 1
        self.assertNoResult(room)
        self.wait(SLOW_S * 5 / 4)
        self.assertTrue(self.writer.cut)

    def test_a_transport_that_can_not_tell(self) -> None:
        transport: Any = type("Plain", (), {"abortConnection": lambda self: None})()
        self.start(transport)
        for _ in range(3):
            self.writer.write(b"a")
            room = self.writer.room()
            self.wait(SLOW_S - 1)
            self.writer.resumeProducing()
            self.successResultOf(room)
        self.writer.write(b"a")
        room = self.writer.room()
        self.wait(SLOW_S)
        self.successResultOf(room)
        self.assertTrue(self.writer.cut)

    def test_what_was_written_goes_out_before_the_connection_is_dropped(self) -> None:
        calls: list[str] = []
        calling = {
            "pending": True,
            "doWrite": lambda self: calls.append("send"),
            "abortConnection": lambda self: calls.append("abort"),
        }
        self.start(type("Written", (), calling)())
        self.writer.abort()
        self.assertEqual(calls, ["send", "abort"])

    def test_the_client_leaves(self) -> None:
        self.writer.write(b"a")
        room = self.writer.room()
        self.request.lose()
        self.successResultOf(room)
        self.assertTrue(self.writer.gone)
        self.assertFalse(self.writer.cut or self.transport.aborted)
        self.successResultOf(self.writer.room())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_is_cut_who_has_nothing_to_take(self) -> None:
        self.wait(SLOW_S * 2)
        self.assertFalse(self.writer.gone)
