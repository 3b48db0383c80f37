"""What the tests of this room feed on: bundles in their wire form, and a file of it to follow."""

import hashlib
import json
from collections.abc import Sequence

from apptuner_relay.wire.deflate import Deflation
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, frame
from tests.memory import finished

CODE = 'var s = "a\\\\b\\"c\\n", e = "é€𝄞\u2028";\n'
CHUNK_CHARACTERS = 512 * 1024


def as_javascript_encodes(code: str) -> bytes:
    """UTF-8 as TextEncoder makes it of a JavaScript string, whose lone surrogates may be in it."""
    return code.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def sha256(code: str) -> str:
    """The content address."""
    return hashlib.sha256(as_javascript_encodes(code)).hexdigest()


def message(text: bytes, compressed: bool = False, parts: int = 1, streams: int = 1) -> bytes:
    """A message in ``parts`` frames of about the same size; compressed as ``streams`` finished
    ones, if those are several."""
    opcode = TEXT
    if compressed:
        opcode |= COMPRESSED
        if streams > 1:
            step = -(-len(text) // streams)
            text = finished(*(text[at : at + step] for at in range(0, len(text), step)))
        else:
            text = Deflation().feed(text, True)
    step = max(1, -(-len(text) // parts))
    pieces = [text[at : at + step] for at in range(0, len(text), step)] or [b""]
    return b"".join(
        frame(CONTINUATION if i else opcode, piece, i == len(pieces) - 1)
        for i, piece in enumerate(pieces)
    )


def update(code: str, compressed: bool = False, parts: int = 1, streams: int = 1) -> bytes:
    """``bundle_update``, as `JSON.stringify` writes it."""
    text = {"type": "bundle_update", "payload": {"code": code}, "timestamp": 1}
    return message(stringified(text), compressed, parts, streams)


def chunks(
    pieces: Sequence[str], compressed: bool = False, total: int | None = None, parts: int = 1
) -> bytes:
    """``bundle_start`` and a ``bundle_chunk`` for each of ``pieces``."""
    total = len(pieces) if total is None else total
    start = {"type": "bundle_start", "totalChunks": total, "totalSize": 1, "timestamp": 1}
    wire = message(stringified(start), compressed)
    for index, piece in enumerate(pieces):
        chunk = {"type": "bundle_chunk", "index": index, "totalChunks": total, "data": piece}
        wire += message(stringified(chunk), compressed, parts)
    return wire


def stringified(value: object) -> bytes:
    """JSON as JavaScript writes it: lone surrogates, and nothing else above ASCII, escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")
