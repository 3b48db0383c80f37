"""`ops/bench/growth`: its rows, and what counts as flat."""

import json
import shutil
import sys
from pathlib import Path

from bench_lib.growth_rows import (
    RESIDENT,
    GrowthRow,
    growth_curves,
    growth_table,
    medians,
    read_growth,
    spread,
    verdict,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.live.processes import REPOSITORY, run

RAW = {
    "cpu_s": 1.2,
    "wall_s": 10.0,
    "messages": 20_000,
    "low_cpu_s": 0.2,
    "low_wall_s": 5.0,
    "low_messages": 2000,
    "idle_cpu_s": 0.1,
    "idle_wall_s": 5.0,
    "rss_settled_kib": 80_000,
    "rss_before_kib": 60_000,
}


def row(sessions: int, message_us: float) -> GrowthRow:
    return GrowthRow(sessions, message_us, 30.0, 5.0)


class Rows(SynchronousTestCase):
    def test_a_message_costs_what_one_more_costs(self) -> None:
        found = read_growth(980, RAW)
        self.assertAlmostEqual(found.message_us, (0.12 - 0.04) / (2000 - 400) * 1e6)
        self.assertAlmostEqual(found.session_kib, 20_000 / 980)
        self.assertAlmostEqual(found.upkeep_us_per_s, 0.02 / (980 + RESIDENT) * 1e6)

    def test_the_median_of_each_size(self) -> None:
        rows = [row(100, 3), row(10, 9), row(100, 5), row(100, 4)]
        self.assertEqual(medians(rows), [row(10, 9), row(100, 4)])

    def test_flat_and_not(self) -> None:
        def said(*values: float) -> str:
            rows = [row(10**n, value) for n, value in enumerate(values, 1)]
            return verdict("CPU", rows, lambda one: one.message_us)

        self.assertIn("met", said(40, 43, 41))
        self.assertIn("1,000 sessions against 10: +2%", said(40, 43, 41))
        self.assertIn("MISSED by 15%", said(40, 45, 50))
        self.assertIn("MISSED by 15%", said(50, 45, 40))

    @given(st.lists(st.floats(1, 1e6), min_size=1))
    def test_the_spread_is_no_less_than_zero(self, values: list[float]) -> None:
        self.assertGreaterEqual(spread(values), 0)
        self.assertEqual(spread(values[:1]), 0)

    def test_nothing_is_not_flat(self) -> None:
        self.assertEqual(spread([0.0, 1.0]), float("inf"))

    def test_shown(self) -> None:
        rows = [row(10, 40), row(5000, 41)]
        self.assertIn("   5,000           41.0 µs    30.0 KiB      5.0 µs/s", growth_table(rows))
        self.assertEqual([curve.points[-1][0] for curve in growth_curves(rows)], [5000] * 3)


class RunTest(TestCase):
    timeout = 180
    skip = None if shutil.which("gcc") else "needs gcc, as the load generator is in C"

    async def test_it_works(self) -> None:
        output = Path(self.mktemp()).absolute()
        program = str(REPOSITORY / "ops/bench/growth")
        arguments = ["--quick", "--output", str(output), "--python", sys.executable]
        child = await run([sys.executable, program, *arguments])
        self.assertEqual(child.exit_code, 0, repr(child))
        rows = json.loads((output / "growth.json").read_text())["rows"]
        self.assertEqual([one["sessions"] for one in rows], [10, 100])
        self.assertGreater(min(one["message_us"] for one in rows), 0)
        self.assertIn("<polyline", (output / "growth.svg").read_text())
