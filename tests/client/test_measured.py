"""`apptuner_relay.client.measured`: what a relay's records give for a projection."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.measured import LEAST_SESSIONS, measure
from apptuner_relay.client.projection import Figures, project
from apptuner_relay.client.records import COUNTS, DayRecord, Status


def day(text: str, **counts: int) -> DayRecord:
    return DayRecord(date.fromisoformat(text), **{name: counts.get(name, 0) for name in COUNTS})


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

    def test_cpu_without_what_was_sent_in_that_minute(self) -> None:
        """3 GB at two seconds of a core each are a tenth of the minute."""
        for busy, sent, expected in ((0.25, 3 * 10**9, 75), (0.25, 0, 125), (0.05, 3 * 10**9, 0)):
            status = Status((), QUIET, 2000, 1, cores_busy=busy, minute_bytes=sent)
            found = self.measured(status)["cpu_per_1000_sessions"]
            self.assertAlmostEqual(float(found), expected / 1000)
        self.assertEqual(self.measured(Status((), QUIET, LEAST_SESSIONS - 1, 1, 0.5)), {})
