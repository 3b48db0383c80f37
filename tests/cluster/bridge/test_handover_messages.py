"""What two relays say to each other when a session moves, however damaged or cut up."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.handover_messages import (
    MOST_BYTES,
    BadHandoverMessage,
    BundleDescription,
    MessageAssembler,
    read_description,
    read_message,
    write_message,
)
from apptuner_relay.flow.series import MOST_CHUNKS, Series
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.wire.frames import BINARY
from tests.memory import server_frames

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("single", "chunks", "size", "type", "x")), inner)
    ),
    max_leaves=8,
)


class Messages(SynchronousTestCase):
    @given(st.dictionaries(st.text().filter(lambda key: key not in ("type", "kind")), st.text()))
    def test_what_is_written_is_read(self, fields: dict[str, str]) -> None:
        [(opcode, fin, payload)] = server_frames(write_message("offer", **fields))
        self.assertEqual((opcode, fin), (BINARY, True))
        self.assertEqual(read_message(payload), {"type": "offer", **fields})

    @given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
    def test_anything_else(self, data: bytes) -> None:
        try:
            message = read_message(data)
        except BadHandoverMessage:
            return
        self.assertIsInstance(message["type"], str)

    def test_deeply_nested(self) -> None:
        for text in (b"[" * 100_000, b'{"type":' * 50_000):
            self.assertRaises(BadHandoverMessage, read_message, text)


class Assembling(SynchronousTestCase):
    @given(st.lists(st.tuples(st.text(max_size=20), st.integers(1, 5)), min_size=1, max_size=5))
    def test_in_whatever_pieces_it_comes(self, messages: list[tuple[str, int]]) -> None:
        assembler = MessageAssembler()
        for text, count in messages:
            data = json.dumps({"type": "x", "text": text}).encode()
            size = -(-len(data) // count)
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            for piece in pieces[:-1]:
                self.assertIsNone(assembler.feed(piece, False))
                self.assertTrue(assembler.is_inside)
            self.assertEqual(assembler.feed(pieces[-1], True), {"type": "x", "text": text})
            self.assertFalse(assembler.is_inside)

    def test_no_more_than_so_much_is_kept(self) -> None:
        assembler = MessageAssembler()
        block = b" " * (MOST_BYTES // 4)
        for _ in range(4):
            assembler.feed(block, False)
        self.assertRaises(BadHandoverMessage, assembler.feed, b" ", False)


class Descriptions(SynchronousTestCase):
    @given(
        st.none() | st.integers(1, MOST_CHUNKS),
        st.none() | st.integers(0, 2**40),
        st.integers(0, 2**40),
        st.floats(0, 1e9),
    )
    def test_what_is_written_is_read(
        self, chunks: int | None, announced: int | None, size: int, age_s: float
    ) -> None:
        form = StoredForm(Series(chunks), announced, 1234)
        described = BundleDescription(form, size, age_s)
        found = read_description(json.loads(json.dumps(described.to_json())))
        self.assertEqual((found.size, found.age_s), (size, age_s))
        self.assertEqual((found.form.size, found.form.began_ms), (announced, 1234))
        self.assertEqual(
            (found.form.series.single, found.form.series.chunks), (chunks is None, chunks or 0)
        )

    def test_chunks_that_no_bundle_has(self) -> None:
        row = BundleDescription(StoredForm(Series(2), None, 0), 1, 0.0).to_json()
        for chunks in (0, -1, MOST_CHUNKS + 1, "x", None, 1e999):
            self.assertRaises(BadHandoverMessage, read_description, row | {"chunks": chunks})

    @given(anything)
    def test_anything_else(self, value: Any) -> None:
        try:
            read_description(value)
        except BadHandoverMessage:
            return

    @given(
        st.fixed_dictionaries(
            dict.fromkeys(("single", "chunks", "announced", "began_ms", "size", "age_s"), anything)
        )
    )
    def test_the_right_fields_with_anything_in_them(self, value: Any) -> None:
        self.test_anything_else.hypothesis.inner_test(self, value)
