"""`apptuner_relay.operator.conditions`: when warnings start and end."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.conditions import MOST_PAST, Conditions


class ConditionsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.conditions = Conditions()
        self.wrong: str | None = None

    def watch(self, for_s: float = 60, **more: bool) -> None:
        self.conditions.watch("spool", lambda: self.wrong, for_s=for_s, **more)

    def changes(self, now_s: float) -> list[tuple[bool, str]]:
        return [(one.started, one.condition.text) for one in self.conditions.check(now_s, now_s)]

    def test_starts_after_its_time_and_ends_at_once(self) -> None:
        self.watch()
        self.wrong = "91%"
        self.assertEqual(self.changes(0), [])
        self.assertEqual(self.changes(59.9), [])
        self.assertEqual(self.conditions.active, [])
        self.assertEqual(self.changes(60), [(True, "91%")])
        self.wrong = "95%"
        self.assertEqual(self.changes(70), [])
        (condition,) = self.conditions.active
        self.assertEqual(
            condition.row(),
            {"name": "spool", "level": "warning", "since_ms": 60_000, "text": "95%"},
        )
        self.wrong = None
        (change,) = self.conditions.check(100, 100)
        self.assertEqual((change.started, change.lasted_s), (False, 40))
        self.assertEqual(self.conditions.active, [])
        (past,) = self.conditions.past
        self.assertEqual(past.row(), condition.row() | {"until_ms": 100_000})
        self.assertEqual(self.changes(200), [])

    def test_one_good_check_begins_the_time_anew(self) -> None:
        self.watch()
        for now_s in range(0, 50, 10):
            self.wrong = "bad"
            self.assertEqual(self.changes(now_s), [])
        self.wrong = None
        self.changes(50)
        self.wrong = "bad"
        self.assertEqual(self.changes(60), [])
        self.assertEqual(self.changes(110), [])
        self.assertEqual(self.changes(120), [(True, "bad")])

    def test_without_a_time_it_starts_at_once(self) -> None:
        self.watch(for_s=0)
        self.wrong = "away"
        self.assertEqual(self.changes(5), [(True, "away")])

    def test_the_last_that_are_over_are_remembered(self) -> None:
        self.watch(for_s=0)
        for n in range(MOST_PAST + 5):
            self.wrong = f"{n}%"
            self.changes(2 * n)
            self.wrong = None
            self.changes(2 * n + 1)
        texts = [past.condition.text for past in self.conditions.past]
        self.assertEqual((len(texts), texts[0], texts[-1]), (50, "5%", "54%"))

    def test_only_the_higher_of_two(self) -> None:
        count = 0
        for name, most, below in (("notice", 3, "warning"), ("warning", 6, None)):
            self.conditions.watch(
                name,
                lambda name=name, most=most: f"{name} {count}" if count > most else None,  # type: ignore[misc]
                for_s=60,
                below=below,
            )

        def checked(now_s: float) -> tuple[list[tuple[bool, str]], list[str]]:
            return self.changes(now_s), [one.name for one in self.conditions.active]

        count = 5
        self.assertEqual(checked(0), ([], []))
        self.assertEqual(checked(60), ([(True, "notice 5")], ["notice"]))
        count = 7
        self.assertEqual(checked(70), ([], ["notice"]), "the warning has to last, too")
        changes, active = checked(130)
        self.assertEqual(changes, [(False, "notice 7"), (True, "warning 7")])
        self.assertEqual(active, ["warning"])
        count = 4
        changes, active = checked(200)
        self.assertEqual(changes, [(True, "notice 4"), (False, "warning 7")])
        self.assertEqual(active, ["notice"])
        (condition,) = self.conditions.active
        self.assertEqual(condition.since_ms, 200_000)
        self.assertEqual([past.until_ms for past in self.conditions.past], [130_000, 200_000])

    def test_a_name_is_had_once(self) -> None:
        self.watch()
        self.assertRaises(ValueError, self.watch)

    @given(st.lists(st.booleans(), max_size=60))
    def test_on_exactly_while_all_of_the_window_was_wrong(self, states: list[bool]) -> None:
        conditions = Conditions()
        now = {"wrong": False}
        conditions.watch("x", lambda: "bad" if now["wrong"] else None, for_s=30)
        started = 0
        for i, state in enumerate(states):
            now["wrong"] = state
            for change in conditions.check(i * 10.0, i * 10.0):
                started += 1 if change.started else -1
            window = states[max(0, i - 3) : i + 1]
            self.assertEqual(bool(conditions.active), i >= 3 and all(window))
            self.assertEqual(started, len(conditions.active))
