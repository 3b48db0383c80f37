"""`apptuner_relay.operator.history`: the hour, the day, and clocks that are set back."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.history import (
    COLUMNS,
    DAY_STEPS,
    HOUR_SAMPLES,
    STEP_MS,
    History,
    Sample,
)


def sample(at_ms: int, n: int = 0, bundles: int = 0, failed: int = 0) -> Sample:
    return Sample(at_ms, n, 2 * n, 1000.0 * n, n / 10, n / 100, bundles, None, failed)


class Histories(SynchronousTestCase):
    def test_steps_of_five_minutes(self) -> None:
        history = History()
        for n in range(1, 46):
            history.add(sample(10_000 * n, n % 30, 1, 1), [n / 10] if n in (1, 2, 5) else [])
        first, going_on = history.day()
        row = dict(zip(COLUMNS, first, strict=True))
        self.assertEqual((row["at_ms"], going_on[0]), (290_000, 450_000))
        self.assertEqual((row["sessions"], row["connections"], row["loop_lag_ms"]), (29, 58, 2.9))
        self.assertEqual((row["bytes_per_s"], row["busy_share"]), (15_000, 0.15))
        self.assertEqual((row["bundles"], row["failed"], row["reload_s"]), (29, 29, 0.2))
        self.assertEqual(len(history.hour()), 45)
        self.assertEqual(history.bytes_per_s, 15_000)

    def test_they_are_bounded(self) -> None:
        history = History()
        for n in range(2 * DAY_STEPS * 30):
            history.add(sample(10_000 * n), [])
        self.assertEqual((len(history.hour()), len(history.day())), (HOUR_SAMPLES, DAY_STEPS))
        (first, *_), last = history.day(), history.day()[-1]
        self.assertLessEqual(last[0] - first[0], DAY_STEPS * STEP_MS)

    @given(st.lists(st.integers(0, 10**7), max_size=60))
    def test_times_grow_whatever_the_clock_does(self, times: list[int]) -> None:
        history = History()
        for at_ms in times:
            history.add(sample(at_ms), [1.0])
            for rows in (history.hour(), history.day()):
                shown = [row[0] for row in rows]
                self.assertEqual(shown, sorted(set(shown)))
                self.assertEqual(shown[-1], at_ms)
