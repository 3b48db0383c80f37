"""`apptuner_relay.client.top_frame`: frames of every size."""

from __future__ import annotations

import dataclasses
from datetime import UTC
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.relay_figures import read_figures
from apptuner_relay.client.session_records import read_sessions
from apptuner_relay.client.top_frame import FrameLine, TopView, event_text, frame, packed

from .test_relay_figures import NEWER, OLDER
from .test_session_list import newer, session

SESSIONS = read_sessions({"sessions": [newer(), session("ffff0000", slow=True)]})
VIEW = TopView(
    read_figures(NEWER), SESSIONS, {"8c640c4e": 1_500_000.0}, "busy", 2.0, keys=True, zone=UTC
)


def shown(view: TopView, width: int = 100, height: int | None = None) -> str:
    return "\n".join(line.text for line in frame(view, width, height))


class FrameTest(SynchronousTestCase):
    def test_all_that_there_is(self) -> None:
        text = shown(VIEW)
        for words in (
            "relay-1  0.1.0, up 1 min 40 s, ok",
            "sessions 4 (3 cli, 5 mobile)",
            "bundles 12/min",
            "sending 3.4 MB/s",
            "reload 0.48 s median, 1.20 s p95, 42 today, 3 failed",
            "memory 68.0 MiB of 512.0 MiB",
            "loop lag 2.1 ms",
            "CPU 12% (busy 8%)",
            "warning: The loop is late",
            "8c640c4e   cli, 2 mobiles   Pixel 9, ann   1.5 MB/s",
            "11:06:42 The loop is late\n11:06:41 8c640c4e Pixel 9",
        ):
            self.assertIn(words, text)
        self.assertNotIn("q quits", text)

    def test_an_older_relay(self) -> None:
        text = shown(dataclasses.replace(VIEW, figures=read_figures(OLDER), rates={}))
        for words in ("reload –", "CPU –", "events –", "sending 100.0 kB/s"):
            self.assertIn(words, text)

    def test_nothing_is_there(self) -> None:
        quiet = {**NEWER, "events": [], "reload": {"median_s": None, "failed": 0}}
        text = shown(dataclasses.replace(VIEW, figures=read_figures(quiet), sessions=()))
        for words in ("reload none today, 0 failed", "no session is connected", "no events yet"):
            self.assertIn(words, text)

    def test_a_relay_that_is_away(self) -> None:
        view = dataclasses.replace(VIEW, away="no answer for 12 s", note="started anew 3 s ago")
        _, away, note, *_ = frame(view, 80)
        self.assertEqual((away.text, note.text), ("no answer for 12 s", "started anew 3 s ago"))

    def test_a_degraded_relay_says_why(self) -> None:
        figures = read_figures({**NEWER, "state": "degraded", "reasons": ["no disk", "no luck"]})
        [first, *_] = frame(dataclasses.replace(VIEW, figures=figures), 80)
        self.assertIn("degraded: no disk; no luck", first.text)

    def test_more_warnings_than_fit(self) -> None:
        many = [{"level": "notice", "text": f"number {n}"} for n in range(9)]
        text = shown(dataclasses.replace(VIEW, figures=read_figures({**NEWER, "worries": many})))
        self.assertIn("notice: number 3\nand 5 more", text)

    def test_the_keys_stand_on_the_last_line(self) -> None:
        self.assertTrue(shown(VIEW, 80, 24).endswith("q quits, s sorts (now: busy); every 2 s"))
        self.assertTrue(shown(VIEW, 20, 60).endswith("\nq quits, s sorts"))

    def test_sessions_and_events_share_the_height(self) -> None:
        rows = [newer(f"{n:08x}") for n in range(50)]
        events = [{"id": n, "at_ms": n, "text": f"event {n}."} for n in range(50)]
        figures = read_figures({**NEWER, "events": events})
        view = dataclasses.replace(
            VIEW, figures=figures, sessions=read_sessions({"sessions": rows})
        )
        text = shown(view, 120, 30)
        self.assertGreater(text.count("Pixel 9"), 8)
        self.assertGreater(text.count("event 4"), 5)
        # Few events leave the room to sessions.
        figures = read_figures({**NEWER, "events": events[:1]})
        more = shown(dataclasses.replace(view, figures=figures), 120, 30)
        self.assertGreater(more.count("Pixel 9"), text.count("Pixel 9"))

    def test_texts_of_others_do_nothing_to_a_terminal(self) -> None:
        evil = "\x1b[2J\n\u202e"
        figures = read_figures(
            {
                **NEWER,
                "node": evil,
                "worries": [{"level": evil, "text": evil}],
                "events": [{"id": 1, "at_ms": 0, "session": evil, "level": [], "text": evil}],
            }
        )
        devices = [{"deviceId": evil, "name": evil}]
        sessions = read_sessions({"sessions": [newer(evil, devices=devices, roles=[evil])]})
        view = dataclasses.replace(VIEW, figures=figures, sessions=sessions, away=evil, note=evil)
        for line in frame(view, 80):
            self.assertTrue(line.text.isprintable(), line.text)

    @given(st.integers(20, 200), st.none() | st.integers(1, 80), st.booleans(), st.booleans())
    def test_every_size(self, width: int, height: int | None, old: bool, away: bool) -> None:
        view = dataclasses.replace(
            VIEW,
            figures=read_figures(OLDER if old else NEWER),
            away="no answer for a long while: it says nothing" if away else None,
        )
        lines = frame(view, width, height)
        self.assertLessEqual(max(len(line.text) for line in lines), width)
        if height is not None:
            self.assertEqual(len(lines), height)

    def test_events(self) -> None:
        event: dict[str, Any] = {"at_ms": 0, "session": "8c640c4e", "text": "Pixel 9 came"}
        self.assertEqual(event_text(event, UTC), "00:00:00 8c640c4e Pixel 9 came")
        self.assertEqual(
            event_text({**event, "text": "session 8c640c4e: cut"}, UTC), "00:00:00 8c640c4e cut"
        )
        self.assertEqual(event_text({"at_ms": 2**62, "session": None, "text": "x"}, UTC), "? x")


class PackedTest(SynchronousTestCase):
    @given(st.lists(st.text("ab ", min_size=1, max_size=30).map(str.strip)), st.integers(8, 60))
    def test_every_width(self, items: list[str], width: int) -> None:
        lines = packed(items, width)
        self.assertLessEqual(max(map(len, lines), default=0), width)
        self.assertEqual("".join(lines).replace(" ", ""), "".join(items).replace(" ", ""))

    def test_side_by_side(self) -> None:
        self.assertEqual(packed(["aaa", "bb", "c"], 8), ["aaa   bb", "c"])
        self.assertEqual(FrameLine("x").style, "")
