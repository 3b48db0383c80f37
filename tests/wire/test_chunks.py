"""`apptuner_relay.wire.chunks`: one message becomes chunks that join to the same code."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire import chunks
from apptuner_relay.wire.chunks import CHUNK_BYTES, NotABundle, Rechunker, begins_bundle


def message(code: str, ascii_only: bool = False, **more: object) -> bytes:
    payload = {"code": code, **more}
    return json.dumps(
        {"type": "bundle_update", "payload": payload, "timestamp": 1},
        separators=(",", ":"),
        ensure_ascii=ascii_only,
    ).encode("utf-8", "surrogatepass")


def rechunk(text: bytes, step: int, most: int | None = None) -> list[dict[str, object]]:
    rechunker = Rechunker(most or len(text), 7)
    built: list[bytes] = []
    for at in range(0, len(text), step):
        built += rechunker.feed(text[at : at + step], at + step >= len(text))
    return [json.loads(one) for one in built]


def joined(messages: list[dict[str, object]]) -> str:
    start, *rest = messages
    assert start["type"] == "bundle_start"
    assert [one["index"] for one in rest] == list(range(len(rest)))
    assert {one["totalChunks"] for one in rest} == {start["totalChunks"]} == {len(rest)}
    code = "".join(str(one["data"]) for one in rest)
    return code.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


class Rechunking(SynchronousTestCase):
    def test_real_sizes(self) -> None:
        line = 'var s = "a\\\\b\\"c\\n", e = "é€𝄞\u2028";\n'
        code = line * 40_000
        for ascii_only in (False, True):
            text = message(code, ascii_only, sourceMap="{}")
            messages = rechunk(text, 65_536)
            self.assertEqual(joined(messages), code)
            for one in messages[1:]:
                self.assertLessEqual(len(json.dumps(one["data"])), CHUNK_BYTES * 2)
            self.assertGreater(len(messages), 3)

    def test_unknown_length_ends_in_empty_chunks(self) -> None:
        messages = rechunk(message("x" * 2_000_000), 50_000, most=10_000_000)
        self.assertEqual(joined(messages), "x" * 2_000_000)
        self.assertEqual(messages[-1]["data"], "")

    def test_message_that_ends_inside_of_the_code(self) -> None:
        with self.assertRaises(NotABundle):
            rechunk(message("x" * 100)[:80], 10_000)

    def test_what_is_a_bundle(self) -> None:
        self.assertTrue(begins_bundle(message("x")))
        self.assertTrue(begins_bundle(b'{ "type": "bundle_update", "payload": { "code": "'))
        self.assertTrue(begins_bundle(b'{"type":"bundle_update","timestamp":5,"payload":{"code":"'))
        self.assertTrue(
            begins_bundle(b'{"type":"bundle_update","targetDeviceId":"a:b","payload":{"code":"')
        )
        self.assertFalse(begins_bundle(b'{"type":"bundle_update","payload":{"sourceMap":"'))
        self.assertFalse(begins_bundle(b'{"type":"reload"}'))

    @settings(deadline=None, max_examples=200)
    @given(
        st.text(st.sampled_from('\\"\n\u20ac\U0001d11eab\ud800'), max_size=200),
        st.booleans(),
        st.integers(60, 400),
        st.integers(20, 60),
    )
    def test_any_code_any_split(
        self, code: str, ascii_only: bool, step: int, chunk_bytes: int
    ) -> None:
        if not ascii_only:
            code = code.replace("\ud800", "")
        self.patch(chunks, "CHUNK_BYTES", chunk_bytes)
        messages = rechunk(message(code, ascii_only), step)
        self.assertEqual(joined(messages), code)
