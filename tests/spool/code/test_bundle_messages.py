"""`apptuner_relay.spool.code.bundle_messages`: any code, as a CLI sends it."""

import io
import json

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.spool.code.bundle_messages import CHUNK_BYTES, MessageWriter, bundle_start
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from tests.spool.code.patch_texts import AWKWARD
from tests.spool.code.test_json_string import CUTS, pieces


def written(code: str, cuts: list[int], longest: int = 10**9) -> list[bytes]:
    """The messages, each checked to be a line of JSON."""
    data, out = code.encode(), io.BytesIO()
    start = bundle_start(len(data), utf16_length(code), 5, longest)
    if start is not None:
        out.write(start + b"\n")
    writer = MessageWriter(out, len(data), 5, longest)
    for piece in pieces(data, cuts):
        writer.write(piece)
    writer.finish()
    return out.getvalue().splitlines(keepends=False) if out.getvalue().endswith(b"\n") else []


def joined(lines: list[bytes]) -> str:
    """What a phone makes of them."""
    first, *chunks = map(json.loads, lines)
    if first["type"] == "bundle_update":
        assert not chunks and first["timestamp"] == 5
        code: str = first["payload"]["code"]
        return code
    assert first["totalChunks"] == len(chunks)
    assert [chunk["index"] for chunk in chunks] == list(range(len(chunks)))
    code = "".join(chunk["data"] for chunk in chunks)
    assert first["totalSize"] == utf16_length(code)
    return code


class Messages(SynchronousTestCase):
    @given(st.text(st.sampled_from(AWKWARD), max_size=60), CUTS, st.integers(4, 9))
    @example("🛒" * 6, [], 6)
    def test_any_code_in_any_pieces(self, code: str, cuts: list[int], chunk: int) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", chunk)
        self.assertEqual(joined(written(code, cuts)), code)

    def test_chunks_begin_above_half_a_mebibyte(self) -> None:
        self.assertEqual(len(written("x" * CHUNK_BYTES, [])), 1)
        lines = written("é" * CHUNK_BYTES, [])
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith(b'{"type":"bundle_start","totalChunks":2,'))

    @given(st.sampled_from("x\0é🛒"), st.integers(1, 1500), st.integers(1024, 1500))
    def test_no_message_is_above_the_limit(self, character: str, count: int, longest: int) -> None:
        code = character * count
        lines = written(code[: longest // len(character.encode())], [], longest)
        self.assertLessEqual(max(map(len, lines)), longest)
        joined(lines)
