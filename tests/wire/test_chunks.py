"""`apptuner_relay.wire.chunks`: one message becomes chunks that join to the same code."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire import chunks
from apptuner_relay.wire.chunks import (
    CHUNK_BYTES,
    LOOK_AHEAD_BYTES,
    NotABundle,
    Rechunker,
    TextPart,
    begins_bundle,
)


def message(code: str, ascii_only: bool = False, **more: object) -> bytes:
    payload = {"code": code, **more}
    return json.dumps(
        {"type": "bundle_update", "payload": payload, "timestamp": 1},
        separators=(",", ":"),
        ensure_ascii=ascii_only,
    ).encode("utf-8", "surrogatepass")


MIB = 1024 * 1024
LIMIT = 50 * MIB


def feed(rechunker: Rechunker, text: bytes, step: int) -> list[TextPart]:
    parts: list[TextPart] = []
    for at in range(0, len(text), step):
        parts += rechunker.feed(text[at : at + step], at + step >= len(text))
    return parts


def texts(parts: list[TextPart]) -> list[bytes]:
    """The messages that those are parts of."""
    built: list[bytes] = []
    inside = False
    for text, first, last in parts:
        assert first is not inside
        if first:
            built.append(b"")
        built[-1] += text
        inside = not last
    assert not inside
    return built


def rechunk(text: bytes, step: int) -> list[dict[str, object]]:
    """Of a message of known length."""
    return [json.loads(one) for one in texts(feed(Rechunker(7, len(text)), text, step))]


def guessed(text: bytes, step: int, expected: int | None = None) -> list[dict[str, object]]:
    """Of one whose length is not known, and may be expected to be so."""
    guess = None if expected is None else lambda: expected
    parts = feed(Rechunker(7, LIMIT, False, guess), text, step)
    return [json.loads(one) for one in texts(parts)]


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

    def test_unknown_length_of_a_small_one_is_found_out(self) -> None:
        code = "x" * LOOK_AHEAD_BYTES
        messages = guessed(message(code), 50_000)
        self.assertEqual(joined(messages), code)
        self.assertEqual(len(messages), 1 + 5)
        self.assertEqual(messages[0]["totalSize"], len(code))

    def test_unknown_length_that_is_guessed_well(self) -> None:
        for length in (MIB, 5 * MIB, 8 * MIB):
            for error in (0.95, 1.0, 1.05):
                messages = guessed(message("x" * length), 200_000, int(length * error))
                self.assertEqual(joined(messages), "x" * length)
                self.assertLessEqual(len(messages), length / CHUNK_BYTES * 1.12 + 8)
                longest = max(len(str(one.get("data", ""))) for one in messages)
                self.assertLessEqual(longest, 2 * CHUNK_BYTES)

    def test_a_long_one_of_guessed_length_goes_in_longer_chunks(self) -> None:
        code = "x" * (49 * MIB)
        messages = guessed(message(code), 500_000, len(code))
        self.assertEqual(joined(messages), code)
        self.assertLess(len(messages), 72)
        self.assertLess(max(len(str(one.get("data", ""))) for one in messages), MIB)

    def test_unknown_length_that_nobody_can_guess(self) -> None:
        code = "x" * (2 * MIB)
        messages = guessed(message(code), 500_000)
        self.assertEqual(joined(messages), code)
        self.assertLess(len(messages), 72)

    def test_no_piece_of_a_message_is_long(self) -> None:
        code = "x" * (20 * MIB)
        parts = feed(Rechunker(7, LIMIT, False, lambda: MIB), message(code), 300_000)
        self.assertLess(max(len(part.text) for part in parts), CHUNK_BYTES + 200)
        self.assertEqual(joined([json.loads(one) for one in texts(parts)]), code)

    @settings(deadline=None, max_examples=60)
    @given(
        st.integers(0, 6 * MIB),
        st.integers(0, 60 * MIB),
        st.sampled_from([10_000, 65_536, 600_000]),
        st.sampled_from(["x", "\\", "é", "\n𝄞"]),
    )
    def test_never_many_more_messages_than_the_length_asks_for(
        self, length: int, expected: int, step: int, unit: str
    ) -> None:
        """Whatever was guessed."""
        code = unit * (length // len(unit.encode()))
        text = message(code)
        for messages in (rechunk(text, step), guessed(text, step, expected)):
            self.assertEqual(joined(messages), code)
            self.assertLessEqual(len(messages), len(text) / CHUNK_BYTES + 72)
        self.assertLessEqual(len(rechunk(text, step)), len(text) / CHUNK_BYTES + 3)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2 * MIB), st.integers(0, 60 * MIB), st.integers(1, 5), st.integers(1, 5))
    def test_somebody_else_can_go_on_with_the_plan(
        self, length: int, expected: int, step: int, other_step: int
    ) -> None:
        text = message(("a\n\\é" * (length // 4))[:length])
        first = Rechunker(7, LIMIT, False, lambda: expected)
        parts = feed(first, text, step * 100_000)
        second = Rechunker(7, LIMIT, False, None, first.plan)
        self.assertEqual(feed(second, text, other_step * 70_000), parts)

    def test_message_that_ends_inside_of_the_code(self) -> None:
        with self.assertRaises(NotABundle):
            rechunk(message("x" * 100)[:80], 10_000)

    def test_message_that_ends_before_the_code(self) -> None:
        with self.assertRaises(NotABundle):
            rechunk(message("x" * 100)[:20], 10_000)

    def test_last_piece_that_begins_behind_the_code(self) -> None:
        """Something comes of it, or nobody would hear that the bundle has ended."""
        for more in ({}, {"sourceMap": "m" * 300_000}):
            text = message("x" * 1_000_000, **more)
            whole = texts(feed(Rechunker(7, len(text)), text, len(text)))
            for behind in range(1, 25):
                rechunker = Rechunker(7, len(text))
                parts = rechunker.feed(text[:-behind], False)
                last = rechunker.feed(text[-behind:], True)
                self.assertTrue(last, behind)
                self.assertEqual(texts(parts + last), whole)

    def test_first_piece_that_ends_before_the_code(self) -> None:
        """As where a block that was received ends just behind the beginning of a message."""
        text = message("x" * 300)
        for at in range(60):
            parts = [feed(Rechunker(7, len(text)), text, step) for step in (len(text), at + 1)]
            self.assertEqual(*map(texts, parts))

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
        st.integers(1, 400),
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
