"""`apptuner_relay.spool.code.dictionary_coding`: code in ``dcz``."""

import hashlib
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.dictionary_coding import DictionaryEncoder
from apptuner_relay.spool.code.extraction import Unreadable
from apptuner_relay.support import zstd_library
from apptuner_relay.wire.dictionary_transport import DCZ_HEADER_BYTES, read_dcz_header

zstd: Any = zstd_library.load()
MIB = 1024 * 1024


def decoded(body: bytes, base: bytes) -> bytes:
    """What a client makes of a body in ``dcz``, within the window that Chromium allows."""
    assert read_dcz_header(body) == hashlib.sha256(base).hexdigest()
    limit = {zstd.DecompressionParameter.window_log_max: 27}
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    decoder = zstd.ZstdDecompressor(zstd_dict=prefix, options=limit)
    code: bytes = decoder.decompress(body[DCZ_HEADER_BYTES:])
    assert decoder.eof and not decoder.unused_data
    return code


def encoded(code: bytes, base: bytes, piece: int = 10**9) -> bytes:
    encoder = DictionaryEncoder(base, hashlib.sha256(base).hexdigest(), len(code))
    pieces = [code[at : at + piece] for at in range(0, len(code), piece)]
    return b"".join(map(encoder.feed, pieces)) + encoder.finish()


def some_code(size: int) -> bytes:
    """Code in which little is there twice."""
    return random.Random(3).randbytes(size // 2).hex().encode()


class EncoderTest(SynchronousTestCase):
    skip = None if zstd is not None else "needs backports.zstd: the extra delta"

    @given(st.binary(min_size=8, max_size=300), st.binary(max_size=300), st.integers(1, 100))
    def test_any_code_and_pieces(self, base: bytes, code: bytes, piece: int) -> None:
        body = encoded(code, base, piece)
        self.assertEqual(decoded(body, base), code)

    def test_what_has_changed_and_little_more(self) -> None:
        base = some_code(9 * MIB)
        code = base[: 5 * MIB] + b"log('here');" + base[5 * MIB :] + b"ID = 2"
        for piece in (64 * 1024, 128 * 1024):
            body = encoded(code, base, piece)
            self.assertLess(len(body), 2_000)
            self.assertEqual(body, encoded(code, base))
        self.assertEqual(decoded(body, base), code)

    def test_the_frame_has_its_size_and_a_checksum(self) -> None:
        base = some_code(MIB)
        code = base + b"more"
        body = bytearray(encoded(code, base))
        info = zstd.get_frame_info(bytes(body[DCZ_HEADER_BYTES:]))
        self.assertEqual(info.decompressed_size, len(code))
        other = bytes(reversed(base))
        with self.assertRaises(zstd.ZstdError):
            decoded(body[:8] + hashlib.sha256(other).digest() + body[DCZ_HEADER_BYTES:], other)

    def test_without_the_library(self) -> None:
        self.patch(zstd_library, "load", lambda: None)
        self.assertRaises(Unreadable, encoded, b"x" * 10, b"x" * 10)
