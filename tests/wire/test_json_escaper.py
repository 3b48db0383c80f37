"""`apptuner_relay.wire.json_escaper`: any text, in any pieces, is what JSON has it be."""

import json
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.json_escaper import MOST_GROWTH, JsonEscaper, NotText


def escape(pieces: Iterable[bytes]) -> bytes:
    escaper = JsonEscaper()
    made = b"".join(map(escaper.feed, pieces))
    escaper.finish()
    return made


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The pieces of ``data``, cut at ``places``."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


class JsonEscaperTest(SynchronousTestCase):
    @given(st.text(), st.lists(st.integers(0, 1000), max_size=5))
    @example('\ufeffconst a = "\\n";\r\n\t\x00\x1f\x7f\u2028\U0001f600\'', [1, 2, 3, 30])
    def test_what_json_reads_again(self, text: str, places: list[int]) -> None:
        made = escape(cut(text.encode(), places))
        self.assertEqual(json.loads(b'"' + made + b'"'), text)

    @given(st.characters(max_codepoint=0x7F))
    def test_as_short_as_python(self, character: str) -> None:
        usual = json.dumps(character, ensure_ascii=False)[1:-1].encode()
        made = escape([character.encode()])
        # \b and \f are too scarce to be worth a form of their own.
        self.assertEqual(made, {b"\\b": b"\\u0008", b"\\f": b"\\u000c"}.get(usual, usual))
        self.assertLessEqual(len(made), MOST_GROWTH)

    @given(st.binary(), st.lists(st.integers(0, 1000), max_size=5))
    @example(b"\xed\xa0\x80", [])
    @example(b"\xc0\x80", [1])
    @example(b"ab\xe2\x82", [3])
    def test_bytes_that_are_no_text(self, data: bytes, places: list[int]) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.assertRaises(NotText, escape, cut(data, places))
        else:
            self.assertEqual(json.loads(b'"' + escape(cut(data, places)) + b'"'), text)
