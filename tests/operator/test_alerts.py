"""`apptuner_relay.operator.alerts`: the queue on a clock, and the webhook against a real server."""

from collections import Counter
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from apptuner_relay.operator import alerts
from apptuner_relay.operator.alerts import (
    FIRST_PAUSE_S,
    GIVE_UP_S,
    LONGEST_PAUSE_S,
    QUEUE_LENGTH,
    STOP_S,
    Alert,
    Alerts,
    Undelivered,
    WebhookPoster,
)


class Post:
    """A poster whose answers are the test's."""

    where = "http://alerts.example"

    def __init__(self) -> None:
        self.tries: list[Alert] = []
        self.answers: list[Deferred[None]] = []

    async def post(self, alert: Alert) -> None:
        answer: Deferred[None] = Deferred()
        self.tries.append(alert)
        self.answers.append(answer)
        try:
            await answer
        except CancelledError:
            raise Undelivered("no answer in time", final=False) from None


class QueueTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.post = Post()
        self.results: Counter[str] = Counter()
        self.alerts = Alerts(self.post, self.clock, self.results)
        self.lines: list[str] = []

        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace", "").endswith(".Alerts"):
                self.lines.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def take(self) -> None:
        self.post.answers[-1].callback(None)

    def refuse(self, final: bool = False) -> None:
        self.post.answers[-1].errback(Undelivered("answered with status 503", final))

    def names(self) -> list[object]:
        return [alert["name"] for alert in self.post.tries]

    def test_one_after_the_other(self) -> None:
        for name in "abc":
            self.alerts.send({"name": name})
        self.assertEqual(self.names(), ["a"])
        self.take()
        self.take()
        self.take()
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assertEqual(self.results, {"delivered": 3})
        self.alerts.send({"name": "d"})
        self.assertEqual(self.names(), ["a", "b", "c", "d"])

    def test_tries_again_at_growing_intervals(self) -> None:
        self.alerts.send({"name": "a"})
        self.alerts.send({"name": "b"})
        pause_s = FIRST_PAUSE_S
        for tries in range(1, 12):
            self.assertEqual(self.names(), ["a"] * tries)
            self.refuse()
            self.clock.advance(pause_s - 0.01)
            self.assertEqual(len(self.names()), tries)
            self.clock.advance(0.01)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.take()
        self.assertEqual(self.names()[-1], "b")
        self.assertEqual(len(self.lines), 1)
        self.assertIn("503", self.lines[0])

    def test_gives_up_in_the_end(self) -> None:
        self.alerts.send({"name": "a"})
        self.alerts.send({"name": "b"})
        while self.names()[-1] == "a":
            self.refuse()
            self.clock.advance(LONGEST_PAUSE_S)
        self.assertGreaterEqual(self.clock.seconds(), GIVE_UP_S)
        self.assertEqual(self.results, {"failed": 1})

    def test_no_other_try_where_none_would_help(self) -> None:
        self.alerts.send({"name": "a"})
        self.refuse(final=True)
        self.clock.advance(100)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(self.results, {"failed": 1})

    def test_too_many_drop_the_oldest_that_wait(self) -> None:
        for i in range(QUEUE_LENGTH + 2):
            self.alerts.send({"name": i})
        self.assertEqual(self.results, {"dropped": 2})
        self.take()
        self.assertEqual(self.names(), [0, 3])

    def test_an_error_that_nobody_thought_of_costs_one_alert(self) -> None:
        self.alerts.send({"name": "a"})
        self.alerts.send({"name": "b"})
        self.post.answers[-1].errback(ZeroDivisionError("oops"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.names(), ["a", "b"])
        self.take()
        self.assertEqual(self.results, {"failed": 1, "delivered": 1})

    def test_stop_with_nothing_to_do(self) -> None:
        self.successResultOf(self.alerts.stop())

    def test_stop_tries_what_waits_once(self) -> None:
        self.alerts.send({"name": "a"})
        self.alerts.send({"name": "b"})
        self.refuse()
        stopped = self.alerts.stop()
        self.assertEqual(self.names(), ["a", "a"])
        self.refuse()
        self.assertEqual(self.names(), ["a", "a", "b"])
        self.assertNoResult(stopped)
        self.take()
        self.successResultOf(stopped)
        self.assertEqual(self.results, {"failed": 1, "delivered": 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_does_not_wait_for_long(self) -> None:
        for name in "abc":
            self.alerts.send({"name": name})
        stopped = self.alerts.stop()
        self.clock.advance(STOP_S - 0.1)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.names(), ["a"])
        self.assertEqual(sum(self.results.values()), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Receiver(Resource):
    """Takes alerts, with answers that the test gives."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[bytes, bytes | None, bytes]] = []
        self.status = 200
        self.silent = False

    def render_POST(self, request: Request) -> bytes | int:
        authorization = request.requestHeaders.getRawHeaders(b"authorization", [None])[0]
        self.requests.append((request.uri, authorization, request.content.read()))
        if self.silent:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        request.setHeader(b"location", b"/elsewhere")
        return b"x" * 100_000


class Interrupter(Protocol):
    """Ends a connection as soon as something has come in."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()


class Deaf(Protocol):
    """Reads nothing."""

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self.factory.connections.append(self.transport)


LARGE = {"text": "x" * (32 << 20)}
"""More than the buffers between two sockets hold, so that sending it can be interrupted."""


class InterruptedTest(TestCase):
    """Alerts that are on their way when the connection ends, or when the time is up."""

    def listen(self, protocol: type[Protocol]) -> WebhookPoster:
        factory = Factory.forProtocol(protocol)
        factory.connections = []
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: [one.abortConnection() for one in factory.connections])
        return WebhookPoster(f"http://127.0.0.1:{port.getHost().port}/", reactor)

    async def test_the_connection_is_lost(self) -> None:
        posted = Deferred.fromCoroutine(self.listen(Interrupter).post(LARGE))
        wrong = await self.assertFailure(posted, Undelivered)
        self.assertFalse(wrong.final)

    def test_it_is_given_up_while_it_connects(self) -> None:
        post = WebhookPoster("http://127.0.0.1:9/", MemoryReactorClock()).post({})
        posted = Deferred.fromCoroutine(post)
        posted.cancel()
        wrong = self.failureResultOf(posted, Undelivered).value
        self.assertEqual((str(wrong), wrong.final), ("no answer in time", False))

    async def test_nobody_reads(self) -> None:
        self.patch(alerts, "_TIMEOUT_S", 0.2)
        posted = Deferred.fromCoroutine(self.listen(Deaf).post(LARGE))
        wrong = await self.assertFailure(posted, Undelivered)
        self.assertEqual((str(wrong), wrong.final), ("no answer in time", False))


class WebhookTest(TestCase):
    def setUp(self) -> None:
        self.receiver = Receiver()
        self.port = reactor.listenTCP(0, Site(self.receiver), interface="127.0.0.1")
        self.number = self.port.getHost().port
        self.addCleanup(self.port.stopListening)

    def poster(self, rest: str = "/hook?key=s3cret", user: str = "") -> WebhookPoster:
        return WebhookPoster(f"http://{user}127.0.0.1:{self.number}{rest}", reactor)

    async def test_what_is_sent(self) -> None:
        await self.poster().post({"name": "memory", "text": "ü"})
        ((uri, authorization, body),) = self.receiver.requests
        self.assertEqual(uri, b"/hook?key=s3cret")
        self.assertIsNone(authorization)
        self.assertEqual(body.decode("unicode_escape"), '{"name":"memory","text":"ü"}')

    async def test_the_log_has_no_line_for_each(self) -> None:
        lines: list[str] = []

        def observe(event: dict[str, Any]) -> None:
            if event.get("log_namespace", "").startswith("twisted.web.client"):
                lines.append(event["log_format"])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        await self.poster().post({"name": "memory"})
        self.assertEqual(lines, [])

    async def test_user_and_password(self) -> None:
        await self.poster(user="me:p%40ss@").post({})
        ((_, authorization, _),) = self.receiver.requests
        self.assertEqual(authorization, b"Basic bWU6cEBzcw==")

    async def test_answers(self) -> None:
        for status, final in [(500, False), (429, False), (404, True), (302, True), (400, True)]:
            self.receiver.status = status
            wrong = await self.assertFailure(
                Deferred.fromCoroutine(self.poster().post({})), Undelivered
            )
            self.assertEqual(str(wrong), f"answered with status {status}")
            self.assertIs(wrong.final, final)
        self.assertEqual(len(self.receiver.requests), 5)

    async def test_nobody_listens(self) -> None:
        await self.port.stopListening()
        wrong = await self.assertFailure(
            Deferred.fromCoroutine(self.poster().post({})), Undelivered
        )
        self.assertIs(wrong.final, False)
        self.assertIn("refused", str(wrong))

    async def test_no_answer(self) -> None:
        self.receiver.silent = True
        self.patch(alerts, "_TIMEOUT_S", 0.05)
        wrong = await self.assertFailure(
            Deferred.fromCoroutine(self.poster().post({})), Undelivered
        )
        self.assertEqual((str(wrong), wrong.final), ("no answer in time", False))

    def test_the_log_has_no_secrets(self) -> None:
        for url, where in [
            ("https://me:pw@hooks.example/T00/B00/xyz?key=1#f", "https://hooks.example"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
        ]:
            self.assertEqual(WebhookPoster(url, reactor).where, where)
