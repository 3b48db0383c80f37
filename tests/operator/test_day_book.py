"""`apptuner_relay.operator.day_book`: midnights, restarts, and files that are wrong."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.day_book import DAY_S, KEPT_DAYS, Days

NOON_S = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=12), some),
    max_leaves=8,
)


def row(**counts: object) -> dict[str, object]:
    return counts


class DaysTest(SynchronousTestCase):
    def test_midnight_is_in_utc(self) -> None:
        days = Days(NOON_S)
        midnight_s = NOON_S + DAY_S / 2
        self.assertEqual(days.today.date, "2026-11-23")
        self.assertFalse(days.is_over(midnight_s - 0.001))
        self.assertTrue(days.is_over(midnight_s))
        days.today.bundles = 7
        over = days.turn(midnight_s)
        assert over is not None
        self.assertEqual((over.date, over.bundles), ("2026-11-23", 7))
        self.assertEqual((days.today.date, days.today.bundles), ("2026-11-24", 0))
        self.assertEqual(days.past(), [over])

    def test_a_clock_that_is_put_back_a_little_changes_no_day(self) -> None:
        days = Days(NOON_S)
        midnight_s = NOON_S - DAY_S / 2
        for back_s in (1, 31, 3600):
            self.assertFalse(days.is_over(midnight_s - back_s))

    def test_a_day_that_a_wrong_clock_began_goes_into_the_true_one(self) -> None:
        days = Days(NOON_S)
        days.today.bundles, days.today.peak_sessions = 7, 4
        days.turn(NOON_S + 3 * DAY_S)
        days.today.bundles, days.today.peak_sessions = 2, 5
        self.assertTrue(days.is_over(NOON_S + 60))
        self.assertIsNone(days.turn(NOON_S + 60), "it isn't over")
        self.assertEqual((days.today.date, days.today.bundles), ("2026-11-23", 9))
        self.assertEqual(days.today.peak_sessions, 5)
        self.assertEqual(days.past(), [])
        days.turn(NOON_S + DAY_S)
        self.assertEqual([(day.date, day.bundles) for day in days.past()], [("2026-11-23", 9)])

    def test_one_that_began_in_the_past_by_a_wrong_clock_stays_there(self) -> None:
        days = Days(NOON_S - 9 * DAY_S)
        days.today.bundles = 2
        days.turn(NOON_S)
        self.assertEqual(days.today.bundles, 0)
        self.assertEqual([day.bundles for day in days.past()], [2])

    def test_newest_first_and_no_more_than_asked_for(self) -> None:
        days = Days(NOON_S)
        for i in range(1, 40):
            days.turn(NOON_S + i * DAY_S)
        shown = [day.date for day in days.past()]
        self.assertEqual((shown[0], shown[-1], len(shown)), ("2026-12-31", "2026-12-02", 30))

    def test_days_are_forgotten_at_last(self) -> None:
        days = Days(NOON_S)
        for i in range(1, KEPT_DAYS + 50):
            days.turn(NOON_S + i * DAY_S)
        self.assertEqual(len(days.rows()), KEPT_DAYS + 1)

    def test_a_restart_on_the_same_day_goes_on(self) -> None:
        before = Days(NOON_S)
        before.turn(NOON_S + DAY_S)
        day = before.today
        day.peak_sessions, day.peak_connections, day.bundles, day.connections = 9, 30, 5, 40
        after = Days(NOON_S + DAY_S + 60)
        after.today.peak_sessions, after.today.bundles = 12, 2
        self.assertEqual(after.merge(before.rows()), 0)
        today = after.today
        self.assertEqual((today.peak_sessions, today.peak_connections), (12, 30))
        self.assertEqual((today.bundles, today.connections), (7, 40))
        self.assertEqual([day.date for day in after.past()], ["2026-11-23"])

    def test_reload_times_outlive_a_restart_of_the_day(self) -> None:
        before = Days(NOON_S)
        for seconds in (0.5, 0.5, 4.0):
            before.today.add_reload(seconds)
        after = Days(NOON_S + 60)
        for seconds in (4.0, 4.0):
            after.today.add_reload(seconds)
        self.assertEqual(after.merge(before.rows()), 0)
        self.assertEqual(after.today.reloads, 5)
        self.assertAlmostEqual(after.today.reload_median_ms / 4000, 1, 1)
        # When the day is over, only what it comes to is kept.
        self.assertIn("reload_times", after.rows()["2026-11-23"])
        after.turn(NOON_S + DAY_S)
        kept = after.rows()["2026-11-23"]
        self.assertNotIn("reload_times", kept)
        self.assertEqual(kept["reload_median_ms"], after.past()[0].reload_median_ms)

    def test_reload_times_that_are_none_cost_nothing_else(self) -> None:
        days = Days(NOON_S)
        rows = {"2026-11-23": row(bundles=3, reloads=2, reload_times="many")}
        self.assertEqual(days.merge(rows), 0)
        self.assertEqual((days.today.bundles, days.today.reloads), (3, 2))

    def test_a_file_of_an_earlier_version(self) -> None:
        days = Days(NOON_S)
        days.merge({"2026-11-22": row(bundles=3), "2026-11-23": row(bundles=4)})
        self.assertEqual([day.bundles for day in days.month()], [3, 4])
        self.assertEqual([day.reload_median_ms for day in days.month()], [0, 0])

    def test_entries_that_are_no_days_are_passed_over(self) -> None:
        days = Days(NOON_S)
        rows = {
            "2026-11-22": row(bundles=3),
            "2026-11-21": row(bundles=-3),
            "2026-11-20": row(bundles=True),
            "2026-11-19": row(peak_sessions="many"),
            "2026-11-18": [],
            "yesterday": row(bundles=3),
        }
        self.assertEqual(days.merge(rows), 5)
        (day,) = days.past()
        self.assertEqual((day.date, day.bundles, day.connections), ("2026-11-22", 3, 0))

    def test_days_of_the_future_are_not_kept(self) -> None:
        days = Days(NOON_S)
        days.merge({"2036-01-01": row(bundles=1)})
        self.assertEqual(days.past(), [])

    def test_nothing_is_no_mistake(self) -> None:
        self.assertEqual(Days(NOON_S).merge(None), 0)
        self.assertEqual(Days(NOON_S).merge([1, 2]), 1)

    @given(JSON | st.dictionaries(st.dates().map(str), JSON))
    def test_whatever_a_file_has(self, rows: object) -> None:
        days = Days(NOON_S)
        days.merge(rows)
        kept = days.rows()
        again = Days(NOON_S)
        self.assertEqual(again.merge(kept), 0)
        self.assertEqual(again.rows(), kept)
