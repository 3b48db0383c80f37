"""`apptuner_relay.wire.closing`: what a Close may say."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.closing import Close, may_be_sent, read_close
from apptuner_relay.wire.frames import FrameError


class Codes(SynchronousTestCase):
    def test_those_of_the_rfc_and_of_the_registry(self) -> None:
        codes = [code for code in range(0x10000) if may_be_sent(code)]
        self.assertEqual(codes[:12], [1000, 1001, 1002, 1003, *range(1007, 1015)])
        self.assertEqual(codes[12:], list(range(3000, 5000)))


class Reading(SynchronousTestCase):
    @given(st.integers(1007, 1014) | st.integers(3000, 4999), st.text(max_size=30))
    def test_code_and_reason(self, code: int, reason: str) -> None:
        payload = code.to_bytes(2, "big") + reason.encode()
        self.assertEqual(read_close(payload), Close(code, reason.encode()))

    def test_nothing(self) -> None:
        self.assertEqual(read_close(b""), Close(None, b""))

    def test_bad_ones(self) -> None:
        for payload, code in (
            (b"\x03", 1002),
            (b"\x03\xed", 1002),
            (b"\x03\xf7", 1002),
            (b"\x03\xf8bye", 1002),
            (b"\x03\xe8\xff", 1007),
        ):
            with self.assertRaises(FrameError) as caught:
                read_close(payload)
            self.assertEqual(caught.exception.code, code)
