"""`apptuner_relay.wire.deflate`: looking into compressed messages, and making them."""

import random
import struct
import zlib
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire import deflate
from apptuner_relay.wire.deflate import (
    BombGuard,
    Deflation,
    Inflation,
    codec,
    inflate_head,
    may_exceed,
)
from apptuner_relay.wire.frames import FrameError
from tests.memory import DEFLATE_TAIL, deflated, finished, inflated

LIMIT = 50 * 1024 * 1024


def inflate(payload: bytes, step: int, most: int = 1000, limit: int = LIMIT) -> bytes:
    inflation = Inflation(limit)
    out = b""
    for at in range(0, max(1, len(payload)), step):
        inflation.feed(payload[at : at + step], at + step >= len(payload))
        while data := inflation.read(most):
            out += data
    return out


class Inflating(SynchronousTestCase):
    def test_it_tells_when_what_it_was_fed_is_used_up(self) -> None:
        inflation = Inflation(LIMIT)
        payload = deflated(b"abc" * 100_000)
        inflation.feed(memoryview(payload), False)
        self.assertEqual(len(inflation.read(1000)), 1000)
        self.assertFalse(inflation.is_used_up)
        while len(inflation.read(1000)) == 1000:
            pass
        self.assertTrue(inflation.is_used_up)
        self.assertEqual(inflation.size, 300_000)

    @settings(deadline=None)
    @given(
        st.binary(max_size=3000) | st.text(max_size=50).map(lambda t: t.encode() * 100),
        st.integers(0, 9),
        st.integers(1, 500),
        st.integers(1, 500),
    )
    def test_any_message_any_split(self, data: bytes, level: int, step: int, most: int) -> None:
        self.assertEqual(inflate(deflated(data, level), step, most), data)

    @settings(deadline=None)
    @given(
        st.lists(st.binary(max_size=400) | st.text(max_size=9).map(lambda t: t.encode() * 60)),
        st.integers(0, 9),
        st.integers(1, 500),
        st.integers(1, 500),
    )
    def test_finished_streams_are_one_message(
        self, parts: list[bytes], level: int, step: int, most: int
    ) -> None:
        payload = finished(*parts, level=level)
        for library in (codec, zlib):
            with mock.patch.object(deflate, "codec", library):
                self.assertEqual(inflate(payload, step, most), b"".join(parts))

    def test_blocks_of_both_kinds_in_one_message(self) -> None:
        # The 0x00 that ends a payload is the start of an empty block elsewhere.
        parts = finished(b"one, "), deflated(b"two, "), finished(b"three")
        payload = DEFLATE_TAIL.join(parts)
        for step in (1, 2, 7, 1000):
            self.assertEqual(inflate(payload, step), b"one, two, three")

    def test_final_block_at_the_very_end(self) -> None:
        payload = finished(b"hello" * 50)
        for whole in (payload, payload[:-1]):
            for step in (7, 1000):
                self.assertEqual(inflate(whole, step), b"hello" * 50)

    def test_all_streams_count(self) -> None:
        payload = finished(b"x" * 600, b"y" * 401)
        self.assertEqual(len(inflate(payload, 5, limit=1001)), 1001)
        with self.assertRaises(FrameError) as caught:
            inflate(payload, 5, limit=1000)
        self.assertEqual(caught.exception.code, 1009)

    def test_streams_that_bring_little_come_out_together(self) -> None:
        inflation = Inflation(LIMIT)
        inflation.feed(finished(*(b"%d" % (i % 10) for i in range(60))), True)
        self.assertEqual(inflation.read(), b"0123456789" * 6)

    def test_far_more_streams_than_content_are_refused(self) -> None:
        """To begin a stream costs more than the three bytes that one may have."""
        inflate(finished(*[b"x"] * 60), 1000)
        noise = random.Random(1).randbytes(2000)
        inflate(finished(*[noise] * 300), 1000)
        for step in (3, 1000, 1_000_000):
            with self.assertRaises(FrameError) as caught:
                inflate(finished(*[b"x"] * 100, noise * 500), step)
            self.assertEqual(caught.exception.code, 1007)

    def test_what_follows_a_final_block_is_deflate_too(self) -> None:
        with self.assertRaises(FrameError) as caught:
            inflate(finished(b"hello")[:-1] + b"\x06\xff\xff and more", 9)
        self.assertEqual(caught.exception.code, 1007)

    def test_noise_is_refused(self) -> None:
        with self.assertRaises(FrameError) as caught:
            inflate(b"\x06\xff\xff" + b"nothing of deflate" * 10, 50)
        self.assertEqual(caught.exception.code, 1007)

    def test_the_tail_is_not_content(self) -> None:
        """A stored block that is cut right before its content takes what the relay puts behind."""
        for length in (5, 9):
            with self.assertRaises(FrameError) as caught:
                inflate(struct.pack("<BHH", 1, length, 0xFFFF - length), 9)
            self.assertEqual(caught.exception.code, 1007)

    def test_a_message_that_ends_inside_of_a_block_is_refused(self) -> None:
        whole = deflated(b"function f(){return 1}" * 40)
        for cut in range(1, len(whole) - 1):
            with self.assertRaises(FrameError) as caught:
                inflate(whole[:cut], 9)
            self.assertEqual(caught.exception.code, 1007)

    def test_limit(self) -> None:
        self.assertEqual(len(inflate(deflated(b"x" * 1000), 10, limit=1000)), 1000)
        with self.assertRaises(FrameError) as caught:
            inflate(deflated(b"x" * 1001), 10, limit=1000)
        self.assertEqual(caught.exception.code, 1009)

    def test_head(self) -> None:
        payload = deflated(b'{"type":"bundle_update"' + b"x" * 5000)
        self.assertEqual(inflate_head(payload, 10, True), (b'{"type":"b', False))
        short = deflated(b"{}")
        self.assertEqual(inflate_head(short, 10, True), (b"{}", True))
        self.assertEqual(inflate_head(short, 2, True), (b"{}", True))
        self.assertEqual(inflate_head(payload[:1], 10, False)[0], b"")

    def test_head_over_several_streams(self) -> None:
        payload = finished(b'{"type"', b':"ping"', b"}")
        self.assertEqual(inflate_head(payload, 50, True), (b'{"type":"ping"}', True))
        self.assertEqual(inflate_head(payload, 10, True), (b'{"type":"p', False))

    @given(st.binary(max_size=200))
    def test_head_of_anything_is_read_or_refused(self, payload: bytes) -> None:
        try:
            head, _ = inflate_head(payload, 64, True)
        except FrameError as refusal:
            self.assertEqual(refusal.code, 1007)
        else:
            self.assertLessEqual(len(head), 64)


class Deflating(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=500), min_size=1, max_size=6))
    def test_what_comes_out_inflates(self, pieces: list[bytes]) -> None:
        deflation = Deflation()
        last = len(pieces) - 1
        payload = b"".join(deflation.feed(piece, i == last) for i, piece in enumerate(pieces))
        self.assertEqual(inflated(payload), b"".join(pieces))
        self.assertFalse(payload.endswith(DEFLATE_TAIL))


class Bombs(SynchronousTestCase):
    def guard(self, payload: bytes, step: int, thorough: bool = False) -> None:
        guard = BombGuard(LIMIT, thorough, text=False)
        for at in range(0, len(payload), step):
            piece = memoryview(payload)[at : at + step]
            guard.check(piece, at + step >= len(payload))

    def refused(self, payload: bytes, step: int, thorough: bool = False) -> None:
        with self.assertRaises(FrameError) as caught:
            self.guard(payload, step, thorough)
        self.assertEqual(caught.exception.code, 1009)

    def test_plain_bomb(self) -> None:
        bomb = deflated(b'{"type":"bundle_update"}' + b"a" * (LIMIT + 1))
        self.refused(bomb, 65_536)
        self.refused(bomb, 1000)

    def test_bomb_behind_a_harmless_start(self) -> None:
        start = bytes(range(256)) * 4 + b"".join(i.to_bytes(4, "big") for i in range(60_000))
        self.refused(deflated(start + b"\x00" * 3 * LIMIT), 60_000)

    def test_bomb_behind_a_final_block(self) -> None:
        bomb = finished(b'{"type":"bundle_update"}', b"a" * (LIMIT + 1))
        for thorough in (False, True):
            self.refused(bomb, 65_536, thorough)
            self.refused(bomb, 1000, thorough)

    def test_thorough_counts_everything(self) -> None:
        varied = b"".join(b"%07d" % (i * 7919 % 9_999_991) for i in range(LIMIT // 7 + 1))
        payload = deflated(varied, 1)
        self.guard(payload, 65_536)
        self.refused(payload, 65_536, thorough=True)

    def test_real_things_pass(self) -> None:
        code = b"".join(b"function f%d(a,b){return a[%d]+b}\n" % (i, i * 7) for i in range(200_000))
        for level in (1, 6, 9):
            self.guard(deflated(code, level), 50_000)

    def test_short_ones_cannot_exceed(self) -> None:
        self.assertFalse(may_exceed(50_000, LIMIT))
        self.assertTrue(may_exceed(51_000, LIMIT))
