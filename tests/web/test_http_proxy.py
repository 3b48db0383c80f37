"""`apptuner_relay.web.http_proxy`: what goes on to the next hop, and the body of an answer."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers

from apptuner_relay.web.http_proxy import AnswerBody, end_to_end, explain
from apptuner_relay.web.response_body_states import ResponseBodyState

SILENCE_S = 30.0


class FieldsTest(SynchronousTestCase):
    def test_fields_of_one_connection_stay(self) -> None:
        headers = Headers()
        for name in ("Keep-Alive", "Upgrade", "X-Of-The-Hop", "X-End", "Set-Cookie", "Set-Cookie"):
            headers.addRawHeader(name, f"{name} value")
        headers.addRawHeader("Connection", "close, x-of-the-hop")
        passed = {name.lower(): lines for name, lines in end_to_end(headers)}
        self.assertEqual(set(passed), {b"x-end", b"set-cookie"})
        self.assertEqual(len(passed[b"set-cookie"]), 2)


class ExplainTest(SynchronousTestCase):
    def test_the_cause_of_a_failed_response(self) -> None:
        cause = Failure(ConnectionRefusedError("nobody is there"))
        self.assertIn("nobody is there", explain(ResponseFailed([cause])))
        self.assertEqual(explain(CancelledError()), "no answer in time")

    @given(st.text())
    def test_one_line_that_can_be_logged(self, text: str) -> None:
        shown = explain(ValueError(text))
        self.assertTrue(shown.isprintable())
        self.assertLessEqual(len(shown), 200)


class Client:
    """A `streaming.ResponseWriter`, whose room is the test's."""

    def __init__(self) -> None:
        self.taken = b""
        self.waiting: Deferred[None] | None = None
        self.is_full = False

    def write(self, block: bytes) -> None:
        self.taken += block

    def room(self) -> Deferred[None]:
        if not self.is_full:
            return succeed(None)
        self.waiting = Deferred()
        return self.waiting

    def make_room(self) -> None:
        self.is_full = False
        waiting, self.waiting = self.waiting, None
        assert waiting is not None
        waiting.callback(None)


class BodyTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.body = AnswerBody(self.client, SILENCE_S)  # type: ignore[arg-type]
        self.upstream = StringTransport()
        self.timeouts: list[float | None] = []
        self.patch(self.body, "setTimeout", self.timeouts.append)
        self.body.makeConnection(self.upstream)

    def end(self) -> None:
        self.body.connectionLost(Failure(ResponseDone()))

    def test_all_of_it(self) -> None:
        self.body.dataReceived(b"one")
        self.body.dataReceived(b"two")
        self.end()
        self.assertEqual(self.client.taken, b"onetwo")
        self.assertIsNone(self.successResultOf(self.body.done))

    def test_nothing_is_read_while_the_client_takes_nothing(self) -> None:
        self.client.is_full = True
        self.body.dataReceived(b"one")
        self.assertEqual(self.upstream.producerState, "paused")
        # Silence is the client's now, so there is no limit to it.
        self.assertEqual(self.timeouts, [SILENCE_S, None])
        self.client.make_room()
        self.assertEqual(self.upstream.producerState, "producing")
        self.assertEqual(self.timeouts[-1], SILENCE_S)
        self.end()
        self.assertIsNone(self.successResultOf(self.body.done))

    def test_the_end_waits_for_the_client(self) -> None:
        self.client.is_full = True
        self.body.dataReceived(b"one")
        self.end()
        self.assertNoResult(self.body.done)
        self.client.make_room()
        self.assertIsNone(self.successResultOf(self.body.done))

    def test_an_upstream_that_is_lost_or_silent_cuts_it_short(self) -> None:
        self.body.dataReceived(b"one")
        self.body.connectionLost(Failure(ConnectionRefusedError()))
        self.assertIn("lost", self.successResultOf(self.body.done) or "")
        self.setUp()
        self.body.timeoutConnection()
        self.assertTrue(self.upstream.disconnecting)
        self.body.connectionLost(Failure(ConnectionRefusedError()))
        self.assertIn("30 s", self.successResultOf(self.body.done) or "")

    def test_a_client_that_leaves_in_the_middle(self) -> None:
        for is_full in (False, True):
            self.setUp()
            self.client.is_full = is_full
            self.body.dataReceived(b"one")
            self.body.drop()
            self.assertTrue(self.upstream.disconnecting)
            self.body.dataReceived(b"two")
            self.assertEqual(self.client.taken, b"one")
            self.body.connectionLost(Failure(ConnectionRefusedError()))
            self.assertIsNone(self.successResultOf(self.body.done))
            if is_full:
                self.client.make_room()
            self.assertIs(self.body.state, ResponseBodyState.OVER)


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


class TimedBodyTest(SynchronousTestCase):
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
