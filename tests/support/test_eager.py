"""`apptuner_relay.support.eager`: coroutines that wait for nothing, and ones that do."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.eager import run_eagerly


class RunTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[object] = []

    def run_this(self, *awaited: Deferred[Any]) -> None:
        """Run a coroutine that waits for these, one after the other, and returns what they give. It
        goes on where one of them fails with a `KeyError`."""

        async def wait() -> list[object]:
            got: list[object] = []
            for one in awaited:
                try:
                    got.append(await one)
                except KeyError:
                    got.append("caught")
            return got

        run_eagerly(wait(), self.told.append, lambda wrong: self.told.append(type(wrong)))

    def test_one_that_waits_for_nothing_is_done_at_once(self) -> None:
        self.run_this()
        self.assertEqual(self.told, [[]])

    def test_what_is_there_already_is_not_waited_for(self) -> None:
        self.run_this(succeed(1), fail(KeyError()), succeed(2))
        self.assertEqual(self.told, [[1, "caught", 2]])

    def test_it_goes_on_when_what_it_waits_for_is_there(self) -> None:
        first, second, third = (Deferred[Any]() for _ in range(3))
        self.run_this(first, second, third)
        first.callback(1)
        second.errback(KeyError())
        self.assertEqual(self.told, [])
        third.callback(3)
        self.assertEqual(self.told, [[1, "caught", 3]])

    def test_what_it_raises_at_once(self) -> None:
        self.run_this(fail(ValueError()))
        self.assertEqual(self.told, [ValueError])

    def test_what_it_raises_later(self) -> None:
        waiting = Deferred[Any]()
        self.run_this(succeed(1), waiting)
        waiting.errback(ValueError())
        self.assertEqual(self.told, [ValueError])
