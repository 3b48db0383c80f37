"""`apptuner_relay.support.median`."""

import statistics

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.median import median


class MedianTest(SynchronousTestCase):
    @given(st.lists(st.floats(-1e9, 1e9), min_size=1))
    def test_it_is_that_of_the_standard_library(self, values: list[float]) -> None:
        self.assertEqual(median(iter(values)), statistics.median(values))

    def test_nothing_has_none(self) -> None:
        self.assertRaises(IndexError, median, ())
