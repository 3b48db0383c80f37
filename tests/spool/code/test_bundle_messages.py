"""`apptuner_relay.spool.code.bundle_messages`: any code, as a CLI sends it."""

import io
import json

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.spool.code.bundle_messages import CHUNK_BYTES, MessageWriter
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault
from tests.spool.code.patch_texts import AWKWARD
from tests.spool.code.test_json_string import CUTS, pieces


def written(code: str, cuts: list[int], longest: int = 10**9) -> list[bytes]:
    """The messages, each checked to be a line of JSON."""
    data, out = code.encode(), io.BytesIO()
    writer = MessageWriter(out, len(data), utf16_length(code), 5, longest)
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

    def test_a_message_above_the_limit(self) -> None:
        for code in ("x" * 100, "\n" * (CHUNK_BYTES + 1)):
            with self.assertRaises(BadPatch) as caught:
                written(code, [], 100 if len(code) == 100 else CHUNK_BYTES + 100)
            self.assertIs(caught.exception.fault, PatchFault.TOO_BIG)
