"""`apptuner_relay.meters.worries` and `thresholds`: when a worry starts, and when it ends."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.meters.worries import Level, Worries
from tests.memory import Relay


class WorriesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.worries = Worries()
        self.wrong: str | None = None

    def watch(self, for_s: float = 60, **more: bool) -> None:
        self.worries.watch("spool", lambda: self.wrong, for_s=for_s, **more)

    def changes(self, now_s: float) -> list[tuple[bool, str]]:
        return [(one.started, one.worry.text) for one in self.worries.check(now_s, now_s)]

    def test_starts_after_its_time_and_ends_at_once(self) -> None:
        self.watch()
        self.wrong = "91%"
        self.assertEqual(self.changes(0), [])
        self.assertEqual(self.changes(59.9), [])
        self.assertEqual(self.worries.active, [])
        self.assertEqual(self.changes(60), [(True, "91%")])
        self.wrong = "95%"
        self.assertEqual(self.changes(70), [])
        (worry,) = self.worries.active
        self.assertEqual(
            worry.row(),
            {"name": "spool", "level": "warning", "since_ms": 60_000, "text": "95%"},
        )
        self.wrong = None
        (change,) = self.worries.check(100, 100)
        self.assertEqual((change.started, change.lasted_s), (False, 40))
        self.assertEqual(self.worries.active, [])
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

    def test_a_name_is_had_once(self) -> None:
        self.watch()
        self.assertRaises(ValueError, self.watch)

    @given(st.lists(st.booleans(), max_size=60))
    def test_on_exactly_while_all_of_the_window_was_wrong(self, states: list[bool]) -> None:
        worries = Worries()
        now = {"wrong": False}
        worries.watch("x", lambda: "bad" if now["wrong"] else None, for_s=30)
        started = 0
        for i, state in enumerate(states):
            now["wrong"] = state
            for change in worries.check(i * 10.0, i * 10.0):
                started += 1 if change.started else -1
            window = states[max(0, i - 3) : i + 1]
            self.assertEqual(bool(worries.active), i >= 3 and all(window))
            self.assertEqual(started, len(worries.active))


class ThresholdTest(SynchronousTestCase):
    """What `Meters` watches by itself."""

    def relay(self, **settings: object) -> Relay:
        self.made = Relay(worry_time=60.0, ping_timeout=9999.0, **settings)
        return self.made

    def names(self) -> list[str]:
        return [worry.name for worry in self.made.service.meters.worries.active]

    def check(self, after_s: float) -> list[bool]:
        self.made.clock.advance(after_s)
        return [change.started for change in self.made.service.meters.check_worries()]

    def test_sessions(self) -> None:
        relay = self.relay(notice_sessions=1, warning_sessions=2)
        for name in "ab":
            relay.connect(f"/cli/{name}")
        self.check(0)
        self.assertEqual(self.check(0), [])
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["sessions_notice"])
        relay.connect("/cli/c")
        # There were only two for a part of this time.
        self.check(10)
        self.check(10)
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["sessions_notice", "sessions_warning"])
        levels = [worry.level for worry in relay.service.meters.worries.active]
        self.assertEqual(levels, [Level.NOTICE, Level.WARNING])
        notice, warning = relay.service.meters.worries.active
        self.assertIn("plan the next size", notice.text)
        self.assertIn("scale out", warning.text)
        # That is a matter for the operator, not for a load balancer.
        self.assertEqual(relay.service.meters.state, "ok")

    def test_consistently_is_the_minimum(self) -> None:
        """Sessions that are fewer for a moment, between two looks, are fewer."""
        relay = self.relay(notice_sessions=1)
        relay.connect("/cli/a")
        other = relay.connect("/cli/b")
        self.check(0)
        self.check(0)
        self.check(50)
        other.lose()
        relay.connect("/cli/b")
        self.assertEqual(self.check(10), [])
        self.assertEqual(self.check(59), [])
        self.assertEqual(self.check(60), [True])

    def test_memory_degrades(self) -> None:
        relay = self.relay(memory_limit=1024)
        self.check(0)
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["memory"])
        meters = relay.service.meters
        self.assertEqual(meters.state, "degraded")
        self.assertRegex(
            meters.reasons[0], r"^\d+\.\d MiB of memory, above 90% of its limit, 1.0 KiB"
        )

    def test_memory_without_a_limit(self) -> None:
        relay = self.relay(memory_limit=0)
        self.assertIsNone(relay.service.meters.memory_limit)
        self.check(0)
        self.assertEqual(self.check(60), [])

    def test_descriptors_degrade(self) -> None:
        self.relay(descriptors_limit=0.00001, memory_limit=0)
        self.check(0)
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["descriptors"])

    def test_resources_are_told_within_a_minute(self) -> None:
        self.made = Relay(worry_time=600.0, memory_limit=1024)
        self.check(0)
        self.assertEqual(self.check(60), [True])
