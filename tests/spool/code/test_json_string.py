"""`apptuner_relay.spool.code.json_string`: strings of JSON in pieces of any size."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.json_string import NotALiteral, Unescaping, ValueEnd

TEXTS = st.text(st.sampled_from('a"\\é€😀\n/u'), max_size=30)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data``, cut at these indexes."""
    at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(at)]


class UnescapingTest(SynchronousTestCase):
    @given(TEXTS, st.booleans(), CUTS)
    def test_any_text_in_any_pieces(self, text: str, ascii_only: bool, cuts: list[int]) -> None:
        literal = json.dumps(text, ensure_ascii=ascii_only).encode()[1:-1]
        unescaping = Unescaping()
        made = b"".join(unescaping.feed(piece, False) for piece in pieces(literal, cuts))
        self.assertEqual(made + unescaping.finish(), text.encode())

    @given(TEXTS, TEXTS)
    def test_surrogate_pair_over_two_strings(self, before: str, behind: str) -> None:
        unescaping = Unescaping()
        first = json.dumps(before)[1:-1] + "\\ud83d"
        second = "\\ude00" + json.dumps(behind)[1:-1]
        made = unescaping.feed(first.encode(), True) + unescaping.feed(second.encode(), True)
        self.assertEqual(made + unescaping.finish(), f"{before}😀{behind}".encode())

    def test_lone_surrogate_is_replaced(self) -> None:
        unescaping = Unescaping()
        made = unescaping.feed(b"a\\udc00b", True) + unescaping.finish()
        self.assertEqual(made, "a\ufffdb".encode())

    def test_what_is_no_string(self) -> None:
        for literal in (b"\\x", b"\n", b"\xff", b"\\u12"):
            with self.subTest(literal), self.assertRaises(NotALiteral):
                unescaping = Unescaping()
                unescaping.feed(literal, True)
                unescaping.finish()


class ValueEndTest(SynchronousTestCase):
    @given(TEXTS, CUTS)
    def test_end_of_any_string_in_any_pieces(self, text: str, cuts: list[int]) -> None:
        literal = json.dumps(text, ensure_ascii=False).encode()[1:]
        ends, passed = ValueEnd(), 0
        for piece in pieces(literal, cuts):
            at = ends.find(piece, 0)
            if at >= 0:
                self.assertEqual(passed + at, len(literal) - 1)
                return
            passed += len(piece)
        self.fail("its end was not found")
