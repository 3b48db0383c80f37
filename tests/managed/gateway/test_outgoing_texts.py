"""`managed.gateway.outgoing_texts`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.outgoing_texts import OutgoingTexts
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, PING, TEXT, frame
from apptuner_relay.wire.messages import HEAD_BYTES

MOST_BYTES = 1000
PIECES = st.lists(st.binary(max_size=400), min_size=1, max_size=5)
MESSAGES = st.lists(st.tuples(st.sampled_from([TEXT, BINARY, TEXT | COMPRESSED]), PIECES))


class Reader:
    """Has the texts of frames."""

    def __init__(self) -> None:
        self.passed: list[bytes] = []
        self.skipped: list[tuple[bytes, int]] = []
        self.texts = OutgoingTexts(
            MOST_BYTES, self.passed.append, lambda head, size: self.skipped.append((head, size))
        )


class Frames(SynchronousTestCase):
    @given(MESSAGES, st.lists(st.integers(1, 300)), st.booleans())
    def test_frames_that_are_cut_anywhere(
        self, sent: list[tuple[int, list[bytes]]], sizes: list[int], pings: bool
    ) -> None:
        data = b""
        passed: list[bytes] = []
        skipped: list[tuple[bytes, int]] = []
        for opcode, pieces in sent:
            for number, piece in enumerate(pieces):
                end = number == len(pieces) - 1
                data += frame(CONTINUATION if number else opcode, piece, end)
                data += frame(PING, b"ping") if pings else b""
            whole = b"".join(pieces)
            if opcode == TEXT and len(whole) <= MOST_BYTES:
                passed.append(whole)
            else:
                skipped.append((whole[:HEAD_BYTES], len(whole)))
        reader = Reader()
        at = 0
        for size in [*sizes, len(data)]:
            reader.texts.feed(memoryview(data)[at : at + size])
            at += size
        self.assertEqual((reader.passed, reader.skipped), (passed, skipped))

    @given(st.lists(st.binary(max_size=MOST_BYTES)))
    def test_frames_that_are_parts(self, texts: list[bytes]) -> None:
        reader = Reader()
        for text in texts:
            reader.texts.feed(frame(TEXT, text))
        self.assertEqual((reader.passed, reader.skipped), (texts, []))

    def test_a_long_message_is_not_collected(self) -> None:
        reader = Reader()
        piece = b"x" * 65536
        reader.texts.feed(frame(TEXT, b"head", end=False))
        for _ in range(100):
            reader.texts.feed(frame(CONTINUATION, piece, end=False))
            self.assertLessEqual(len(reader.texts._message), HEAD_BYTES)
        reader.texts.feed(frame(CONTINUATION, b""))
        reader.texts.feed(frame(TEXT, b"next"))
        self.assertEqual(reader.passed, [b"next"])
        self.assertEqual(reader.skipped, [((b"head" + piece)[:HEAD_BYTES], 4 + 100 * 65536)])
