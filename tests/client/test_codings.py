"""`apptuner_relay.client.codings`: content codings, whole and damaged."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.codings import COMPRESSED, Garbled, unpack

from .bundle_server import ENCODERS, sha256


class CodingTests(SynchronousTestCase):
    @given(st.binary(max_size=2000), st.sampled_from(["identity", *COMPRESSED]))
    def test_what_was_encoded(self, code: bytes, coding: str) -> None:
        class Kept(io.BytesIO):
            def close(self) -> None:
                self.kept = self.getvalue()
                super().close()

        source, into = io.BytesIO(ENCODERS[coding](code)), Kept()
        content = unpack(source, coding, into, 2000)
        self.assertEqual((content.sha256, content.size), (sha256(code), len(code)))
        self.assertEqual(into.kept, code)
        self.assertTrue(source.closed)

    @given(st.binary(max_size=200), st.sampled_from(COMPRESSED))
    def test_garbage(self, garbage: bytes, coding: str) -> None:
        into = io.BytesIO()
        try:
            unpack(io.BytesIO(garbage), coding, into, 10**6)
        except Garbled as error:
            self.assertIn(coding, str(error))
        self.assertTrue(into.closed)

    def test_the_limit_is_exact(self) -> None:
        for coding, encode in ENCODERS.items():
            self.assertEqual(unpack(io.BytesIO(encode(b"xy")), coding, None, 2).size, 2)
            self.assertRaises(Garbled, unpack, io.BytesIO(encode(b"xy")), coding, None, 1)

    def test_a_coding_that_is_unknown(self) -> None:
        self.assertRaises(ValueError, unpack, io.BytesIO(), "br", None, 1)
