"""`apptuner_relay.client.relay_figures`: what statuses of newer and older relays say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.relay_figures import ReloadFigures, read_figures

OLDER: dict[str, Any] = {
    "version": "0.1.0",
    "node": "relay-1",
    "started_ms": 1_795_000_000_000,
    "now_ms": 1_795_000_100_000,
    "uptime_s": 100.0,
    "state": "ok",
    "reasons": [],
    "connections": {"cli": 3, "mobile": 5},
    "sessions": 4,
    "last_minute": {"bundles": 12, "bundle_bytes": 1, "bytes_out": 6_000_000},
    "memory_bytes": 68 * 2**20,
    "memory_limit_bytes": None,
    "loop_lag_ms": 2.1,
    "worries": [],
}
NEWER: dict[str, Any] = {
    **OLDER,
    "sending_bytes_per_s": 3_400_000,
    "reload": {"median_s": 0.48, "p95_s": 1.2, "count": 42, "failed": 3},
    "capacity": {"cpu_share": 0.12, "busy_share": 0.08, "cores": 2},
    "memory_limit_bytes": 512 * 2**20,
    "worries": [{"name": "lag", "level": "warning", "since_ms": 1, "text": "The loop is late"}],
    "events": [
        {"id": 1, "at_ms": 1_795_000_001_000, "kind": "connected", "session": "8c640c4e",
         "level": "info", "text": "session 8c640c4e: Pixel 9"},
        {"id": 2, "at_ms": 1_795_000_002_000, "kind": "warning", "session": None,
         "level": "warning", "text": "The loop is late"},
    ],
}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NEWER, "median_s", "at_ms", "text"]), inner, max_size=3)
    ),
    max_leaves=8,
)


class ReadTest(SynchronousTestCase):
    def test_a_newer_relay(self) -> None:
        read = read_figures(NEWER)
        self.assertEqual(read.reload, ReloadFigures(0.48, 1.2, 42, 3))
        self.assertEqual((read.sending_bytes_per_s, read.bundles_per_min), (3_400_000, 12))
        self.assertEqual((read.cpu_share, read.busy_share), (0.12, 0.08))
        assert read.events is not None
        self.assertEqual([one["id"] for one in read.events], [2, 1])

    def test_an_older_relay(self) -> None:
        read = read_figures(OLDER)
        self.assertEqual(
            (read.reload, read.events, read.cpu_share, read.busy_share), (None, None, None, None)
        )
        self.assertEqual(read.sending_bytes_per_s, 100_000)

    def test_the_order_of_events(self) -> None:
        for events in (NEWER["events"], NEWER["events"][::-1]):
            read = read_figures({**NEWER, "events": events})
            self.assertEqual([one["id"] for one in read.events or ()], [2, 1])

    def test_what_is_no_status(self) -> None:
        for value in (None, [], {}, {**OLDER, "sessions": "4"}, {**OLDER, "uptime_s": -1}):
            self.assertRaises(ValueError, read_figures, value)

    @given(st.dictionaries(st.sampled_from(list(NEWER)), JSON, max_size=6))
    def test_any_field_may_be_anything(self, odd: dict[str, Any]) -> None:
        try:
            read = read_figures({**NEWER, **odd})
        except ValueError:
            return
        self.assertEqual(read.as_json()["sessions"], read.sessions)
