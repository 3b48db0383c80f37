"""`apptuner_relay.client.dictionary_reader`: what a relay encodes, and nothing else."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.dictionary_reader import DictionaryReader, Undecodable
from apptuner_relay.spool.code.dictionary_coding import DictionaryEncoder
from apptuner_relay.support import zstd_library

from .bundle_server import sha256

BASE = b"var base = 'what is here';\n" * 40


class ReaderTests(SynchronousTestCase):
    skip = None if zstd_library.is_installed() else "needs backports.zstd: the extra delta"

    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.base.write_bytes(BASE)

    def read(self, body: bytes, size: int = 1000) -> bytes:
        with DictionaryReader(io.BytesIO(body), self.base) as reader:
            return b"".join(iter(lambda: reader.read(size), b""))

    @staticmethod
    def encoded(code: bytes, base: bytes = BASE) -> bytes:
        encoder = DictionaryEncoder(base, sha256(base), len(code))
        return encoder.feed(code) + encoder.finish()

    @given(st.binary(max_size=3000), st.integers(1, 5000), st.integers(0, 1000))
    def test_what_a_relay_encodes(self, more: bytes, size: int, at: int) -> None:
        code = BASE[:at] + more + BASE[at:]
        self.assertEqual(self.read(self.encoded(code), size), code)

    @given(st.data())
    def test_a_part_of_it(self, data: st.DataObject) -> None:
        body = self.encoded(BASE + b"more")
        cut = body[: data.draw(st.integers(0, len(body) - 1))]
        self.assertRaises(Undecodable, self.read, cut)

    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        code = BASE + b"some more text that is new"
        body = bytearray(self.encoded(code))
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= data.draw(st.integers(1, 255))
        with contextlib.suppress(Undecodable):
            self.assertEqual(self.read(bytes(body)), code)

    @given(st.binary(max_size=100))
    def test_garbage(self, garbage: bytes) -> None:
        header = self.encoded(b"")[:40]
        for body in (garbage, header + garbage):
            with contextlib.suppress(Undecodable):
                self.assertEqual(self.read(body), b"")

    def test_more_than_it(self) -> None:
        body = self.encoded(b"code")
        for rest in (b"x", body):
            self.assertRaises(Undecodable, self.read, body + rest)

    def test_another_dictionary(self) -> None:
        body = self.encoded(BASE, BASE + b"x")
        error = self.assertRaises(Undecodable, self.read, body)
        self.assertIn("another dictionary", str(error))
        small = Path(self.mktemp())
        small.write_bytes(b"short")
        self.base = small
        self.assertRaises(Undecodable, self.read, self.encoded(BASE))

    def test_a_window_that_is_too_long(self) -> None:
        zstd = zstd_library.load()
        options = {
            zstd.CompressionParameter.window_log: 28,
            zstd.CompressionParameter.content_size_flag: 0,
        }
        compressor = zstd.ZstdCompressor(options=options)
        frame = compressor.compress(b"x" * 1000) + compressor.flush()
        error = self.assertRaises(Undecodable, self.read, self.encoded(b"")[:40] + frame)
        self.assertTrue(str(error))

    def test_without_the_library(self) -> None:
        self.patch(zstd_library, "load", lambda: None)
        self.assertRaises(ValueError, DictionaryReader, io.BytesIO(), self.base)
