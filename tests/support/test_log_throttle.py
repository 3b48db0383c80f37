"""What is logged now and then only."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.log_throttle import INTERVAL_S, LogThrottle


class Counting(SynchronousTestCase):
    def test_a_line_now_and_then(self) -> None:
        clock = Clock()
        throttle = LogThrottle(clock.seconds)
        self.assertEqual([throttle.count() for _ in range(4)], [1, None, None, None])
        clock.advance(INTERVAL_S - 0.1)
        self.assertIsNone(throttle.count())
        clock.advance(0.1)
        self.assertEqual([throttle.count() for _ in range(2)], [5, None])
