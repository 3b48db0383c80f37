"""`ops/bench/soak`: when its memory counts as flat, and what is drawn of it."""

from bench_lib.curves import Curve, line, svg
from bench_lib.relay_metrics import delays_in
from bench_lib.soak_samples import MIB, Reading, RoundEnd, curves_of, growth_of, memory_problem
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

BASE = 80 * MIB


def rounds(count: int, each: int, grows: float = 0.0, at_once: int = 0) -> list[RoundEnd]:
    """Rounds of ``each`` scenarios, of which each lets memory grow by ``grows`` bytes; ``at_once``
    is there from the third round on."""
    return [
        RoundEnd(n * each, BASE + round(n * each * grows) + (at_once if n > 2 else 0), 14)
        for n in range(1, count + 1)
    ]


def problem(ends: list[RoundEnd]) -> str | None:
    return memory_problem(ends[:2], ends[2:])


class Memory(SynchronousTestCase):
    def test_what_is_flat_is_no_problem(self) -> None:
        self.assertIsNone(problem(rounds(5, 300)))
        self.assertIsNone(problem(rounds(60, 2400)))

    def test_pools_that_fill_late_are_no_leak(self) -> None:
        self.assertIsNone(problem(rounds(5, 300, at_once=20 * MIB)))
        self.assertIsNone(problem(rounds(60, 2400, at_once=20 * MIB)))

    def test_a_connection_that_stays_is_found_in_a_short_soak(self) -> None:
        self.assertIn("above 24", str(problem(rounds(5, 500, grows=20_000))))

    def test_a_kilobyte_that_stays_is_found_in_a_long_one(self) -> None:
        self.assertIsNone(problem(rounds(5, 300, grows=1000)))
        self.assertIn("1000 bytes a scenario", str(problem(rounds(10, 2400, grows=1000))))

    def test_a_slope_is_that_of_the_second_half(self) -> None:
        grown = [RoundEnd(n * 2400, BASE + round(min(n, 5) * 4 * MIB), 14) for n in range(1, 12)]
        self.assertIsNone(problem(grown))

    @given(st.floats(-1e4, 1e5), st.integers(3, 40))
    def test_growth_of_a_scenario(self, grows: float, count: int) -> None:
        self.assertLess(abs(growth_of(rounds(count, 1000, grows)) - grows), 0.01)

    def test_too_few_rounds_have_none(self) -> None:
        self.assertEqual(growth_of(rounds(2, 1000, 5000)), 0.0)
        self.assertEqual(growth_of([RoundEnd(5, BASE, 1)] * 4), 0.0)


class Drawn(SynchronousTestCase):
    def test_a_line_begins_at_zero(self) -> None:
        flat = Curve("memory", "MiB", [(x, 80 + x % 2) for x in range(100)])
        self.assertEqual(line(flat, 4).split()[1:], ["████", "80.0", "to", "81.0", "MiB"])
        rising = Curve("memory", "MiB", [(x, float(x)) for x in range(8)])
        self.assertIn("▁▂▃▄▅▆▇█", line(rising))

    def test_nothing_was_read(self) -> None:
        for curve in curves_of([]):
            self.assertIn("0.000 to 0.000", line(curve))
        self.assertIn("not measured", svg("a", "b", "minutes", curves_of([])))

    def test_a_picture_escapes_and_has_every_point(self) -> None:
        readings = [Reading(60.0 * n, BASE, 14, 0.002) for n in range(5)]
        drawn = svg("a < b", "note", "minutes", curves_of(readings))
        self.assertIn("a &lt; b", drawn)
        self.assertEqual(drawn.count("<polyline"), 3)
        self.assertEqual(drawn.partition('points="')[2].partition('"')[0].count(","), 5)

    def test_powers_of_ten_lie_at_equal_distances(self) -> None:
        curve = Curve("CPU", "µs", [(10.0, 1.0), (100.0, 1.0), (1000.0, 1.0)])
        places = svg("a", "", "sessions", [curve], log_x=True).partition('points="')[2]
        first, middle, last = (float(place.split(",")[0]) for place in places.split('"')[0].split())
        self.assertLess(abs(middle - first - (last - middle)), 0.2)


class Metrics(SynchronousTestCase):
    def test_the_histogram_of_the_loop(self) -> None:
        text = (
            b'apptuner_relay_loop_delay_seconds_bucket{le="0.001"} 12.0\n'
            b'apptuner_relay_loop_delay_seconds_bucket{le="+Inf"} 15.0\n'
            b"apptuner_relay_loop_delay_seconds_count 15.0\n"
        )
        self.assertEqual(delays_in(text), {0.001: 12.0, float("inf"): 15.0})
