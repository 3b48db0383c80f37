"""`apptuner_relay.operator.reload_times`: quantiles that are nearly right, and text for a file."""

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.reload_times import ReloadTimes

seconds = st.lists(st.floats(0.001, 80_000), max_size=200)


def times_of(those: list[float]) -> ReloadTimes:
    times = ReloadTimes()
    for one in those:
        times.add(one)
    return times


class Times(SynchronousTestCase):
    @given(seconds, st.floats(0, 1))
    def test_a_quantile(self, those: list[float], share: float) -> None:
        found = times_of(those).quantile_s(share)
        if not those:
            self.assertIsNone(found)
            return
        true_s = sorted(those)[max(1, math.ceil(share * len(those))) - 1]
        assert found is not None
        self.assertLessEqual(abs(found / true_s - 1), 0.021)

    @given(seconds, seconds)
    def test_a_restart_changes_nothing(self, before: list[float], after: list[float]) -> None:
        kept = ReloadTimes.read(times_of(before).text())
        assert kept is not None
        kept.merge(times_of(after))
        self.assertEqual(kept.text(), times_of(before + after).text())
        self.assertEqual(kept.count, len(before + after))

    @given(st.text(alphabet="0123456789: -x", max_size=20) | st.none() | st.integers())
    def test_whatever_a_file_has(self, text: object) -> None:
        times = ReloadTimes.read(text)
        if times is not None:
            self.assertEqual(ReloadTimes.read(times.text()).text(), times.text())  # type: ignore[union-attr]

    def test_what_can_not_be(self) -> None:
        times = times_of([0.0, -1.0, 1e9])
        self.assertEqual(times.quantile_s(0.5), 0.001)
        for text in ("900:1", "1", "1:1:1", "1:1  2:1", 7):
            self.assertIsNone(ReloadTimes.read(text), text)
