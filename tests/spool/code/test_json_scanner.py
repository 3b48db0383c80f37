"""`apptuner_relay.spool.code.json_scanner`: the code and short fields of a message in pieces."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.json_scanner import MOST_DEPTH, NotJson, Scan
from apptuner_relay.spool.code.json_string import Unescaping

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def scan(text: bytes, cuts: list[int]) -> tuple[Scan, bytes]:
    """Read ``text``, cut at these indexes; returns the scan, and the code."""
    unescaping = Unescaping()
    scan = Scan(("payload", "code"), ("type", "totalChunks"), unescaping)
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    code = b""
    for start, stop in itertools.pairwise(at):
        code += b"".join(scan.feed(text[start:stop]))
    scan.finish()
    return scan, code + unescaping.finish()


class ScanTest(SynchronousTestCase):
    @given(st.text(max_size=40), VALUES, st.integers(0, 1 << 40), st.lists(st.integers(0, 300)))
    def test_code_and_fields_among_anything_in_any_pieces(
        self, code: str, value: Any, total: int, cuts: list[int]
    ) -> None:
        message = {"x": value, "type": "t", "payload": {"y": value, "code": code}}
        text = json.dumps({**message, "totalChunks": total}).encode()
        made, read = scan(text, cuts)
        self.assertEqual(read, code.encode())
        self.assertEqual((made.has_code, made.fields), (True, {"type": "t", "totalChunks": total}))

    def test_fields_of_inner_objects_do_not_count(self) -> None:
        made, _ = scan(b'{"inner":{"type":"x","payload":{"code":"no"}},"type":"y"}', [])
        self.assertEqual((made.has_code, made.fields), (False, {"type": "y"}))

    def test_key_that_appears_twice_is_refused_where_it_counts(self) -> None:
        scan(b'{"a":1,"a":2}', [])
        for text in (
            b'{"type":"a","type":"b"}',
            b'{"payload":{"code":"a"},"payload":{"code":"b"}}',
            b'{"payload":{"code":"a","code":"b"}}',
        ):
            with self.subTest(text), self.assertRaises(NotJson):
                scan(text, [])

    def test_no_object(self) -> None:
        for text in (b"[]", b'"a"', b"1", b"{}{}", b"{", b"{,}", b'{"a" 1}', b'{"a":01}'):
            with self.subTest(text), self.assertRaises(NotJson):
                scan(text, [])

    def test_not_deeper_than_it_says(self) -> None:
        inner = MOST_DEPTH - 1
        scan(b'{"a":' + b"[" * inner + b"]" * inner + b"}", [])
        with self.assertRaises(NotJson):
            scan(b'{"a":' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}", [])
