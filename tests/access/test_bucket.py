"""`apptuner_relay.access.bucket`, with times given."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.bucket import Allowance, TokenBucket

steps = st.lists(
    st.tuples(st.floats(-5, 50, allow_nan=False), st.integers(1, 20)), min_size=1, max_size=60
)


class Buckets(SynchronousTestCase):
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(steps, st.floats(0.1, 100), st.integers(1, 50))
    def test_never_more_than_burst_and_rate_allow(
        self, steps: list[tuple[float, int]], rate: float, burst: int
    ) -> None:
        now_s = latest_s = 0.0
        bucket = TokenBucket(rate, burst, now_s)
        taken = elapsed_s = 0.0
        for past_s, count in steps:
            # Clocks are put back, too; what was before counts once only where they go on.
            elapsed_s += max(0.0, past_s)
            now_s += past_s
            latest_s = max(latest_s, now_s)
            if bucket.take(now_s, count):
                taken += count
            self.assertLessEqual(taken, burst + elapsed_s * rate + 1e-6)
            self.assertGreaterEqual(bucket.level(now_s), 0)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.floats(0.1, 100), st.integers(1, 50), st.data())
    def test_what_it_says_to_wait_is_enough(
        self, rate: float, burst: int, data: st.DataObject
    ) -> None:
        bucket = TokenBucket(rate, burst, 0)
        bucket.take(0, data.draw(st.integers(0, burst)))
        count = data.draw(st.integers(1, burst))
        wait_s = bucket.wait_s(0, count)
        self.assertTrue(bucket.take(wait_s + 1e-6, count))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(steps, st.integers(1, 100), st.floats(0.5, 10))
    def test_an_allowance_is_a_bucket_that_may_be_overdrawn(
        self, steps: list[tuple[float, int]], rate: int, burst_s: float
    ) -> None:
        now_s = spent = 0.0
        allowance = Allowance(rate, burst_s, 0)
        for past_s, count in steps:
            now_s += abs(past_s)
            allowance.left -= count
            if allowance.left < 0 and not allowance.refill(now_s):
                allowance.left += count
                continue
            spent += count
            self.assertLessEqual(spent, rate * (burst_s + now_s) + 1e-6)

    def test_what_is_granted_comes_once_and_not_without_end(self) -> None:
        allowance = Allowance(10, 5, 0)
        allowance.grant(7)
        allowance.left = -1
        self.assertTrue(allowance.refill(0))
        self.assertEqual(allowance.left, 6)
        for _ in range(100):
            allowance.grant(100)
        allowance.refill(0)
        self.assertEqual(allowance.left, 206)

    def test_no_limit(self) -> None:
        allowance = Allowance(0, 5, 0)
        allowance.grant(7)
        allowance.left -= 10**9
        self.assertGreater(allowance.left, 0)
        self.assertTrue(allowance.refill(0))
