"""`apptuner_relay.operator.loop_lag`."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.loop_lag import INTERVAL_S, LoopLag


class LagTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lag = LoopLag(self.clock, self.clock.seconds)
        self.lag.start()

    def test_on_time_is_no_lag(self) -> None:
        self.clock.pump([INTERVAL_S] * 20)
        self.assertEqual(self.lag.take(), 0)

    def test_the_worst_counts_until_it_is_taken(self) -> None:
        self.clock.advance(INTERVAL_S + 0.5)
        self.clock.advance(INTERVAL_S + 0.1)
        self.clock.advance(INTERVAL_S)
        self.assertAlmostEqual(self.lag.worst_s, 0.5)
        self.assertAlmostEqual(self.lag.take(), 0.5)
        self.clock.advance(INTERVAL_S)
        self.assertEqual(self.lag.worst_s, 0)

    def test_a_loop_that_is_stuck_now(self) -> None:
        self.clock.rightNow += INTERVAL_S + 3
        self.assertAlmostEqual(self.lag.worst_s, 3)

    def test_constant_lateness_is_seen(self) -> None:
        for _ in range(10):
            self.clock.advance(INTERVAL_S + 0.2)
            self.assertAlmostEqual(self.lag.take(), 0.2)

    def test_each_is_counted(self) -> None:
        for late_s in (0.0, 0.002, 0.3, 0.0):
            self.clock.advance(INTERVAL_S + late_s)
        delays = self.lag.delays
        self.assertEqual(delays.count, 4)
        counts = dict(zip(delays.bounds, delays.cumulative(), strict=False))
        self.assertEqual((counts[0.001], counts[0.0025], counts[0.25], counts[0.5]), (2, 3, 3, 4))

    def test_a_wall_clock_that_is_set_is_no_lag(self) -> None:
        clock = Clock()
        lag = LoopLag(clock, lambda: 0.0)
        lag.start()
        clock.advance(3600)
        self.assertEqual(lag.worst_s, 0)
        lag.stop()

    def test_stop(self) -> None:
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.lag.stop()
        self.assertEqual(self.lag.worst_s, 0)
