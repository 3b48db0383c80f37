"""`apptuner_relay.operator.capacity`: how many sessions like those of now fit."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.operator.capacity import Capacity, SessionEstimate
from apptuner_relay.operator.process import ProcessUse
from tests.operator.made_times import MadeTimes

MIB = 1 << 20


class CapacityTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.made = MadeTimes()
        self.sessions = 0

    def capacity(self, memory_limit: int = 0, **settings: Any) -> Capacity:
        process = ProcessUse(memory_limit, self.made.clock.seconds)
        process.cpu = self.made.use
        process.memory_bytes, process.descriptors = 60 * MIB, 30
        process.descriptors_limit = 1_000_000
        self.process = process
        return Capacity(process, lambda: self.sessions, WarningSettings(**settings))

    def test_by_the_loop(self) -> None:
        capacity = self.capacity()
        self.sessions = 400
        self.made.passes(60, 0.2)
        self.assertEqual(capacity.estimate, SessionEstimate(1600, "cpu"))

    def test_by_memory(self) -> None:
        capacity = self.capacity(memory_limit=200 * MIB)
        self.sessions = 100
        self.process.memory_bytes = 120 * MIB
        self.made.passes(60, 0.1)
        self.assertEqual(capacity.estimate, SessionEstimate(200, "memory"))

    def test_by_descriptors(self) -> None:
        capacity = self.capacity(descriptors_limit=0.5)
        self.process.descriptors_limit = 1060
        self.sessions = 100
        self.process.descriptors = 230
        self.made.passes(60, 0.1)
        self.assertEqual(capacity.estimate, SessionEstimate(250, "descriptors"))

    def test_too_little_is_known(self) -> None:
        capacity = self.capacity()
        self.sessions = 19
        self.made.passes(60, 0.5)
        self.assertIsNone(capacity.estimate)
        self.sessions = 20
        self.assertEqual(capacity.estimate, SessionEstimate(32, "cpu"))
        self.made = MadeTimes()
        self.process.cpu = self.made.use
        self.made.passes(59, 0.5)
        self.assertIsNone(capacity.estimate)

    def test_a_relay_that_takes_nothing(self) -> None:
        capacity = self.capacity()
        self.sessions = 100
        self.made.passes(60, 0.0)
        self.assertIsNone(capacity.estimate)

    def test_without_a_threshold(self) -> None:
        capacity = self.capacity(warning_cpu=None, descriptors_limit=None)
        self.sessions = 100
        self.made.passes(60, 0.4)
        self.assertEqual(capacity.estimate, SessionEstimate(200, "cpu"))

    def test_as_json(self) -> None:
        capacity = self.capacity()
        self.sessions = 400
        self.made.passes(60, 0.2, threads=0.05, workers=0.01)
        row = capacity.row()
        self.assertEqual(
            {name: row[name] for name in row if name != "cpu_s"},
            {
                "cpu_share": 0.25,
                "loop_share": 0.2,
                "worker_share": 0.01,
                "busy_share": 0.2,
                "cores": 2.0,
                "sessions": 1600,
                "limited_by": "cpu",
            },
        )
        self.assertEqual(row["cpu_s"], 5 + 0.25 * 60 + 1 + 0.01 * 60)

    @given(st.integers(20, 10**5), st.floats(0.001, 1), st.integers(0, 1000))
    def test_what_fits_is_told_in_two_digits(self, sessions: int, loop: float, mib: int) -> None:
        self.made = MadeTimes()
        capacity = self.capacity(memory_limit=1000 * MIB)
        self.sessions = sessions
        self.process.memory_bytes = mib * MIB
        self.made.passes(60, loop)
        room = capacity.estimate
        assert room is not None
        self.assertEqual(len(str(room.sessions).rstrip("0")[2:]), 0)
        used = max(loop / 0.8, (mib - 60) / (900 - 60))
        self.assertLessEqual(room.sessions, sessions / used * (1 + 1e-9))
        self.assertGreater(room.sessions, 0.9 * sessions / used - 1)
