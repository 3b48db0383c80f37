"""`apptuner_relay.client.projection`: the plan's own table, and what must hold of any other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import amounts
from apptuner_relay.client.projection import MEMORY_MARGIN, Figures, ProjectionStage, project
from apptuner_relay.client.records import COUNTS, DayRecord

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
        cpu_per_1000_sessions=draw(st.fractions(0, 1, max_denominator=1000)),
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

    @given(USERS, figures(), SHARES, SHARES)
    def test_patches_never_add_to_it(
        self, users: int, put_in: Figures, one: Fraction, other: Fraction
    ) -> None:
        small = replace(put_in, patch_bytes=put_in.bundle_bytes / 2)
        few, many = (project(users, replace(small, patched_share=s)) for s in sorted((one, other)))
        self.assertLessEqual(many.month_bytes, few.month_bytes)
        whole = project(users, small)
        self.assertEqual(whole.month_bytes, whole.whole_month_bytes)
        self.assertEqual(few.whole_month_bytes, whole.whole_month_bytes)
        self.assertLessEqual(few.machine.cores, whole.machine.cores)

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
        if projection.stage is ProjectionStage.MANAGED:
            self.assertIsNone(begins)
            return
        assert begins is not None
        self.assertGreater(begins, users)
        self.assertGreater(project(begins, put_in).stage, projection.stage)
        self.assertEqual(project(begins - 1, put_in).stage, projection.stage)

    def test_the_stages_by_sessions(self) -> None:
        edges = (1, 301, 5000, 5001, 10_000, 10_001, 50_000, 50_001)
        none = Figures(bundles_per_day=Fraction(0), cpu_per_1000_sessions=Fraction(0))
        stages = [project(users, none).stage for users in edges]
        self.assertEqual(stages, [1, 1, 1, 2, 2, 3, 3, 4])
        self.assertEqual(project(50, none).next_stage_users, 5001)
        self.assertEqual(project(5001, none).next_stage_users, 10_001)
        self.assertEqual(project(10_001, none).next_stage_users, 50_001)
        fifth = replace(none, peak_share=Fraction(1, 5))
        self.assertEqual(project(50, fifth).next_stage_users, 25_001)

    def test_the_stages_by_cpu(self) -> None:
        """A core is half busy long before there are many sessions."""
        busy = Figures(
            bundles_per_day=Fraction(480),
            cpu_per_1000_sessions=Fraction(0),
            cpu_s_per_gb=Fraction(1),
        )
        # 480 bundles of 15 MB a day are 0.4 MB/s in the busiest hour: 0.4 ms of a core's second.
        stages = [project(users, busy).stage for users in (625, 626, 1250, 1251, 50_001)]
        self.assertEqual(stages, [1, 2, 2, 3, 4])
        self.assertEqual(project(1, busy).next_stage_users, 626)
        self.assertEqual(project(626, busy).next_stage_users, 1251)
        self.assertEqual([project(users, busy).machine.cores for users in (1250, 1251)], [1, 2])

    def test_sessions_take_cpu_without_a_bundle(self) -> None:
        idle = Figures(bundles_per_day=Fraction(0), cpu_per_1000_sessions=Fraction(3, 100))
        self.assertEqual(project(10_000, idle).cores_busy, Fraction(3, 10))

    def test_several_relays_where_one_does_not_carry_the_sessions(self) -> None:
        self.assertEqual(project(30_001, Figures()).machine.cores, 4)

    def test_a_managed_service_is_no_stage_before_scaling_out(self) -> None:
        large = Figures(warning_sessions=Fraction(80_000), cpu_per_1000_sessions=Fraction(0))
        stages = [project(users, large).stage for users in (50_001, 80_000, 80_001)]
        self.assertEqual(stages, [2, 2, 4])


def day(text: str, **counts: int) -> DayRecord:
    return DayRecord(date.fromisoformat(text), **{name: counts.get(name, 0) for name in COUNTS})
