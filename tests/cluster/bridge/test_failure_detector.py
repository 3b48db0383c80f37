"""Which relays are taken for gone."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.failure_detector import (
    CHECK_INTERVAL_S,
    FailureDetector,
    make_asker,
)
from apptuner_relay.cluster.ownership.directory import Lease
from tests.cluster.harness import KEY, ClusterCase


class Link:
    heard_s = 0.0


class Client:
    """Stands for a `RemoteMember`."""

    def __init__(self, node: str) -> None:
        self.link: Link | None = Link()
        self.lease = Lease("0" * 64, node, f"ws://{node}:1", 1)
        self.pings = 0
        self.is_cut = False

    def ping_owner(self) -> bool:
        self.pings += 1
        return True

    def drop_link(self) -> None:
        self.is_cut = True
        self.link = None


class Asking(SynchronousTestCase):
    """What counts as no answer."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.asks = make_asker(self.reactor, None)

    def test_nobody_there(self) -> None:
        answer = self.asks("ws://10.77.0.1:3000")
        self.reactor.advance(10)
        self.assertFalse(self.successResultOf(answer))

    def test_who_takes_the_connection_and_says_nothing(self) -> None:
        answer = self.asks("ws://10.77.0.1:3000")
        self.connect()
        self.reactor.advance(10)
        self.assertFalse(self.successResultOf(answer))

    def test_an_answer(self) -> None:
        answer = self.asks("ws://10.77.0.1:3000")
        protocol, transport = self.connect()
        self.assertTrue(transport.value().startswith(b"GET /live HTTP/1.1"))
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.assertTrue(self.successResultOf(answer))

    def connect(self) -> tuple[Any, StringTransport]:
        # A reactor in memory looks every name up as 127.0.0.1.
        _, port, factory, *_ = self.reactor.tcpClients[0]
        self.assertEqual(port, 3000)
        protocol = factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport


class Watching(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clients = [Client("a"), Client("a"), Client("b")]
        self.questions: list[tuple[str, Deferred[bool]]] = []
        self.watch = FailureDetector(self.give, self.clock, self.ask)
        self.clock.advance(100)

    def give(self) -> Any:
        return tuple(self.clients)

    def ask(self, address: str) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()
        self.questions.append((address, answer))
        return answer

    def check(self, *heard: int) -> None:
        """Another look; something has come meanwhile for these clients."""
        self.clock.advance(CHECK_INTERVAL_S)
        for n in heard:
            link = self.clients[n].link
            assert link is not None
            link.heard_s = self.clock.seconds() - CHECK_INTERVAL_S / 2
        self.watch.check()

    def cut(self) -> list[bool]:
        return [client.is_cut for client in self.clients]

    def test_where_anything_comes_nobody_is_asked(self) -> None:
        for _ in range(5):
            self.check(0, 2)
        self.assertEqual([client.pings for client in self.clients], [0, 0, 0])
        self.assertEqual(self.questions, [])

    def test_on_a_silent_relay_all_links_are_pinged(self) -> None:
        self.check(2)
        self.assertEqual([client.pings for client in self.clients], [1, 1, 0])
        self.check(0, 2)
        self.assertEqual(self.questions, [])

    def test_one_that_does_not_answer_is_gone(self) -> None:
        for _ in range(4):
            self.check(2)
        [(address, answer)] = self.questions
        self.assertEqual(address, "ws://a:1")
        self.assertEqual(self.cut(), [False, False, False])
        answer.callback(False)
        self.assertEqual(self.cut(), [True, True, False])

    def test_one_that_answers_has_its_bridges_stalled_only(self) -> None:
        for _ in range(10):
            self.check(2)
            for _, answer in self.questions:
                if not answer.called:
                    answer.callback(True)
        self.assertGreater(len(self.questions), 1)
        self.assertEqual(self.cut(), [False, False, False])

    def test_one_that_is_heard_before_the_answer_fails(self) -> None:
        for _ in range(2):
            self.check(2)
        self.check(0, 2)
        self.questions[0][1].callback(False)
        self.assertEqual(self.cut(), [False, False, False])

    def test_a_question_that_fails_is_asked_again(self) -> None:
        for _ in range(2):
            self.check(2)
        self.questions[0][1].errback(RuntimeError("odd"))
        self.check(2)
        self.assertEqual(len(self.questions), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class InACluster(ClusterCase):
    """With relays that answer, or don't, over the network between them."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=d1")
        [self.remote] = self.b.placement.remotes.in_session(KEY)
        self.first = self.remote.link

    def test_links_on_which_nobody_says_anything_stay(self) -> None:
        self.turn(30)
        self.assertIs(self.remote.link, self.first)
        self.assertMeet(self.cli, self.phone)

    def test_a_link_that_stands_still_stays_while_its_relay_answers(self) -> None:
        """A slow phone may be the reason."""
        for wire in self.network.between("a", "b"):
            wire.is_stuck = True
        self.turn(10)
        self.assertIs(self.remote.link, self.first)
        for wire in self.network.between("a", "b"):
            wire.is_stuck = False
        self.turn()
        self.assertMeet(self.cli, self.phone)

    def test_a_relay_of_which_nothing_comes_at_all_is_given_up_in_time(self) -> None:
        self.network.part("a", "b")
        self.turn(4 * CHECK_INTERVAL_S + 2.5)
        self.assertIsNot(self.remote.link, self.first)
        # The phone is not closed for that, until no place was found for it.
        self.assertIsNone(self.closed(self.phone))
        self.network.join("a", "b")
        self.turn(4)
        self.assertMeet(self.cli, self.phone)

    def test_one_that_refuses_connections_is_given_up(self) -> None:
        """Its process is gone, and its host says so."""
        for wire in self.network.between("a", "b"):
            wire.is_stuck = True
        self.network.listeners.pop("a")
        self.turn(4 * CHECK_INTERVAL_S)
        self.assertIsNot(self.remote.link, self.first)
