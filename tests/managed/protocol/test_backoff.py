"""`managed.protocol.backoff`: waits that grow, differ, and are never none."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.backoff import Backoff


class Waits(SynchronousTestCase):
    def test_the_bound_doubles_up_to_the_most(self) -> None:
        backoff = Backoff(0.5, 1.0, 6.0, lambda: 1.0)
        self.assertEqual([backoff.next_s() for _ in range(5)], [1.0, 2.0, 4.0, 6.0, 6.0])
        backoff.reset()
        self.assertEqual(backoff.next_s(), 1.0)

    def test_never_less_than_the_floor(self) -> None:
        backoff = Backoff(0.5, 1.0, 6.0, lambda: 0.0)
        self.assertEqual([backoff.next_s() for _ in range(3)], [0.5] * 3)

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_in_between(self, numbers: list[float]) -> None:
        given_ones = iter(numbers)
        backoff, bound_s = Backoff(0.5, 1.0, 60.0, lambda: next(given_ones)), 1.0
        for _ in numbers:
            self.assertTrue(0.5 <= backoff.next_s() <= bound_s)
            bound_s = min(2 * bound_s, 60.0)

    def test_different_ones_wait_for_different_times(self) -> None:
        self.assertGreater(len({Backoff(1, 60, 60).next_s() for _ in range(20)}), 10)

    def test_bounds_out_of_order(self) -> None:
        for floor_s, first_s, most_s in ((0, 1, 2), (2, 1, 3), (1, 3, 2)):
            with self.assertRaises(ValueError):
                Backoff(floor_s, first_s, most_s)
