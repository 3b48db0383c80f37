"""`ops/bench/cores`: what follows of its runs for more cores."""

from bench_lib.cores_rows import (
    WORKS,
    CoresRun,
    cores_table,
    expected,
    haproxy_config,
    middle,
    run_of,
)
from twisted.trial.unittest import SynchronousTestCase

ALONE = CoresRun(1000, (0.1,))
SHARED = CoresRun(1000, (0.06, 0.06), 0.06, 0.02)


class Runs(SynchronousTestCase):
    def test_shares_of_a_core(self) -> None:
        cpu = {"relay1": 2.0, "relay2": 1.0, "haproxy": 0.5, "redis": 0.1}
        found = run_of(1000, 20.0, cpu, ["relay1", "relay2"])
        self.assertEqual(found, CoresRun(1000, (0.1, 0.05), 0.025, 0.005))
        self.assertAlmostEqual(found.total, 0.18)
        self.assertAlmostEqual(found.uneven, 4 / 3)

    def test_what_there_was_none_of(self) -> None:
        self.assertEqual(run_of(10, 10.0, {"relay1": 1.0}, ["relay1"]), CoresRun(10, (0.1,)))

    def test_the_median_of_each_part(self) -> None:
        runs = [CoresRun(10, (x, 1 - x), x / 2, 0.0) for x in (0.1, 0.9, 0.3)]
        self.assertEqual(middle(runs), CoresRun(10, (0.3, 0.7), 0.15, 0.0))

    def test_more_cores(self) -> None:
        self.assertAlmostEqual(expected(1, ALONE, SHARED), 10_000)
        # Balancer and Redis have their part of the cores.
        self.assertAlmostEqual(expected(8, ALONE, SHARED), 40_000)
        # One relay is full first.
        uneven = CoresRun(1000, (0.08, 0.04), 0.06, 0.02)
        self.assertAlmostEqual(expected(8, ALONE, uneven), 30_000)

    def test_shown(self) -> None:
        self.assertIn("10,000", cores_table({"1 relay": ALONE}))

    def test_the_balancer_hashes_as_the_one_that_operators_get(self) -> None:
        text = haproxy_config(5000, [3001, 3002])
        self.assertIn("balance hash path,field(3,/)", text)
        self.assertIn("server relay2 127.0.0.1:3002", text)
        self.assertEqual(len({work.name for work in WORKS}), len(WORKS))
