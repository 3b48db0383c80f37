"""`managed.protocol.cutting`: what is left of a log is a log, and says what is missing."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.cutting import NotCuttable, cut_log

LEAST = 200
"""In so many bytes there is room for any mark."""


def log(*args: object, ascii_only: bool = False, **payload: object) -> bytes:
    """A console log, as a client writes it."""
    fields = {"level": "warn", "args": args, "timestamp": 1764412800000, **payload}
    message = {"type": "console_log", "payload": fields}
    return json.dumps(message, ensure_ascii=ascii_only).encode()


def args_of(message: bytes) -> list[Any]:
    """The arguments of a log."""
    args: list[Any] = json.loads(message)["payload"]["args"]
    return args


class Cutting(SynchronousTestCase):
    def test_a_long_text(self) -> None:
        cut = cut_log(log("x" * 5000), 300)
        self.assertLessEqual(len(cut), 300)
        self.assertGreater(len(cut), 290)
        kept, missing = re.fullmatch(r"(x+)… \[cut: (\d+) bytes\]", args_of(cut)[0]).groups()
        self.assertEqual(len(kept) + int(missing), 5000)

    def test_level_and_time_are_kept(self) -> None:
        payload = json.loads(cut_log(log("x" * 5000, stack="y" * 999), 300))["payload"]
        self.assertEqual((payload["level"], payload["timestamp"]), ("warn", 1764412800000))
        self.assertNotIn("stack", payload)

    def test_the_arguments_in_front_are_kept_as_they_are(self) -> None:
        message = log("a", {"b": 1}, "x" * 5000, "behind").replace(b'{"b": 1}', b'{"b": 1e400}')
        cut = cut_log(message, 300)
        self.assertIn(b'"a",{"b": 1e400},"xxx', cut)
        *_, last = args_of(cut)
        missing = int(last.partition("[cut: ")[2].partition(" ")[0])
        self.assertEqual(last.count("x") + missing, 5000 + len("behind"))

    def test_a_long_value_is_shown_as_a_text(self) -> None:
        cut = args_of(cut_log(log(list(range(2000))), 300))
        self.assertEqual(len(cut), 1)
        self.assertTrue(cut[0].startswith("[0, 1, 2,"))
        self.assertTrue(cut[0].endswith(" bytes]"))

    def test_no_more_than_needed(self) -> None:
        message = log("x" * 100, stack="y" * 999)
        self.assertEqual(args_of(cut_log(message, 300)), ["x" * 100])
        self.assertEqual(args_of(cut_log(log(), LEAST)), [])

    @given(
        st.lists(st.text(max_size=400) | st.integers() | st.booleans(), max_size=4),
        st.booleans(),
        st.integers(LEAST, 2000),
    )
    def test_it_fits_and_no_character_is_split(
        self, args: list[Any], ascii_only: bool, most_bytes: int
    ) -> None:
        args = [
            arg.encode("utf-8", "ignore").decode() if isinstance(arg, str) else arg for arg in args
        ]
        cut = cut_log(log(*args, ascii_only=ascii_only), most_bytes)
        self.assertLessEqual(len(cut), most_bytes)
        found = args_of(cut)
        if found == args:
            return
        start, mark, _ = found[-1].rpartition("… [cut: ")
        self.assertTrue(mark)
        self.assertEqual(found[:-1], args[: len(found) - 1])
        whole = args[len(found) - 1]
        whole = whole if isinstance(whole, str) else json.dumps(whole)
        self.assertTrue(whole.startswith(start))

    def test_half_a_character_of_a_client(self) -> None:
        message = log("\ud83d" * 500, ascii_only=True)
        self.assertTrue(args_of(cut_log(message, 300))[0].startswith("\ud83d\ud83d"))

    def test_what_is_no_log_or_finds_no_room(self) -> None:
        for message in (
            b"",
            b"[]",
            b'{"type":"reload","payload":{"args":["x"]}}',
            b'{"type":"console_log"}',
            b'{"type":"console_log","payload":7}',
            b'{"type":"console_log","payload":{"args":"x"}}',
            b'{"payload":{"args":[]}}',
            b"\xff",
        ):
            with self.assertRaises(NotCuttable, msg=message):
                cut_log(message, 300)
        with self.assertRaises(NotCuttable):
            cut_log(log("x" * 500), 100)

    def test_fields_that_are_none_are_replaced(self) -> None:
        for level, timestamp in (("loud", "now"), ({}, {}), (None, None)):
            cut = cut_log(log("x" * 5000, level=level, timestamp=timestamp), 300)
            payload = json.loads(cut)["payload"]
            self.assertEqual(payload["level"], "log")
            self.assertNotIn("timestamp", payload)
