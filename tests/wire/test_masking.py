"""`apptuner_relay.wire.masking`: XOR in place, with native code and without."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire import masking


class Masking(SynchronousTestCase):
    @given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 40))
    def test_both_ways_are_plain_xor(self, data: bytes, mask: bytes, start: int) -> None:
        for unmask in (masking.unmask, masking.xor_with_integers):
            buffer = bytearray(start) + data + b"after"
            unmask(buffer, start, start + len(data), mask)
            expected = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
            self.assertEqual(buffer, bytes(start) + expected + b"after")

    @given(st.lists(st.binary(max_size=40), max_size=8), st.binary(min_size=4, max_size=4))
    def test_frames_have_their_masks_in_front(self, payloads: list[bytes], mask: bytes) -> None:
        for unmask, single in (
            (masking.unmask_frames, masking.unmask_frame),
            (masking._frames_with_integers, masking._frame_with_integers),
        ):
            buffer, spans, expected = bytearray(b"before"), [], bytearray(b"before")
            for payload in payloads:
                masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
                start = len(buffer) + len(mask)
                spans.append((start, start + len(payload)))
                buffer += mask + masked
                expected += mask + payload
            one_by_one = bytearray(buffer)
            unmask(buffer, spans)
            self.assertEqual(buffer, expected)
            for start, stop in spans:
                single(one_by_one, start, stop)
            self.assertEqual(one_by_one, expected)

    def test_one_buffer_after_the_other(self) -> None:
        # The address of the last one is kept.
        for buffer in (bytearray(b"abcd"), bytearray(b"efgh"), bytearray(b"abcd")):
            plain = bytes(buffer)
            masking.unmask(buffer, 0, 4, b"\x01\x02\x03\x04")
            self.assertEqual(bytes(one ^ i + 1 for i, one in enumerate(plain)), buffer)
