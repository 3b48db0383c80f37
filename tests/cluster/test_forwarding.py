"""An answer on its way from another relay to a client, in memory."""

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed

from apptuner_relay.web.http_proxy import SILENCE_S, AnswerBody

DONE, LOST = Failure(ResponseDone()), Failure(ResponseFailed([]))


class FakeOutlet:
    """A client who has room, or not."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.waiting: Deferred[None] | None = None
        self.full = False

    def write(self, data: bytes) -> None:
        self.taken.append(data)

    def room(self) -> Deferred[None]:
        if not self.full:
            return succeed(None)
        self.waiting = Deferred()
        return self.waiting


class FakeTransport:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class BodyTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outlet = FakeOutlet()
        self.transport = FakeTransport()
        body: Any = AnswerBody(self.outlet, SILENCE_S)  # type: ignore[arg-type]
        body.callLater = self.clock.callLater
        self.body = body

    def begin(self) -> None:
        self.body.makeConnection(self.transport)

    def over(self) -> str | None:
        why: str | None = self.successResultOf(self.body.done)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return why

    def test_all_of_it(self) -> None:
        self.begin()
        for data in (b"one", b"two"):
            self.body.dataReceived(data)
        self.body.connectionLost(DONE)
        self.assertIsNone(self.over())
        self.assertEqual((self.outlet.taken, self.transport.calls), ([b"one", b"two"], []))

    def test_no_faster_than_it_is_taken(self) -> None:
        self.begin()
        self.outlet.full = True
        self.body.dataReceived(b"one")
        # What the parser has already read comes all the same.
        self.body.dataReceived(b"two")
        self.assertEqual(self.transport.calls, ["pauseProducing"])
        # Nobody hurries the client but who it is connected to.
        self.clock.advance(10 * SILENCE_S)
        assert self.outlet.waiting is not None
        self.outlet.waiting.callback(None)
        self.assertEqual(self.transport.calls, ["pauseProducing", "resumeProducing"])
        self.body.connectionLost(DONE)
        self.assertIsNone(self.over())

    def test_the_end_waits_for_room(self) -> None:
        self.begin()
        self.outlet.full = True
        self.body.dataReceived(b"one")
        self.body.connectionLost(DONE)
        self.assertNoResult(self.body.done)
        assert self.outlet.waiting is not None
        self.outlet.waiting.callback(None)
        self.assertIsNone(self.over())
        self.assertEqual(self.transport.calls, ["pauseProducing"])

    def test_a_connection_that_is_lost(self) -> None:
        self.begin()
        self.body.dataReceived(b"one")
        self.body.connectionLost(LOST)
        self.assertEqual(self.over(), "the connection to it was lost")

    def test_silence(self) -> None:
        self.begin()
        self.clock.advance(SILENCE_S - 1)
        self.body.dataReceived(b"one")
        self.clock.advance(SILENCE_S - 1)
        self.assertEqual(self.transport.calls, [])
        self.clock.advance(1)
        self.assertEqual(self.transport.calls, ["loseConnection"])
        self.body.connectionLost(LOST)
        self.assertEqual(self.over(), "nothing came for 30 s")

    def test_nobody_wants_it_any_more(self) -> None:
        self.begin()
        self.body.drop()
        self.body.dataReceived(b"one")
        self.body.connectionLost(LOST)
        self.assertIsNone(self.over())
        self.assertEqual((self.outlet.taken, self.transport.calls), ([], ["loseConnection"]))

    def test_nobody_wants_it_from_the_beginning(self) -> None:
        self.body.drop()
        self.begin()
        self.body.connectionLost(LOST)
        self.assertIsNone(self.over())
        self.assertEqual(self.transport.calls, ["loseConnection"])
