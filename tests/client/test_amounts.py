"""`apptuner_relay.client.amounts`: amounts as users write and read them."""

from __future__ import annotations

import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import amounts


class AmountTest(SynchronousTestCase):
    def test_rounding(self) -> None:
        for value, text in (
            (0, "0 B"),
            (999, "999 B"),
            (9_949_999, "9.9 MB"),
            (9_950_000, "10 MB"),
            (999_499_999, "999 MB"),
            (999_500_000, "1 GB"),
            (22_500_000_000, "22 GB"),
            (23_500_000_000, "24 GB"),
            (2**62, "4.6 EB"),
        ):
            self.assertEqual(amounts.data(value), text)
        self.assertEqual(amounts.memory(2**20 - 1), "1 MiB")
        self.assertEqual(amounts.memory(3 * 2**29), "1.5 GiB")
        self.assertEqual(amounts.rate(100_000_000), "100 Mbit/s")
        self.assertEqual(amounts.count(484_000_000), "484 M")
        self.assertEqual(amounts.count(999), "999")
        self.assertEqual(amounts.number(Fraction(2000)), "2,000")
        self.assertEqual(amounts.number(Fraction(1, 3)), "0.33")

    @given(st.integers(1, 10**18))
    def test_two_digits_are_right(self, value: int) -> None:
        shown = re.fullmatch(r"(\d{1,3}(?:\.\d)?) (B|kB|MB|GB|TB|PB|EB)", amounts.data(value))
        assert shown is not None
        units = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
        read = Fraction(shown[1]) * 1000 ** units.index(shown[2])
        self.assertLessEqual(abs(read - value), value * Fraction(6, 100))
