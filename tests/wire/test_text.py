"""`apptuner_relay.wire.text`: UTF-8 in pieces, and JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.text import TextChecker, parse_json


def is_text(data: bytes, cuts: list[int]) -> bool:
    checker = TextChecker()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    last = len(edges) - 2
    return all(
        checker.check(data, edges[i], edges[i + 1], end=i == last) for i in range(len(edges) - 1)
    )


class Checking(SynchronousTestCase):
    @given(
        st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
        st.lists(st.integers(0, 100), max_size=5),
    )
    def test_agrees_with_a_decoder(self, data: bytes, cuts: list[int]) -> None:
        try:
            data.decode()
        except UnicodeDecodeError:
            self.assertFalse(is_text(data, cuts))
        else:
            self.assertTrue(is_text(data, cuts))

    def test_one_message_after_another(self) -> None:
        checker = TextChecker()
        self.assertFalse(checker.check(b"\xe2\x82", 0, 2, end=True))
        self.assertTrue(checker.check(b"plain", 0, 5, end=True))
        self.assertTrue(checker.check(b"\xe2\x82", 0, 2, end=False))
        self.assertTrue(checker.inside_character)
        self.assertTrue(checker.check(b"\xac", 0, 1, end=True))

    def test_what_can_go_on_in_no_way_is_refused_at_once(self) -> None:
        for bad in (b"\xff", b"\xe0\x80", b"\xed\xa0", b"\xed\xbf", b"\xf0\x80", b"\xf4\x90"):
            self.assertFalse(TextChecker().check(b"a" + bad, 0, 3, end=False), bad)
        for begun in (b"\xed\x9f", b"\xee\xa0", b"\xf4\x8f"):
            self.assertTrue(TextChecker().check(begun, 0, 2, end=False), begun)


class Parsing(SynchronousTestCase):
    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
    def test_json(self, value: object) -> None:
        for escapes in (False, True):
            text = json.dumps(value, ensure_ascii=escapes).encode("utf-8", "backslashreplace")
            self.assertEqual(parse_json(text), value)

    def test_what_is_none(self) -> None:
        for text in (
            b"",
            b"NaN",
            b"[Infinity]",
            b"-Infinity",
            b"\xef\xbb\xbf1",
            "11".encode("utf-16"),
            "[]".encode("utf-32-be"),
            b'"\xff"',
            b"[" * 100_000,
        ):
            with self.assertRaises(ValueError):
                parse_json(text)
