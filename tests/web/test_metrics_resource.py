"""`apptuner_relay.web.metrics_resource`: the first scrapes, whose answers wait for a thread. What
is in them: `test_metrics`."""

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from apptuner_relay.web import metrics_resource
from apptuner_relay.web.metrics_resource import MetricsResource
from apptuner_relay.web.site import RelaySite
from tests.memory import Relay
from tests.web.http import LOCAL, Requester, parse

Done = Callable[[bool, object], None]


class HeldThreads(Clock):
    """A reactor and its threads, which do nothing before they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Done, Callable[[], object]]] = []

    def getThreadPool(self) -> Any:
        return self

    def callInThreadWithCallback(self, done: Done, function: Callable[[], object]) -> None:
        self.waiting.append((done, function))

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)

    def run(self) -> None:
        calls, self.waiting = self.waiting, []
        for done, function in calls:
            try:
                result = function()
            except Exception:
                done(False, Failure())
            else:
                done(True, result)


class FirstScrapes(SynchronousTestCase):
    def setUp(self) -> None:
        relay = Relay().service
        self.threads = HeldThreads()
        root = Resource()
        root.putChild(b"metrics", MetricsResource(relay.meters, self.threads))
        self.requester = Requester(relay, LOCAL)
        self.requester._site = RelaySite(root, self.threads)
        self.requester._site.startFactory()

    def test_they_wait_and_later_ones_do_not(self) -> None:
        first, second = (self.requester.open("/metrics") for _ in range(2))
        self.assertEqual((first.value(), second.value()), (b"", b""))
        self.threads.run()
        for answer in (parse(first.value()), parse(second.value()), self.requester.ask("/metrics")):
            self.assertEqual(answer.status, 200)
            self.assertIn(b"apptuner_relay_sessions 0.0\n", answer.body)
        self.assertEqual(self.threads.waiting, [])

    def test_whoever_has_left_gets_none(self) -> None:
        left = self.requester.open("/metrics")
        left.protocol.connectionLost(Failure(ConnectionError()))  # type: ignore[attr-defined]
        self.threads.run()
        self.assertEqual(left.value(), b"")
        self.assertEqual(self.requester.ask("/metrics").status, 200)

    def test_one_that_fails_is_logged_and_the_next_tries_again(self) -> None:
        def fail() -> None:
            raise ImportError("as it happens")

        self.patch(metrics_resource, "_load", fail)
        failed = self.requester.open("/metrics")
        self.threads.run()
        self.assertEqual(parse(failed.value()).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ImportError)), 1)
        self.requester.open("/metrics")
        self.assertEqual(len(self.threads.waiting), 1)
