"""`apptuner_relay.web.upload_body`: what a body becomes, and what is no body of a bundle."""

import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.upload_body import MOST_BLOCK_BYTES, UploadBody, read_coding

MIB = 1024 * 1024


def blocks(body: UploadBody, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from body.feed(piece)
    yield body.finish(1764412800000)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


class UploadBodyTest(SynchronousTestCase):
    def assertRefused(self, status: int, coding: str, *pieces: bytes, limit: int = MIB) -> None:
        body = UploadBody(coding, limit)
        wrong = self.assertRaises(BadRequest, lambda: list(blocks(body, pieces)))
        self.assertEqual(wrong.status, status)

    @given(
        st.text(min_size=1), st.lists(st.integers(0, 1000), max_size=5), st.sampled_from([0, 1, 9])
    )
    def test_a_message_of_it(self, code: str, places: list[int], level: int) -> None:
        data = code.encode()
        coding = "gzip" if level else "identity"
        sent = gzip.compress(data, level) if level else data
        body = UploadBody(coding, MIB)
        message = json.loads(b"".join(blocks(body, cut(sent, places))))
        self.assertEqual(
            message,
            {"type": "bundle_update", "payload": {"code": code}, "timestamp": 1764412800000},
        )
        self.assertEqual(body.sha256, hashlib.sha256(data).hexdigest())
        self.assertEqual(body.size, len(data))

    def test_no_body_of_a_bundle(self) -> None:
        packed = gzip.compress(b"console.log(1)")
        for coding, pieces in (
            ("identity", []),
            ("identity", [b"a\xff"]),
            ("identity", [b"a\xe2\x82"]),
            ("gzip", [b"console.log(1)"]),
            ("gzip", [packed[:-1]]),
            ("gzip", [packed, b"x"]),
            ("gzip", [packed + packed]),
            ("gzip", [gzip.compress(b"")]),
            ("gzip", [gzip.compress(b"\xff")]),
        ):
            with self.subTest(coding=coding, pieces=pieces):
                self.assertRefused(400, coding, *pieces)

    def test_as_long_as_a_message_may_be(self) -> None:
        body = UploadBody("identity", 1000)
        message = b"".join(blocks(body, [b"x" * 900]))
        self.assertLessEqual(len(message), 1000)
        self.assertRefused(413, "identity", b"x" * 1000, limit=1000)
        # What counts is how long it is as JSON.
        self.assertRefused(413, "identity", b'"' * 500, limit=1000)

    def test_a_bomb_is_undone_bit_by_bit(self) -> None:
        bomb = gzip.compress(b"a" * (32 * MIB))
        body = UploadBody("gzip", 64 * MIB)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for block in body.feed(bomb):
            self.assertLessEqual(len(block), MOST_BLOCK_BYTES)
        self.assertEqual(body.size, 32 * MIB)
        self.assertLess(tracemalloc.get_traced_memory()[1], 8 * MIB)

    def test_codings(self) -> None:
        for field, coding in (
            (None, "identity"),
            ("", "identity"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
        ):
            self.assertEqual(read_coding(field), coding)
        for field in ("br", "zstd", "gzip, gzip", "aws-chunked"):
            wrong = self.assertRaises(BadRequest, read_coding, field)
            self.assertEqual(wrong.status, 415)
