"""`managed.service.subscription`: the table of its states."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.service.subscription import (
    ANSWER_S,
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    SLOW_RETRY_S,
    Subscription,
)
from apptuner_relay.managed.service.subscription_states import (
    TRANSITIONS,
    SubscriptionEvent,
    SubscriptionState,
)
from tests.managed.service.fake_listener import FakeListener
from tests.tables import check_every_pair


class SubscriptionTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.listener = Clock(), FakeListener()
        self.asked: list[Subscription] = []
        self.subscription = Subscription("presence-x", self.listener, self.clock, self.asked.append)

    def test_every_pair(self) -> None:
        check_every_pair(
            self,
            TRANSITIONS,
            SubscriptionState,
            SubscriptionEvent,
            lambda: Subscription("presence-x", self.listener, self.clock, self.asked.append),
        )

    def test_nothing_is_told_between_the_end_and_the_next_beginning(self) -> None:
        one = self.subscription
        for act in (
            lambda: one.event("client-x", "{}", None),
            lambda: one.added("a", {}),
            lambda: one.removed("a"),
            lambda: one.lost("cut"),
        ):
            act()
            one.asked()
            act()
        self.assertEqual(self.listener.take(), [])

    def test_refusals_are_tried_again_more_and_more_rarely(self) -> None:
        waits = []
        for _ in range(6):
            self.subscription.asked()
            self.subscription.failed("full", is_permanent=False)
            (timer,) = self.clock.getDelayedCalls()
            waits.append(timer.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
        self.assertEqual(waits[0], FIRST_RETRY_S)
        self.assertEqual(waits[-1], LONGEST_RETRY_S)
        self.assertEqual(len(self.asked), 6)

    def test_a_refusal_that_lasts_is_tried_again_slowly(self) -> None:
        self.subscription.asked()
        self.subscription.failed("401", is_permanent=True)
        self.clock.advance(SLOW_RETRY_S - 1)
        self.assertEqual(self.asked, [])
        self.clock.advance(1)
        self.assertEqual(self.asked, [self.subscription])

    def test_an_answer_that_is_late_counts(self) -> None:
        self.subscription.asked()
        self.clock.advance(ANSWER_S)
        self.subscription.succeeded({"a": {}})
        self.assertEqual(
            [what for what, *_ in self.listener.take()], ["unsubscribed", "subscribed"]
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_service_is_told_of_the_end_where_it_was_asked(self) -> None:
        self.assertFalse(self.subscription.end())
        other = Subscription("presence-x", self.listener, self.clock, self.asked.append)
        other.asked()
        self.assertTrue(other.end())
        self.assertEqual(self.clock.getDelayedCalls(), [])
