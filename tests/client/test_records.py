"""`apptuner_relay.client.records`: day files and statuses, and what is none."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.records import COUNTS, read_days, read_status

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("days", "today", "date", "sessions", *COUNTS, "2026-11-23")), inner
        )
    ),
    max_leaves=20,
)


class RecordsTest(SynchronousTestCase):
    counts = dict.fromkeys(COUNTS, 1)

    def test_days_come_out_in_order(self) -> None:
        read = read_days({"days": {"2026-11-23": self.counts, "2026-11-22": self.counts}, "x": 1})
        self.assertEqual([one.date for one in read], [date(2026, 11, 22), date(2026, 11, 23)])

    def test_what_is_wrong_is_named(self) -> None:
        for value, words in (
            ([], "the file is no JSON object"),
            ({}, "days is no JSON object"),
            ({"days": {"2026-11-23": 1}}, "days.2026-11-23 is no JSON object"),
            ({"days": {"2026-02-30": self.counts}}, "has no date"),
            ({"days": {"20261123": self.counts}}, "has no date"),
            ({"days": {"2026-11-23": self.counts | {"bundles": -1}}}, "no count 'bundles'"),
            ({"days": {"2026-11-23": self.counts | {"bundles": True}}}, "no count 'bundles'"),
            ({"days": {"2026-11-23": self.counts | {"bundles": 2**63}}}, "no count 'bundles'"),
            ({"days": {"2026-11-23": self.counts | {"bytes_out": 1.5}}}, "no count 'bytes_out'"),
        ):
            wrong = self.assertRaises(ValueError, read_days, value)
            self.assertIn(words, str(wrong))

    @given(JSON)
    def test_anything_is_read_or_refused(self, value: object) -> None:
        for read in (read_days, read_status):
            try:
                read(value)  # type: ignore[operator]
            except ValueError as wrong:
                self.assertTrue(str(wrong))
