"""`ops/bench/capacity`: its rows, the quantile of a histogram, the table, and a run of it."""

import json
import shutil
import sys
from pathlib import Path

from bench_lib.capacity_rows import (
    CASES,
    CapacityCase,
    quantile,
    read_row,
    render,
    replace_between,
    sessions_that_fit,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.live.processes import REPOSITORY, run

INFINITY = float("inf")
BOUNDS = (0.001, 0.01, 0.1, 1.0, INFINITY)
RAW = {
    "cpu_s": 3.0,
    "wall_s": 20.0,
    "rss_kib": 300 * 1024,
    "rss_before_kib": 60 * 1024,
    "bytes": 4e8,
    "arrived": 20,
    "mean_s": 0.123,
}


def counted(values: list[float]) -> dict[float, float]:
    """The buckets of a histogram."""
    return {bound: float(sum(value <= bound for value in values)) for bound in BOUNDS}


class Rows(SynchronousTestCase):
    def test_names_tell_them_apart(self) -> None:
        whats = {(case.what, case.sessions) for case in CASES}
        self.assertEqual(len(whats), len(CASES))
        self.assertEqual(CASES[0].name, "idle-100")

    def test_no_more_than_files_allow(self) -> None:
        self.assertEqual(sessions_that_fit(10_000, 1 << 20), 10_000)
        self.assertEqual(sessions_that_fit(10_000, 20_000), 9400)
        self.assertEqual(sessions_that_fit(100, 20_000), 100)

    def test_the_table(self) -> None:
        case = CapacityCase(2000, 5, bundle_every_s=240)
        row = read_row(case, 2000, RAW, 0.0123)
        *_, line = render([row]).splitlines()
        self.assertEqual(
            line,
            "| 15 MB every 4 min | 2,000 | 20.0 MB/s | 15.0% | 7.5% | 12 ms | 300 MiB | 123 KiB | "
            "0.12 s |",
        )
        few = read_row(CapacityCase(100), 100, RAW | {"arrived": 0, "bytes": 0}, 0.0)
        *_, line = render([few]).splitlines()
        self.assertEqual(line, "| idle | 100 |  | 15.0% |  | 0 ms | 300 MiB | 2458 KiB |  |")

    def test_it_goes_into_a_page(self) -> None:
        page = "a\n<!-- x -->\nold\n<!-- y -->\nb\n"
        new = replace_between(page, "<!-- x -->", "<!-- y -->", "new\n")
        self.assertEqual(new, "a\n<!-- x -->\nnew\n<!-- y -->\nb\n")
        self.assertRaises(ValueError, replace_between, "a\n", "<!-- x -->", "<!-- y -->", "")


class Quantiles(SynchronousTestCase):
    def test_between_two_scrapes(self) -> None:
        before = counted([0.05] * 50)
        after = counted([0.05] * 50 + [0.0005] * 98 + [0.5] * 2)
        self.assertAlmostEqual(quantile(0.5, before, after), 0.001 * 50 / 98)
        self.assertAlmostEqual(quantile(0.99, before, after), 0.1 + 0.9 * 0.5)

    def test_beyond_the_last_bound(self) -> None:
        self.assertEqual(quantile(0.99, counted([]), counted([5.0])), 1.0)

    def test_nothing_was_counted(self) -> None:
        self.assertEqual(quantile(0.99, counted([1.0]), counted([1.0])), 0.0)
        self.assertEqual(quantile(0.99, {}, {}), 0.0)

    @given(st.lists(st.floats(0.0002, 0.9), min_size=1), st.floats(0.01, 1))
    def test_it_lies_in_the_bucket_of_the_value(self, values: list[float], share: float) -> None:
        found = quantile(share, counted([]), counted(values))
        value = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
        self.assertLessEqual(found, min(b for b in BOUNDS if b >= value) + 1e-9)
        self.assertGreaterEqual(found, max((b for b in BOUNDS if b < value), default=0.0) - 1e-9)


class RunTest(TestCase):
    timeout = 180
    skip = None if shutil.which("gcc") else "needs gcc, as the load generator is in C"

    async def test_it_works(self) -> None:
        output = Path(self.mktemp()).absolute()
        program = str(REPOSITORY / "ops/bench/capacity")
        arguments = ["--quick", "--only", "bundles", "--output", str(output)]
        child = await run([sys.executable, program, *arguments, "--python", sys.executable])
        self.assertEqual(child.exit_code, 0, repr(child))
        [row] = json.loads((output / "capacity.json").read_text())["rows"]
        self.assertEqual(row["sessions"], 100)
        self.assertGreater(row["cpu_share"], 0)
        self.assertGreater(row["memory_bytes"], row["base_memory_bytes"])
        self.assertGreater(row["bundle_mean_s"], 0)
        self.assertGreater(row["mb_per_s"], 1)
