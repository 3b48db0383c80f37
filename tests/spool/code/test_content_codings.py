"""`apptuner_relay.spool.code.content_codings`: what is encoded can be decoded, and is the same."""

import gzip
import itertools

import brotli
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool import bundle
from apptuner_relay.spool.code.content_codings import CODINGS, Encoder

CODE = b"".join(b"function f%d() { return %d }\n" % (n, n * 7919) for n in range(8000))


def decoded(coding: str, data: bytes) -> bytes:
    """``data`` without its content coding."""
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        plain: bytes = brotli.decompress(data)
        return plain
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def encoded(coding: str, pieces: list[bytes]) -> bytes:
    encoder = Encoder(coding)
    return b"".join(map(encoder.feed, pieces)) + encoder.finish()


class EncoderTest(SynchronousTestCase):
    def test_codings_are_those_that_are_served(self) -> None:
        self.assertEqual(CODINGS, bundle.CODINGS)

    def test_another_coding(self) -> None:
        with self.assertRaises(KeyError):
            Encoder("deflate")

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(0, len(CODE)), max_size=5))
    def test_same_bytes_whatever_pieces_it_is_fed(self, cuts: list[int]) -> None:
        at = sorted({0, len(CODE), *cuts})
        pieces = [CODE[start:stop] for start, stop in itertools.pairwise(at)]
        for coding in CODINGS:
            made = encoded(coding, pieces)
            self.assertEqual(made, encoded(coding, [CODE]))
            self.assertEqual(decoded(coding, made), CODE)

    def test_nothing(self) -> None:
        for coding in CODINGS:
            self.assertEqual(decoded(coding, encoded(coding, [])), b"")
