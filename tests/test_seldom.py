"""What is logged now and then only."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.seldom import INTERVAL_S, Seldom


class Counting(SynchronousTestCase):
    def test_a_line_now_and_then(self) -> None:
        clock = Clock()
        seldom = Seldom(clock.seconds)
        self.assertEqual([seldom.count() for _ in range(4)], [1, None, None, None])
        clock.advance(INTERVAL_S - 0.1)
        self.assertIsNone(seldom.count())
        clock.advance(0.1)
        self.assertEqual([seldom.count() for _ in range(2)], [5, None])
