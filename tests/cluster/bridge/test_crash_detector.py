"""Which relays are known to have ended, of those that refuse connections."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.crash_detector import CrashDetector, make_refusal_check
from apptuner_relay.cluster.ownership.directory import NodeLife, Suspicion

ADDRESS = "ws://a:1"
SILENT = Suspicion(NodeLife.SILENT, "run1", 5000)
LIVES, ENDED, UNKNOWN = (
    Suspicion(life) for life in (NodeLife.LIVES, NodeLife.ENDED, NodeLife.UNKNOWN)
)
LONG_S = 5.0


class Examining(SynchronousTestCase):
    """Each test says what becomes of connections, and what Redis replies, in turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections: list[bool] = []
        self.replies: list[Suspicion] = []
        self.asked: list[Suspicion] = []
        self.tried_s: list[float] = []
        self.ended = 0
        self.detector = CrashDetector(
            lambda: self,  # type: ignore[arg-type,return-value]
            self.clock,
            self.refuses,
            self.on_ended,
        )

    def refuses(self, address: str) -> Deferred[bool]:
        self.assertEqual(address, ADDRESS)
        self.tried_s.append(self.clock.seconds())
        return succeed(self.connections.pop(0))

    def suspect(self, node: str, address: str, before: Suspicion) -> Deferred[Suspicion]:
        """See `Directory`."""
        self.assertEqual((node, address), ("a", ADDRESS))
        self.asked.append(before)
        return succeed(self.replies.pop(0))

    def on_ended(self) -> None:
        self.ended += 1

    def examine(self, connections: list[bool], *replies: Suspicion) -> None:
        self.connections += connections
        self.replies += replies
        self.detector.not_reached("a", ADDRESS)
        self.clock.pump([0.05] * int(LONG_S / 0.05))
        self.assertEqual((self.connections, self.replies), ([], []), "not asked for")

    def test_silent_and_refusing_twice_it_has_ended(self) -> None:
        self.examine([True, True], SILENT, ENDED)
        self.assertEqual(self.ended, 1)
        # The second question is about the process that was silent at the first.
        self.assertEqual([one.run for one in self.asked], ["", "run1"])
        self.assertEqual(self.asked[1], SILENT)

    def test_it_takes_two_pauses(self) -> None:
        self.examine([True, True], SILENT, ENDED)
        first_s, second_s = self.tried_s
        self.assertGreaterEqual(first_s, 0.2)
        self.assertGreaterEqual(second_s - first_s, 0.2)
        self.assertLess(second_s, 1)

    def test_another_relay_was_quicker(self) -> None:
        self.examine([True], ENDED)
        self.assertEqual(self.ended, 1)

    def test_one_that_accepts_the_next_connection_lives(self) -> None:
        """It was just being started again, or is busy."""
        self.examine([False])
        self.examine([True, False], SILENT)
        self.assertEqual(self.ended, 0)

    def test_one_that_is_connected_to_redis_lives(self) -> None:
        """It only refuses connections: it stops, or a firewall is in the way."""
        self.examine([True], LIVES)
        self.examine([True, True], SILENT, LIVES)
        self.assertEqual(self.ended, 0)

    def test_without_redis_nothing_is_known(self) -> None:
        self.examine([True], UNKNOWN)
        self.examine([True, True], SILENT, UNKNOWN)
        self.assertEqual(self.ended, 0)

    def test_a_second_silence_that_ended_nothing(self) -> None:
        self.examine([True, True], SILENT, SILENT)
        self.assertEqual(self.ended, 0)

    def test_many_clients_are_one_question(self) -> None:
        self.connections, self.replies = [True], [LIVES]
        for _ in range(12):
            self.detector.not_reached("a", ADDRESS)
            self.clock.advance(0.05)
        self.assertEqual((len(self.asked), self.connections), (1, []))
        # A moment later it may be doubted again.
        self.clock.advance(LONG_S)
        self.examine([True, True], SILENT, ENDED)
        self.assertEqual(self.ended, 1)

    def test_a_fault_is_logged_and_it_may_be_doubted_again(self) -> None:
        self.patch(self.detector, "_refuses", lambda address: fail(ZeroDivisionError()))
        self.detector.not_reached("a", ADDRESS)
        self.clock.advance(LONG_S)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.detector._refuses = self.refuses
        self.examine([True, True], SILENT, ENDED)
        self.assertEqual(self.ended, 1)


class Connecting(SynchronousTestCase):
    """What counts as refused."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.answer = make_refusal_check(self.reactor)("wss://10.77.0.1:3000")

    def test_a_refusal(self) -> None:
        self.fail_with(ConnectionRefusedError())
        self.assertIs(self.successResultOf(self.answer), True)

    def test_no_answer_in_time(self) -> None:
        self.fail_with(ConnectTimeout())
        self.assertIs(self.successResultOf(self.answer), False)

    def test_a_connection(self) -> None:
        """It is dropped again, without a word."""
        _, port, factory, *_ = self.reactor.tcpClients[0]
        self.assertEqual(port, 3000)
        protocol, transport = factory.buildProtocol(None), StringTransport()
        protocol.makeConnection(transport)
        self.assertIs(self.successResultOf(self.answer), False)
        self.assertEqual((transport.value(), transport.disconnected), (b"", True))

    def fail_with(self, why: Exception) -> None:
        _, _, factory, *_ = self.reactor.tcpClients[0]
        factory.clientConnectionFailed(None, Failure(why))
