"""How long checks may take."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.time_limit import OutOfTimeError, TimeLimit


def started(limit: TimeLimit, seconds: float, work: Deferred[str]) -> Deferred[str]:
    return Deferred.fromCoroutine(limit.within(seconds, work))


class TimeLimitTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.limit = TimeLimit(self.clock, 10)

    def test_in_time(self) -> None:
        work: Deferred[str] = Deferred()
        waiting = started(self.limit, 2, work)
        self.clock.advance(1.9)
        work.callback("done")
        self.assertEqual(self.successResultOf(waiting), "done")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        for error in (None, ConnectingCancelledError("there")):
            work: Deferred[str] = Deferred(
                lambda work, error=error: error and work.errback(error)  # type: ignore[misc]
            )
            waiting = started(self.limit, 2, work)
            self.clock.advance(2)
            self.failureResultOf(waiting, TimeoutError)
        self.assertEqual(self.limit.left_s, 6)

    def test_all_time_is_shared(self) -> None:
        self.clock.advance(9)
        waiting = started(self.limit, 2, Deferred())
        self.clock.advance(1)
        self.failureResultOf(waiting, TimeoutError)
        self.assertEqual(self.limit.left_s, 0)
        self.failureResultOf(started(self.limit, 2, Deferred()), OutOfTimeError)
        self.limit.extend(5)
        waiting = started(self.limit, 7, Deferred())
        self.clock.advance(5)
        self.failureResultOf(waiting, TimeoutError)

    def test_cancelled(self) -> None:
        for error in (None, ConnectingCancelledError("there")):
            work: Deferred[str] = Deferred(
                lambda work, error=error: error and work.errback(error)  # type: ignore[misc]
            )
            waiting = started(self.limit, 2, work)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed(self) -> None:
        work: Deferred[str] = Deferred()
        waiting = started(self.limit, 2, work)
        work.errback(KeyError("odd"))
        self.failureResultOf(waiting, KeyError)
