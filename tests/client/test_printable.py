"""`apptuner_relay.client.printable`: text of others made safe for a terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.printable import json_line, printable, printable_json

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class PrintableTests(SynchronousTestCase):
    @given(st.text(st.characters()))
    def test_nothing_is_left_that_a_terminal_obeys(self, text: str) -> None:
        for shown, kept in (
            (printable(text), "\u200c\u200d"),
            (printable_json([text]), "\u200c\u200d"),
            (printable_json(text), "\u200c\u200d\n\t"),
        ):
            for character in shown:
                if character in kept:
                    continue
                self.assertNotIn(unicodedata.category(character), ("Cc", "Cf", "Cs", "Zl", "Zp"))
            shown.encode()

    def test_plain_text_stays(self) -> None:
        for text in ("", "hello", "Zoë 😀 日本語", "👨\u200d👩\u200d👧", "100% [bold]x[/bold]"):
            self.assertEqual(printable(text), text)

    def test_escapes(self) -> None:
        self.assertEqual(
            printable("\x1b[31m\x07\r\n\t\x7f\x9b"), "\\x1b[31m\\x07\\r\\n\\t\\x7f\\x9b"
        )
        self.assertEqual(printable("a\u202eb\u2028\ud83d"), "a\\u202eb\\u2028\\ud83d")
        self.assertEqual(printable("\U000e0041"), "\\U000e0041")

    def test_lines_are_indented(self) -> None:
        self.assertEqual(printable("a\nb\tc\rd", lines=True), "a\n    b\tc\\rd")

    def test_long_text_is_cut(self) -> None:
        self.assertEqual(printable("x" * 1003, limit=3), "xxx … (1,000 more characters)")

    def test_values(self) -> None:
        self.assertEqual(printable_json("a\nb"), "a\n    b")
        self.assertEqual(printable_json({"a": [1, None, "é\x1b"]}), '{"a": [1, null, "é\\u001b"]}')
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        self.assertIn("too deep", printable_json(deep))
        self.assertRaises(ValueError, json_line, deep)

    @given(JSON)
    def test_a_json_line_is_one_line_and_the_same_value(self, value: Any) -> None:
        line = json_line(value)
        self.assertTrue(line.isascii() and line.isprintable())
        self.assertEqual(json.loads(line), value)

    def test_delete_is_escaped_in_a_json_line(self) -> None:
        self.assertEqual(json_line("\x7f"), '"\\u007f"')
