"""What is logged now and then only."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.log_throttle import INTERVAL_S, LogQuota, LogThrottle


class Counting(SynchronousTestCase):
    def test_a_line_now_and_then(self) -> None:
        clock = Clock()
        throttle = LogThrottle(clock.seconds)
        self.assertEqual([throttle.count() for _ in range(4)], [1, None, None, None])
        clock.advance(INTERVAL_S - 0.1)
        self.assertIsNone(throttle.count())
        clock.advance(0.1)
        self.assertEqual([throttle.count() for _ in range(2)], [5, None])


class Quota(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.quota = LogQuota(self.clock.seconds, 2, 3)

    def test_each_key_has_its_own(self) -> None:
        self.assertEqual([self.quota.take("a") for _ in range(3)], [True, True, False])
        self.assertTrue(self.quota.take("b"))

    def test_all_together_have_one(self) -> None:
        self.assertEqual([self.quota.take(key) for key in "abcd"], [True, True, True, False])

    def test_it_begins_anew(self) -> None:
        for _ in range(3):
            self.quota.take("a")
        self.clock.advance(INTERVAL_S - 0.1)
        self.assertFalse(self.quota.take("a"))
        self.clock.advance(0.1)
        self.assertTrue(self.quota.take("a"))

    def test_what_did_not_pass_is_told_once(self) -> None:
        for key in "aaaabbb":
            self.quota.take(key)
        self.assertEqual(self.quota.take_skipped(), {"a": 2, "b": 2})
        self.assertEqual(self.quota.take_skipped(), {})
