"""`apptuner_relay.flow.workers`: work that is done in threads, and its results."""

import threading
from collections.abc import Callable

from twisted.internet import defer, reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.flow.workers import ThreadWorkers
from tests.workers import Inline


class InThreads(TestCase):
    def setUp(self) -> None:
        self.workers = ThreadWorkers(reactor)
        self.addCleanup(self.workers.stop)

    def do(self, work: Callable[[], object]) -> "defer.Deferred[object]":
        done: defer.Deferred[object] = defer.Deferred()
        self.workers.submit(work, done.callback)
        return done

    async def test_work_is_done_elsewhere_and_its_result_brought_back(self) -> None:
        def work() -> str:
            return threading.current_thread().name

        where: list[object] = []
        done: defer.Deferred[None] = defer.Deferred()

        def worked(name: object) -> None:
            where.extend((name, threading.current_thread()))
            done.callback(None)

        self.workers.submit(work, worked)
        await done
        self.assertIn("worker ", str(where[0]))
        self.assertIs(where[1], threading.current_thread())

    async def test_what_work_raises_is_its_result(self) -> None:
        def work() -> None:
            raise ValueError("no")

        result: list[object] = []
        done: defer.Deferred[None] = defer.Deferred()
        self.workers.submit(work, lambda got: (result.append(got), done.callback(None)))
        await done
        self.assertIsInstance(result[0], ValueError)
        self.assertEqual(await self.do(lambda: 7), 7)

    async def test_all_of_much_work_is_done(self) -> None:
        results = await defer.gatherResults([self.do(lambda at=at: at) for at in range(500)])
        self.assertEqual(results, list(range(500)))

    async def test_nothing_is_called_back_once_it_is_stopped(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        results: list[object] = []

        def work() -> None:
            begun.set()
            go_on.wait()

        self.workers.submit(work, results.append)
        self.workers.submit(lambda: 1, results.append)
        begun.wait()
        go_on.set()
        self.workers.stop()
        self.workers.submit(lambda: 2, results.append)
        self.assertFalse([one for one in threading.enumerate() if "worker " in one.name])
        await defer.gatherResults([self.turn(), self.turn()])
        self.assertEqual(results, [])

    def turn(self) -> "defer.Deferred[None]":
        done: defer.Deferred[None] = defer.Deferred()
        reactor.callLater(0, done.callback, None)
        return done


class InTests(SynchronousTestCase):
    def test_at_once_without_recursion(self) -> None:
        workers, count = Inline(), 0

        def done(_result: object) -> None:
            nonlocal count
            count += 1
            if count < 5000:
                workers.submit(lambda: None, done)

        workers.submit(lambda: None, done)
        self.assertEqual(count, 5000)

    def test_when_told(self) -> None:
        workers = Inline(at_once=False)
        results: list[object] = []
        for number in range(3):
            workers.submit(lambda number=number: number, results.append)
        self.assertEqual(results, [])
        self.assertEqual(workers.run(2), 2)
        self.assertEqual(results, [0, 1])
