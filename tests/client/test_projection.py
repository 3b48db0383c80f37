"""What users come to: the plan's own table, and what must hold of any other."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import amounts
from apptuner_relay.client.measured import LEAST_SESSIONS, measure
from apptuner_relay.client.projection import MEMORY_MARGIN, Figures, Stage, project
from apptuner_relay.client.records import COUNTS, Day, Status, read_days, read_status

USERS = st.integers(1, 10**7)
POSITIVE = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)
SHARES = st.fractions(Fraction(1, 100), 1, max_denominator=100)


@st.composite
def figures(draw: Any) -> Figures:
    notice = draw(st.integers(1, 10_000))
    return Figures(
        bundle_bytes=Fraction(draw(st.integers(1, 50_000_000))),
        bundles_per_day=draw(POSITIVE),
        copies=draw(POSITIVE),
        sessions_per_user=draw(POSITIVE),
        peak_share=draw(SHARES),
        busy_hour_share=draw(SHARES),
        notice_sessions=Fraction(notice),
        warning_sessions=Fraction(notice + draw(st.integers(0, 10_000))),
    )


class PlansTableTest(SynchronousTestCase):
    def test_one_bundle_of_15_mb_for_each_user_and_day(self) -> None:
        for users, day, month in (
            (50, "750 MB", "22 GB"),
            (500, "7.5 GB", "225 GB"),
            (2000, "30 GB", "900 GB"),
            (10_000, "150 GB", "4.5 TB"),
        ):
            projection = project(users, Figures())
            self.assertEqual(amounts.data(projection.day_bytes), day)
            self.assertEqual(amounts.data(projection.month_bytes), month)


class ProjectionTest(SynchronousTestCase):
    @given(USERS, USERS, figures())
    def test_more_users_never_need_less(self, one: int, other: int, put_in: Figures) -> None:
        few, many = (project(users, put_in) for users in sorted((one, other)))
        for name in ("day_bytes", "month_bytes", "peak_sessions", "peak_connections",
                     "memory_bytes", "cores_busy", "stage"):  # fmt: skip
            self.assertLessEqual(getattr(few, name), getattr(many, name), name)
        for name in ("cores", "memory_bytes", "line_bit_per_s", "descriptors"):
            self.assertLessEqual(getattr(few.machine, name), getattr(many.machine, name), name)

    @given(USERS, figures(), st.sampled_from(("bundle_bytes", "bundles_per_day", "copies")))
    def test_data_grows_with_each_of_its_figures(
        self, users: int, put_in: Figures, name: str
    ) -> None:
        twice = replace(put_in, **{name: 2 * getattr(put_in, name)})
        once, double = project(users, put_in), project(users, twice)
        self.assertLessEqual(abs(double.day_bytes - 2 * once.day_bytes), 1)
        self.assertEqual(double.peak_sessions, once.peak_sessions)

    @given(USERS, figures())
    def test_a_month_is_30_days(self, users: int, put_in: Figures) -> None:
        projection = project(users, put_in)
        self.assertLessEqual(abs(projection.month_bytes - 30 * projection.day_bytes), 15)

    @given(USERS, figures())
    def test_the_machine_is_enough(self, users: int, put_in: Figures) -> None:
        projection = project(users, put_in)
        machine = projection.machine
        self.assertGreaterEqual(machine.memory_bytes, MEMORY_MARGIN * projection.memory_bytes)
        self.assertGreaterEqual(machine.cores, 2 * projection.cores_busy)
        self.assertGreater(machine.descriptors, projection.peak_connections)
        self.assertGreaterEqual(machine.line_bit_per_s, projection.day_bytes // 86_400 * 8)

    @given(USERS, figures())
    def test_the_next_stage_begins_where_it_says(self, users: int, put_in: Figures) -> None:
        projection = project(users, put_in)
        begins = projection.next_stage_users
        if projection.stage is Stage.SCALE_OUT:
            self.assertIsNone(begins)
            return
        assert begins is not None
        self.assertGreater(begins, users)
        self.assertGreater(project(begins, put_in).stage, projection.stage)
        self.assertEqual(project(begins - 1, put_in).stage, projection.stage)

    def test_the_stages_are_the_relays_thresholds(self) -> None:
        stages = [project(users, Figures()).stage for users in (1, 100, 101, 300, 301)]
        self.assertEqual(stages, [1, 1, 2, 2, 3])
        self.assertEqual(project(50, Figures()).next_stage_users, 101)
        self.assertEqual(project(101, Figures()).next_stage_users, 301)
        fifth = Figures(peak_share=Fraction(1, 5))
        self.assertEqual(project(50, fifth).next_stage_users, 501)


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
        self.assertEqual(amounts.number(Fraction(2000)), "2,000")
        self.assertEqual(amounts.number(Fraction(1, 3)), "0.33")

    @given(st.integers(1, 10**18))
    def test_two_digits_are_right(self, value: int) -> None:
        shown = re.fullmatch(r"(\d{1,3}(?:\.\d)?) (B|kB|MB|GB|TB|PB|EB)", amounts.data(value))
        assert shown is not None
        units = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
        read = Fraction(shown[1]) * 1000 ** units.index(shown[2])
        self.assertLessEqual(abs(read - value), value * Fraction(6, 100))


def day(text: str, **counts: int) -> Day:
    return Day(date.fromisoformat(text), **{name: counts.get(name, 0) for name in COUNTS})


BUSY = day("2026-11-21", peak_sessions=10, bundles=100, bundle_bytes=10**9, bytes_out=3 * 10**9)
QUIET = day("2026-11-22")
TODAY = day("2026-11-23", peak_sessions=4, bundles=20, bundle_bytes=2 * 10**8, bytes_out=6 * 10**8)


class MeasuredTest(SynchronousTestCase):
    def measured(self, status: Status, users_now: int | None = None) -> dict[str, Fraction]:
        found = measure(status, Figures(), users_now)
        return {name: one.value for name, one in found.items()}

    def test_a_relay_that_has_seen_nothing_measures_nothing(self) -> None:
        empty = Status((), day("2026-11-23"), 0, 60_000_000)
        self.assertEqual(self.measured(empty), {})
        self.assertEqual(self.measured(empty, users_now=10), {})

    def test_bundles_of_all_days_and_rates_of_whole_ones(self) -> None:
        found = self.measured(Status((BUSY, QUIET), TODAY, 3, 60_000_000))
        self.assertEqual(found, {"bundle_bytes": 10**7, "copies": 3, "bundles_per_day": 10})

    def test_with_a_number_of_users(self) -> None:
        found = self.measured(Status((BUSY, QUIET), TODAY, 3, 60_000_000), users_now=40)
        self.assertEqual(found["peak_share"], Fraction(1, 4))
        self.assertEqual(found["bundles_per_day"], Fraction(100, 2 * 40))

    def test_the_same_users_come_to_what_was_measured(self) -> None:
        found = self.measured(Status((BUSY,), QUIET, 3, 60_000_000), users_now=40)
        projection = project(40, replace(Figures(), **found))
        self.assertEqual(projection.day_bytes, BUSY.bytes_out)
        self.assertEqual(projection.peak_sessions, BUSY.peak_sessions)

    def test_memory_takes_enough_sessions(self) -> None:
        base_bytes = int(Figures().base_memory_bytes)
        for sessions, memory_bytes, expected in (
            (LEAST_SESSIONS, base_bytes + 20_000, 1000),
            (LEAST_SESSIONS - 1, base_bytes + 20_000, None),
            (LEAST_SESSIONS, base_bytes, None),
        ):
            found = self.measured(Status((), QUIET, sessions, memory_bytes))
            self.assertEqual(found.get("session_memory_bytes"), expected)


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
