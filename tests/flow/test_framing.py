"""`apptuner_relay.flow.framing`: frames of a useful size, whatever comes."""

import codecs
import os
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.framing import (
    FRAME_BYTES,
    LEAST_BYTES,
    MOST_FRAMES,
    WHOLE_BYTES,
    Framer,
)
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, FIN, TEXT, Frame
from tests.flow.parts import messages

LONGEST = 50 << 20
CHARACTERS = "aé€😀" * 40_000
"""Each of another length."""
SETTINGS = settings(
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("EXAMPLES", "30")),
    derandomize="RANDOM" not in os.environ,
)


class Frames:
    """Takes frames, as a log does."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.opcodes: list[int] = []
        self.wire = bytearray()
        self.begun = 0
        self.is_over = False

    def begin_message(self) -> None:
        self.begun += 1

    def add(self, parts: Sequence[Frame], size: int, end: bool) -> None:
        assert not self.is_over
        data = b"".join(parts)
        assert len(data) == size
        self.opcodes.append(data[0] & ~FIN)
        assert bool(data[0] & FIN) == end
        header = 2 + {126: 2, 127: 8}.get(data[1], 0)
        self.payloads.append(data[header:])
        self.wire += data
        self.is_over = end


class Sender:
    """One message that comes in pieces."""

    def __init__(self, opcode: int, longest: int = LONGEST) -> None:
        self.frames = Frames()
        self.waits = 0
        self.framer = Framer(self.frames, opcode, longest)

    def pause(self) -> None:
        """Nothing comes for a moment."""
        if self.waits:
            self.waits -= 1
            self.framer.release()

    def send(self, data: bytes, cuts: Sequence[int], pauses: Sequence[bool]) -> list[bytes]:
        """Send ``data`` cut at ``cuts``; returns the payloads of the frames that it becomes."""
        at = 0
        ends = [*sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        for number, stop in enumerate(ends):
            piece = memoryview(bytearray(data[at:stop]))
            self.waits += self.framer.write(piece, number == len(ends) - 1)
            at = stop
            if pauses and pauses[number % len(pauses)]:
                self.pause()
        while self.waits:
            self.pause()
        assert messages(bytes(self.frames.wire))[0] == [data]
        return self.frames.payloads


CUTS = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 1 << 20)), max_size=80)
PAUSES = st.lists(st.booleans(), max_size=5)


class AnySplit(SynchronousTestCase):
    @SETTINGS
    @given(st.binary(min_size=1, max_size=50), st.integers(1, 20_000), CUTS, PAUSES)
    def test_it_is_one_message(
        self, data: bytes, times: int, cuts: list[int], pauses: list[bool]
    ) -> None:
        for opcode in (BINARY, BINARY | COMPRESSED, TEXT | COMPRESSED):
            sender = Sender(opcode)
            payloads = sender.send(data * times, cuts, pauses)
            self.assertEqual(sender.frames.begun, 1)
            self.assertEqual(sender.frames.opcodes[0], opcode)
            self.assertLessEqual(set(sender.frames.opcodes[1:]), {CONTINUATION})
            self.assertLessEqual(max(map(len, payloads)), FRAME_BYTES + LEAST_BYTES)

    @SETTINGS
    @given(st.text(min_size=1, max_size=30), st.integers(1, 20_000), CUTS, PAUSES)
    def test_no_frame_ends_inside_a_character(
        self, text: str, times: int, cuts: list[int], pauses: list[bool]
    ) -> None:
        for payload in Sender(TEXT).send((text * times).encode(), cuts, pauses):
            payload.decode()

    @SETTINGS
    @given(CUTS, PAUSES, st.integers(0, 9))
    def test_no_frame_ends_inside_a_character_of_any_length(
        self, cuts: list[int], pauses: list[bool], before: int
    ) -> None:
        data = b"x" * before + CHARACTERS.encode()
        for payload in Sender(TEXT).send(data, cuts, pauses):
            payload.decode()

    @SETTINGS
    @given(st.binary(max_size=40), st.integers(1, 10_000), CUTS, PAUSES)
    def test_what_is_no_text_is_cut_all_the_same(
        self, data: bytes, times: int, cuts: list[int], pauses: list[bool]
    ) -> None:
        payloads = Sender(TEXT).send((data or b"\x80") * times, cuts, pauses)
        self.assertLessEqual(max(map(len, payloads)), FRAME_BYTES + LEAST_BYTES)

    @SETTINGS
    @given(st.integers(0, WHOLE_BYTES - 1), CUTS, PAUSES)
    def test_short_compressed_message_is_one_frame(
        self, size: int, cuts: list[int], pauses: list[bool]
    ) -> None:
        self.assertEqual(len(Sender(TEXT | COMPRESSED).send(b"c" * size, cuts, pauses)), 1)


class FewFrames(SynchronousTestCase):
    """A message of the greatest size there may be."""

    def frames(self, opcode: int, piece: bytes, pauses: int, longest: int = LONGEST) -> list[bytes]:
        """It comes in pieces; its sender pauses once in so many, and never where that is 0."""
        sender = Sender(opcode, longest)
        count = longest // len(piece)
        for number in range(count):
            sender.framer.write(piece, number == count - 1)
            if pauses and number % pauses == 0:
                sender.pause()
        self.assertEqual(sum(map(len, sender.frames.payloads)), count * len(piece))
        self.assertLessEqual(len(sender.frames.payloads), MOST_FRAMES)
        return sender.frames.payloads

    def test_crumbs(self) -> None:
        for size in (1400, LEAST_BYTES - 1, LEAST_BYTES + 1, 512 * 1024):
            for pauses in (0, 1, 50):
                self.frames(BINARY, b"x" * size, pauses)

    def test_crumbs_of_text(self) -> None:
        for text in ("€" * 467, "a" + "😀" * 350, "x" * 33_000 + "é"):
            for pauses in (0, 1):
                for payload in self.frames(TEXT, text.encode(), pauses):
                    codecs.utf_8_decode(payload, "strict", True)

    def test_crumbs_of_a_compressed_message(self) -> None:
        for pauses in (0, 1):
            self.frames(TEXT | COMPRESSED, b"c" * 1400, pauses)

    def test_crumbs_of_any_size(self) -> None:
        source = random.Random(3)
        for _ in range(5):
            sender, left = Sender(TEXT), LONGEST
            sizes = source.choice([(1, 3000), (1, 60_000), (30_000, 36_000)])
            while left:
                size = min(left, source.randint(*sizes))
                left -= size
                sender.framer.write(b"x" * size, not left)
                if source.random() < 0.5:
                    sender.pause()
            self.assertLessEqual(len(sender.frames.payloads), MOST_FRAMES)

    def test_longer_messages_have_longer_frames(self) -> None:
        self.frames(BINARY, b"x" * 1400, 1, 200 << 20)


class Pausing(SynchronousTestCase):
    def test_what_is_there_is_sent_when_the_sender_pauses(self) -> None:
        sender = Sender(TEXT)
        self.assertTrue(sender.framer.write("aé€".encode()[:-1], False))
        self.assertEqual(sender.frames.payloads, [])
        sender.framer.release()
        self.assertEqual(sender.frames.payloads, ["aé".encode()])
        sender.framer.write("€".encode()[-1:], True)
        self.assertEqual(sender.frames.payloads, ["aé".encode(), "€".encode()])

    def test_nothing_is_sent_when_all_has_gone(self) -> None:
        sender = Sender(TEXT)
        sender.framer.write(b"a", False)
        sender.framer.write(b"b", True)
        sender.pause()
        self.assertEqual(sender.frames.payloads, [b"ab"])

    def test_waits_once_for_several(self) -> None:
        sender = Sender(TEXT)
        waits = [sender.framer.write(b"a", False) for _ in range(5)]
        self.assertEqual(waits, [True, False, False, False, False])

    def test_short_compressed_message_waits_for_its_end(self) -> None:
        sender = Sender(TEXT | COMPRESSED)
        sender.framer.write(b"a" * 1000, False)
        sender.pause()
        self.assertEqual(sender.frames.payloads, [])
