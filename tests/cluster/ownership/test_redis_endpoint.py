"""How a Redis server is reached, and which server Sentinels name.
`tests.live.test_directory` has real ones."""

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.redis_endpoint import (
    NoMaster,
    SentinelEndpoint,
    make_endpoint,
)
from apptuner_relay.config.redis_url import Host, parse_redis_url

ONE, TWO, MASTER = Host("s1", 26379), Host("s2", 26379), Host("m", 6379)
SAYS_MASTER = b"*2\r\n$1\r\nm\r\n$4\r\n6379\r\n"
KNOWS_NONE = b"*-1\r\n"


class Wire(StringTransport):
    """A connection to a server that answers each command.

    :ivar is_slow: whether it is lost by `lose` only.
    """

    is_slow = False

    def __init__(self, protocol: Any, answer: bytes | None) -> None:
        super().__init__()
        self._protocol, self._answer = protocol, answer

    def write(self, data: bytes) -> None:
        if b"PING" in data:
            self._protocol.dataReceived(b"+PONG\r\n")
        elif self._answer is not None:
            self._protocol.dataReceived(self._answer)

    def abortConnection(self) -> None:
        if not self.disconnected:
            self.disconnected = True
            if not self.is_slow:
                self.lose()

    def lose(self) -> None:
        self._protocol.connectionLost(Failure(ConnectionDone()))


class FakeEndpoint:
    def __init__(self, connect: Callable[[Any], "Deferred[Any]"]) -> None:
        self.connect = connect


class Sentinels(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.answers: dict[Host, bytes | Exception | None] = {}
        self.asked: list[Host] = []
        self.wires: list[Wire] = []
        self.endpoint = SentinelEndpoint(self.clock, self.at, [ONE, TWO], "relay", None)

    def at(self, host: Host) -> FakeEndpoint:
        def connect(factory: Any) -> "Deferred[Any]":
            self.asked.append(host)
            answer = self.answers.get(host)
            if isinstance(answer, Exception):
                return fail(answer)
            protocol = factory.buildProtocol(None)
            wire = Wire(protocol, answer)
            self.wires.append(wire)
            protocol.makeConnection(wire)
            return succeed(protocol)

        return FakeEndpoint(connect)

    def connect(self) -> "Deferred[Any]":
        connecting = self.endpoint.connect(Factory.forProtocol(Protocol))
        self.clock.advance(0)
        return connecting

    def test_the_first_that_names_the_master(self) -> None:
        self.answers = {ONE: SAYS_MASTER, TWO: SAYS_MASTER}
        self.assertIsInstance(self.successResultOf(self.connect()), Protocol)
        self.assertEqual(self.asked, [ONE, MASTER])
        # Nothing is kept open to who was asked.
        self.assertEqual([wire.disconnected for wire in self.wires], [True, False])

    def test_another_one_where_it_does_not_and_that_one_first_next_time(self) -> None:
        for first in (ConnectionRefusedError(), KNOWS_NONE, b"-ERR no\r\n"):
            self.setUp()
            self.answers = {ONE: first, TWO: SAYS_MASTER}
            self.successResultOf(self.connect())
            self.assertEqual(self.asked, [ONE, TWO, MASTER])
            self.successResultOf(self.connect())
            self.assertEqual(self.asked[3:], [TWO, MASTER])

    def test_one_that_says_nothing_is_not_waited_for(self) -> None:
        self.answers = {ONE: None, TWO: SAYS_MASTER}
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.clock.advance(1)
        self.successResultOf(connecting)
        self.assertTrue(self.wires[0].disconnected)

    def test_none_names_it(self) -> None:
        self.answers = {ONE: KNOWS_NONE, TWO: ConnectionRefusedError("nobody there")}
        failure = self.failureResultOf(self.connect(), NoMaster)
        self.assertIn("knows no service relay", str(failure.value))
        self.assertIn("nobody there", str(failure.value))

    def test_the_master_refuses(self) -> None:
        self.answers = {ONE: SAYS_MASTER, MASTER: ConnectionRefusedError()}
        self.failureResultOf(self.connect(), ConnectionRefusedError)

    def test_it_is_not_wanted_any_more(self) -> None:
        self.answers = {ONE: None, TWO: SAYS_MASTER}
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.clock.advance(5)
        self.assertEqual(self.asked, [ONE])

    def test_a_sentinel_that_is_gone_after_it_is_not_wanted(self) -> None:
        self.answers = {ONE: None}
        connecting = self.connect()
        (wire,) = self.wires
        wire.is_slow = True
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        # Nobody waits for it any more, and nothing goes wrong by that.
        wire.lose()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])


class Kinds(SynchronousTestCase):
    def test_by_url(self) -> None:
        reactor = MemoryReactorClock()
        for url, kind in (
            ("redis://10.0.0.1", HostnameEndpoint),
            ("unix:/run/redis.sock", UNIXClientEndpoint),
        ):
            self.assertIsInstance(make_endpoint(reactor, parse_redis_url(url)), kind)
        tls = make_endpoint(reactor, parse_redis_url("rediss://10.0.0.1"))
        self.assertNotIsInstance(tls, HostnameEndpoint)
