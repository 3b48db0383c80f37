"""`apptuner_relay.operator.event_list`: a short list that a flood doesn't wipe."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.event_list import MERGED_S, MOST_EVENTS, EventKind, EventList


def make() -> tuple[EventList, Clock]:
    clock = Clock()
    return EventList(clock.seconds, lambda: 1000 + clock.seconds()), clock


class Rows(SynchronousTestCase):
    def test_the_last_one_first(self) -> None:
        events, clock = make()
        events.add(EventKind.CONNECTED, "cli from 192.0.2.4", session="8c640c4e")
        clock.advance(1)
        events.add(EventKind.WARNING, "late", level="warning")
        second, first = events.rows()
        self.assertEqual(
            first,
            {
                "id": 1,
                "at_ms": 1_000_000,
                "kind": "connected",
                "session": "8c640c4e",
                "level": "info",
                "text": "cli from 192.0.2.4",
                "count": 1,
                "since_ms": 1_000_000,
            },
        )
        self.assertEqual(
            (second["id"], second["at_ms"], second["level"]), (2, 1_001_000, "warning")
        )

    def test_a_burst_is_one_row(self) -> None:
        events, clock = make()
        for n in range(300):
            events.add(EventKind.REFUSED, f"with {n}", key=("192.0.2.4", 403))
            clock.advance(0.1)
        events.add(EventKind.REFUSED, "of another", key=("192.0.2.5", 403))
        other, row = events.rows()
        self.assertEqual((row["id"], row["count"]), (1, 300))
        self.assertEqual(row["text"], "with 299 (300 times)")
        self.assertEqual((row["since_ms"], row["at_ms"]), (1_000_000, 1_029_900))
        self.assertEqual(other["count"], 1)

    def test_after_a_minute_it_is_another(self) -> None:
        events, clock = make()
        for _ in range(3):
            events.add(EventKind.REFUSED, "again", key=1)
            clock.advance(MERGED_S / 2)
        self.assertEqual([row["count"] for row in events.rows()], [1, 2])

    def test_a_row_moves_to_the_front_when_it_is_counted_up(self) -> None:
        events, _ = make()
        for text, key in (("one", 1), ("two", 2), ("one", 1)):
            events.add(EventKind.REFUSED, text, key=key)
        self.assertEqual([row["id"] for row in events.rows()], [1, 2])

    def test_a_flood_leaves_the_others(self) -> None:
        events, _ = make()
        events.add(EventKind.WARNING, "the disk is full")
        for n in range(10):
            events.add(EventKind.BUNDLE, f"bundle {n}")
        for n in range(5000):
            events.add(EventKind.REFUSED, "no", key=n)
        kinds = Counter(row["kind"] for row in events.rows())
        self.assertEqual(kinds, {"warning": 1, "bundle": 10, "refused": MOST_EVENTS - 11})
        self.assertEqual(events.rows()[0]["id"], 5011)


added = st.tuples(
    st.sampled_from(EventKind), st.one_of(st.none(), st.integers(0, 5)), st.floats(0, 40)
)


class AnythingTest(SynchronousTestCase):
    @given(st.lists(added, max_size=200))
    def test_any_events(self, those: list[tuple[EventKind, int | None, float]]) -> None:
        events, clock = make()
        for kind, key, later_s in those:
            events.add(kind, kind.value, key=key)
            newest = events.rows()[0]
            self.assertEqual((newest["kind"], newest["at_ms"]), (kind.value, self.now_ms(clock)))
            clock.advance(later_s)
        rows = events.rows()
        self.assertLessEqual(len(rows), MOST_EVENTS)
        self.assertEqual(len({row["id"] for row in rows}), len(rows))
        times = [row["at_ms"] for row in rows]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertLessEqual(sum(row["count"] for row in rows), len(those))  # type: ignore[misc]
        kinds = Counter(kind.value for kind, _, _ in those)
        shown = Counter(row["kind"] for row in rows)
        for name, count in kinds.items():
            # A kind keeps its fair share, whatever the others do.
            fair = MOST_EVENTS // len(EventKind)
            alone = Counter[str]()
            if count <= fair and name in {k.value for k, key, _ in those if key is None}:
                alone[name] = sum(k.value == name and key is None for k, key, _ in those)
            self.assertGreaterEqual(shown[name], min(alone[name], fair))

    def now_ms(self, clock: Clock) -> int:
        return int((1000 + clock.seconds()) * 1000)
