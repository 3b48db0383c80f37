"""`apptuner_relay.operator.cpu_use`: shares on a clock, and the real times of this process."""

import subprocess
import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.cpu_use import CpuTimes, read_cpu_times, usable_cores
from tests.operator.made_times import MadeTimes

STEPS = st.lists(
    st.tuples(st.floats(0.1, 30), st.floats(0, 1), st.floats(0, 3), st.floats(0, 2)), max_size=30
)
"""Times that pass, and what the loop, the other threads and the workers take of them."""


class ShareTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.made = MadeTimes()
        self.use = self.made.use

    def test_nothing_was_measured_yet(self) -> None:
        self.assertEqual(self.use.shares, (0, 0, 0))
        self.assertEqual((self.use.busy, self.use.has_a_minute), (0, False))

    def test_what_was_before_the_start_is_not_counted(self) -> None:
        self.made.passes(10, 0.5, threads=0.25)
        self.assertEqual(self.use.shares, (0.75, 0.5, 0))
        self.assertFalse(self.use.has_a_minute)

    def test_the_last_minute_alone(self) -> None:
        for _ in range(6):
            self.made.passes(10, 1.0)
        self.assertTrue(self.use.has_a_minute)
        for _ in range(3):
            self.made.passes(10, 0.0)
        self.assertAlmostEqual(self.use.shares.loop, 0.5)
        for _ in range(3):
            self.made.passes(10, 0.0)
        self.assertEqual(self.use.shares.loop, 0)

    def test_the_loop_has_one_core(self) -> None:
        self.made.passes(60, 0.9)
        self.assertAlmostEqual(self.use.busy, 0.9)

    def test_all_of_it_has_the_cores_of_the_machine(self) -> None:
        self.made.passes(60, 0.5, threads=0.8, workers=0.6)
        self.assertAlmostEqual(self.use.busy, 0.95)

    def test_another_process_begins_anew(self) -> None:
        self.made.passes(10, 0.9)
        self.made.now = CpuTimes(0.5, 0.5, 0.0)
        self.use.measure()
        self.assertEqual(self.use.shares, (0, 0, 0))
        self.made.passes(10, 0.5)
        self.assertEqual(self.use.shares.loop, 0.5)

    @given(STEPS)
    def test_shares_are_those_of_some_of_the_time(
        self, steps: list[tuple[float, float, float, float]]
    ) -> None:
        made = MadeTimes()
        for seconds, loop, threads, workers in steps:
            made.passes(seconds, loop, threads, workers)
        # No share is beyond those that it is the mean of.
        for share, taken in zip(
            made.use.shares,
            [[loop + threads for _, loop, threads, _ in steps],
             [loop for _, loop, _, _ in steps],
             [workers for _, _, _, workers in steps]],
            strict=True,
        ):  # fmt: skip
            self.assertGreaterEqual(share, -1e-9)
            self.assertLessEqual(share, max(taken, default=0) + 1e-9)


class RealTimesTest(SynchronousTestCase):
    def test_times_grow(self) -> None:
        times = [read_cpu_times() for _ in range(3)]
        for before, after in pairwise(times):
            self.assertLessEqual(before.process_s, after.process_s)
            self.assertLessEqual(before.loop_s, after.loop_s)
        self.assertLessEqual(times[-1].loop_s, times[-1].process_s)

    def test_processes_that_were_started(self) -> None:
        code = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()\n"
        before_s = read_cpu_times().workers_s
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            running_s = read_cpu_times().workers_s
            child.communicate(b"\n")
        self.assertGreater(running_s - before_s, 0.1)
        self.assertGreaterEqual(read_cpu_times().workers_s, running_s)

    def test_cores(self) -> None:
        self.assertGreater(usable_cores(), 0)
