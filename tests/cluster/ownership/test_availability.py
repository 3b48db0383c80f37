"""Whether the directory's server is there: every state, and everything that may happen in it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable
from tests.cluster.ownership.cases import Heard

PATIENCE_S = 2.0


class AvailabilityCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.events = Heard()
        self.availability = Availability(self.clock, self.events, PATIENCE_S, "the server")

    def wait_for(self, seconds: float = 10) -> Deferred[Any]:
        """Somebody needs the server, and waits so long."""
        return Deferred.fromCoroutine(self.availability.wait(self.clock.seconds() + seconds))


class Telling(AvailabilityCase):
    """Who is told, and how often."""

    def test_a_start_is_no_news(self) -> None:
        self.availability.start()
        self.availability.reached()
        self.assertEqual(self.events.seen, [])
        self.assertFalse(self.availability.is_unreachable)

    def test_once_when_it_is_lost_and_once_when_it_is_back(self) -> None:
        self.availability.start()
        self.availability.reached()
        for _ in range(3):
            self.availability.lost("no answer")
        self.assertEqual(self.events.take(), [("unreachable",)])
        for _ in range(2):
            self.availability.reached()
        self.assertEqual(self.events.take(), [("reachable",)])

    def test_a_first_attempt_that_fails_is_told(self) -> None:
        self.availability.start()
        self.assertNoResult(self.availability.first_attempt)
        self.availability.lost("refused")
        self.successResultOf(self.availability.first_attempt)
        self.assertEqual(self.events.take(), [("unreachable",)])

    def test_it_is_unreachable_since_it_was_lost_first(self) -> None:
        self.availability.reached()
        self.availability.lost("no answer")
        since_s = self.clock.seconds()
        self.clock.advance(5)
        self.availability.lost("refused")
        self.assertEqual(self.availability.unreachable_since_s, since_s)

    def test_nobody_is_told_after_a_stop(self) -> None:
        self.availability.start()
        self.availability.stop()
        self.successResultOf(self.availability.first_attempt)
        self.availability.lost("stopped")
        self.assertEqual(self.events.seen, [])


class Waiting(AvailabilityCase):
    """Those who need it."""

    def test_not_at_all_while_it_is_there(self) -> None:
        self.availability.reached()
        self.successResultOf(self.wait_for())

    def test_until_it_is_there(self) -> None:
        self.availability.start()
        waiting = [self.wait_for() for _ in range(3)]
        self.clock.advance(1)
        self.availability.reached()
        for one in waiting:
            self.successResultOf(one)

    def test_no_longer_than_they_said(self) -> None:
        self.availability.start()
        waiting = self.wait_for(0.5)
        self.clock.advance(0.4)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.failureResultOf(waiting, DirectoryUnreachable)

    def test_not_for_one_that_has_been_gone_for_long(self) -> None:
        self.availability.start()
        self.clock.advance(PATIENCE_S)
        self.failureResultOf(self.wait_for(), DirectoryUnreachable)

    def test_not_after_a_stop(self) -> None:
        self.availability.reached()
        waiting_before = self.wait_for()
        self.successResultOf(waiting_before)
        self.availability.stop()
        self.failureResultOf(self.wait_for(), DirectoryUnreachable)

    def test_a_stop_ends_it(self) -> None:
        self.availability.start()
        waiting = self.wait_for()
        self.availability.stop()
        self.failureResultOf(waiting, DirectoryUnreachable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_is_there_and_gone_again_before_they_look(self) -> None:
        """Those who are woken may lose it for the next."""
        self.availability.start()
        woken: list[None] = []

        def lose(_: None) -> None:
            woken.append(None)
            self.availability.lost("no answer")

        for _ in range(2):
            self.wait_for().addCallback(lose)
        self.availability.reached()
        self.assertEqual(len(woken), 1)
        self.clock.advance(1)
        self.availability.reached()
        self.assertEqual(len(woken), 2)


class Anything(SynchronousTestCase):
    @given(st.lists(st.sampled_from(("reached", "lost", "subscription_lost", "wait", "time"))))
    def test_events_alternate_and_nobody_waits_for_ever(self, steps: list[str]) -> None:
        clock, events = Clock(), Heard()
        availability = Availability(clock, events, PATIENCE_S, "the server")
        availability.start()
        waiting: list[Deferred[Any]] = []
        for step in steps:
            if step == "wait":
                coroutine = availability.wait(clock.seconds() + 1)
                waiting.append(Deferred.fromCoroutine(coroutine).addErrback(lambda _: None))
            elif step == "time":
                clock.advance(0.3)
            elif step == "reached":
                availability.reached()
            else:
                getattr(availability, step)("why")
        told = [event[0] for event in events.seen]
        self.assertEqual(told, (["unreachable", "reachable"] * len(told))[: len(told)])
        if availability.is_unreachable is (told[-1:] == ["reachable"]):
            self.assertEqual(told, [])
        clock.advance(1)
        self.assertTrue(all(one.called for one in waiting))
        self.assertEqual(clock.getDelayedCalls(), [])
