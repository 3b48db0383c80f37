"""`apptuner_relay.wire.frames`: any split of a legal stream reads the same, any illegal one is
refused with the close code of RFC 6455."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frame_runs import SMALL_BYTES
from apptuner_relay.wire.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    HEADROOM,
    PING,
    PONG,
    TEXT,
    TEXT_HEADERS,
    FrameError,
    FrameReader,
    frame,
)
from tests.memory import MASK, masked

LIMIT = 1 << 20


@dataclass
class Message:
    """A message put together again from its pieces."""

    opcode: int
    payload: bytes


class Piece(NamedTuple):
    """A piece as it stood in the buffer."""

    opcode: int
    end: bool
    payload: bytes


def assembled(pieces: list[Piece]) -> tuple[list[Message], list[Message]]:
    """The messages and the control frames in ``pieces``."""
    messages: list[Message] = []
    controls: list[Message] = []
    whole = True
    for opcode, end, payload in pieces:
        if opcode & CLOSE:
            controls.append(Message(opcode, payload))
        elif opcode == CONTINUATION:
            assert not whole
            messages[-1].payload += payload
            whole = end
        else:
            assert whole
            messages.append(Message(opcode, payload))
            whole = end
    return messages, controls


def read(reader: FrameReader, *blocks: bytes) -> list[Piece]:
    return [piece for block in blocks for piece in feed(reader, block)]


def feed(reader: FrameReader, block: bytes) -> Iterator[Piece]:
    """Feed ``block`` from a buffer with old bytes around it; each piece must be a whole frame."""
    buffer = bytearray(b"\xa5" * HEADROOM + block + b"\xa5" * 8)
    for piece in reader.feed(buffer, HEADROOM, HEADROOM + len(block)):
        if isinstance(piece, list):
            for text in piece:
                assert TEXT_HEADERS[len(text)] + text == frame(TEXT, bytes(text))
                yield Piece(TEXT, True, bytes(text))
            continue
        opcode, end, begin, payload, stop = piece
        data = bytes(buffer[payload:stop])
        assert buffer[begin:stop] == frame(opcode, data, end)
        yield Piece(opcode, end, data)


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


fragments = st.lists(st.binary(max_size=300), min_size=1, max_size=4)
texts = st.text(max_size=200).map(lambda text: text.encode())
controls = st.tuples(st.sampled_from([PING, PONG, CLOSE]), st.binary(max_size=125))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Message], list[Message]]:
    """A legal stream: fragmented messages with control frames between the fragments."""
    wire = b""
    expected: list[Message] = []
    expected_controls: list[Message] = []
    for _ in range(draw(st.integers(0, 4))):
        mask = draw(st.binary(min_size=4, max_size=4))
        if draw(st.booleans()):
            parts = draw(fragments)
            opcode = BINARY
        else:
            text = draw(texts) * draw(st.sampled_from([1, 1, 1, 700]))
            parts = split(text, draw(st.lists(st.integers(0, 1 << 16), max_size=3)))
            opcode = TEXT
        for i, part in enumerate(parts):
            for control, payload in draw(st.lists(controls, max_size=1)):
                wire += masked(control, payload)
                expected_controls.append(Message(control, payload))
            wire += masked(opcode if i == 0 else CONTINUATION, part, i == len(parts) - 1, mask)
        expected.append(Message(opcode, b"".join(parts)))
    return wire, expected, expected_controls


class LegalStreams(SynchronousTestCase):
    @settings(deadline=None)
    @given(streams(), st.lists(st.integers(0, 1 << 20), max_size=8))
    def test_any_split_reads_the_same(
        self, stream: tuple[bytes, list[Message], list[Message]], cuts: list[int]
    ) -> None:
        wire, expected, expected_controls = stream
        reader = FrameReader(LIMIT)
        got, got_controls = assembled(read(reader, *split(wire, cuts)))
        self.assertEqual(got, expected)
        self.assertEqual(got_controls, expected_controls)

    def test_every_length_form_byte_by_byte(self) -> None:
        for length in (0, 1, 125, 126, 127, 65535, 65536, 70001):
            payload = (b"0123456789abcdef" * 4400)[:length]
            wire = masked(TEXT, payload)
            pieces = read(FrameReader(LIMIT), *(wire[i : i + 1] for i in range(20)), wire[20:])
            self.assertEqual(assembled(pieces), ([Message(TEXT, payload)], []))

    def test_first_piece_leaves_before_the_last_has_come(self) -> None:
        wire = masked(TEXT, b"x" * 100_000)
        reader = FrameReader(LIMIT)
        (piece,) = read(reader, wire[:1000])
        self.assertEqual((piece.opcode, piece.end, len(piece.payload)), (TEXT, False, 986))

    def test_a_character_may_be_cut_anywhere(self) -> None:
        payload = "aé€𝄞z".encode()
        wire = masked(TEXT, payload[:5], False) + masked(CONTINUATION, payload[5:])
        for cut in range(len(wire)):
            pieces = read(FrameReader(LIMIT), wire[:cut], wire[cut:])
            self.assertEqual(assembled(pieces)[0], [Message(TEXT, payload)])

    def test_message_of_exactly_the_limit(self) -> None:
        wire = masked(TEXT, b"a" * 60, False) + masked(CONTINUATION, b"b" * 40)
        self.assertEqual(len(assembled(read(FrameReader(100), wire))[0][0].payload), 100)

    def test_small_texts_come_as_many_at_once_as_the_caller_says(self) -> None:
        reader = FrameReader(LIMIT)
        reader.most_texts = 7
        buffer = bytearray(HEADROOM) + masked(TEXT, b"x") * 3000
        pieces = list(reader.feed(buffer, HEADROOM, len(buffer)))
        lists = [len(texts) for texts in pieces if isinstance(texts, list)]
        # The last one is left for the general path.
        self.assertEqual((max(lists), sum(lists)), (7, 2999))


class LoneTexts(SynchronousTestCase):
    """Blocks that are one small text each, which have a way of their own."""

    def lone(self, reader: FrameReader, block: bytes) -> bytes | None:
        """What `FrameReader.lone_text` makes of ``block``, which it leaves as it is otherwise."""
        buffer = bytearray(b"\xa5" * HEADROOM + block + b"\xa5" * 8)
        before = bytes(buffer)
        text = reader.lone_text(buffer, HEADROOM, HEADROOM + len(block))
        if text is None:
            self.assertEqual(buffer, before)
            return None
        return bytes(text)

    @given(st.text(max_size=600).map(str.encode), st.data())
    def test_a_block_is_one_or_is_left(self, text: bytes, data: st.DataObject) -> None:
        block = masked(TEXT, text)
        if data.draw(st.booleans()):
            block = block[: data.draw(st.integers(1, len(block)))]
        is_whole = len(block) == len(masked(TEXT, text))
        expected = text if is_whole and len(text) <= SMALL_BYTES else None
        reader = FrameReader(LIMIT)
        self.assertEqual(self.lone(reader, block), expected)
        if expected is None:
            pieces = read(reader, block, masked(TEXT, text)[len(block) :])
        else:
            pieces = read(reader, block)
        self.assertEqual(assembled(pieces), ([Message(TEXT, text)], []))

    def test_what_is_none(self) -> None:
        one = masked(TEXT, b"one")
        for block in (
            one + one,
            masked(TEXT, b"begins", False),
            masked(BINARY, b"one"),
            masked(TEXT | COMPRESSED, b"one"),
            masked(PING, b"one"),
            masked(CLOSE, b""),
            masked(TEXT, b"\xff"),
            masked(TEXT, b"x" * 101),
            frame(TEXT, b"without a mask"),
            b"\x81\xfe\x00\x05" + MASK + bytes(5),
            b"\x81\xff" + bytes(7) + b"\x05" + MASK + bytes(5),
        ):
            self.assertIsNone(self.lone(FrameReader(100, deflate=True), block), block)

    def test_where_it_is_none(self) -> None:
        one = masked(TEXT, b"one")
        for before in (masked(TEXT, b"begins", False), one[:1], masked(BINARY, b"x")[:-1]):
            reader = FrameReader(LIMIT)
            read(reader, before)
            self.assertIsNone(self.lone(reader, one))
        skipping, unreadable = FrameReader(LIMIT), FrameReader(LIMIT)
        skipping.skip_messages()
        self.assertIsNone(self.lone(skipping, one))
        self.assertRaises(FrameError, read, unreadable, frame(TEXT, b"without a mask"))
        self.assertIsNone(self.lone(unreadable, one))


class IllegalStreams(SynchronousTestCase):
    def refused(self, wire: bytes, code: int, limit: int = LIMIT) -> None:
        """However the stream is cut, it is refused with ``code``."""
        for cut in {0, 1, 2, len(wire) // 2, len(wire) - 1}:
            with self.assertRaises(FrameError) as caught:
                read(FrameReader(limit), wire[:cut], wire[cut:])
            self.assertEqual(caught.exception.code, code)
            self.assertTrue(caught.exception.reason)

    def test_protocol_errors(self) -> None:
        text = masked(TEXT, b"hello")
        for name, wire in {
            "reserved bits": bytes([text[0] | 0x20]) + text[1:],
            "reserved data opcode": masked(0x3, b""),
            "reserved control opcode": masked(0xB, b""),
            "no mask": frame(TEXT, b"hello"),
            "fragmented control frame": masked(PING, b"", fin=False),
            "long control frame": masked(PING, b"x" * 126),
            "continuation of nothing": masked(CONTINUATION, b"x"),
            "message inside of a message": masked(TEXT, b"x", False) + masked(TEXT, b"y"),
            "16-bit length too long": b"\x81\xfe\x00\x7d" + MASK,
            "64-bit length too long": b"\x81\xff" + (65535).to_bytes(8, "big") + MASK,
            "length with its highest bit": b"\x81\xff\x80" + bytes(7) + MASK,
        }.items():
            with self.subTest(name):
                self.refused(wire, 1002)

    def test_text_that_is_not_utf8(self) -> None:
        for bad in (b"\xff", b"ok\xc0\xaf", b"\xed\xa0\x80", b"cut \xe2\x82", b"\xf4\x90\x80\x80"):
            self.refused(masked(TEXT, bad), 1007)
            self.refused(masked(TEXT, bad[:1], False) + masked(CONTINUATION, bad[1:]), 1007)

    def test_too_big_is_refused_at_the_header(self) -> None:
        self.refused(masked(TEXT, b"x" * 101)[:9], 1009, limit=100)
        fragments = masked(TEXT, b"x" * 60, False) + masked(CONTINUATION, b"x" * 41)
        self.refused(fragments, 1009, limit=100)

    def test_what_stands_before_an_error_comes_out(self) -> None:
        pieces = []
        with self.assertRaises(FrameError):
            for piece in feed(FrameReader(LIMIT), masked(TEXT, b"good") + masked(0x3, b"")):
                pieces.append(piece)
        self.assertEqual(pieces, [Piece(TEXT, True, b"good")])

    @settings(deadline=None)
    @given(st.binary(max_size=400))
    def test_noise_never_does_worse_than_be_refused(self, noise: bytes) -> None:
        reader = FrameReader(LIMIT)
        try:
            pieces = read(reader, noise)
        except FrameError as refusal:
            self.assertIn(refusal.code, (1002, 1007, 1009))
            reader.skip_messages()
            pieces = read(reader, noise)
        for piece in pieces:
            self.assertLessEqual(len(piece.payload), len(noise))


class AfterAnError(SynchronousTestCase):
    def read_on(self, reader: FrameReader, block: bytes) -> list[Piece]:
        """Read a block to its end, over an error."""
        buffer = bytearray(HEADROOM) + block
        pieces: list[Piece] = []
        start = HEADROOM
        while start < len(buffer):
            try:
                for piece in reader.feed(buffer, start, len(buffer)):
                    if isinstance(piece, tuple):
                        opcode, end, _, payload, stop = piece
                        pieces.append(Piece(opcode, end, bytes(buffer[payload:stop])))
            except FrameError:
                reader.skip_messages()
            start = reader.stopped_at
        return pieces

    def test_the_close_is_still_seen(self) -> None:
        for bad in (masked(TEXT, b"x" * 2000), masked(TEXT, b"\xff" + b"x" * 900)):
            for cut in {*range(20), *range(0, len(bad), 37)}:
                reader = FrameReader(1000)
                pieces = self.read_on(reader, bad[:cut])
                rest = masked(TEXT, b"more") * 500 + masked(CLOSE, b"\x03\xe8")
                pieces += self.read_on(reader, bad[cut:] + rest)
                self.assertEqual(pieces[-1], Piece(CLOSE, True, b"\x03\xe8"))
                self.assertEqual({one.opcode for one in pieces[:-1]} - {TEXT, CONTINUATION}, set())

    def test_many_frames_are_skipped_in_several_calls(self) -> None:
        reader = FrameReader(LIMIT)
        reader.skip_messages()
        buffer = bytearray(HEADROOM) + masked(TEXT, b"") * 5000
        calls = 0
        start = HEADROOM
        while start < len(buffer):
            self.assertEqual(list(reader.feed(buffer, start, len(buffer))), [])
            self.assertGreater(reader.stopped_at, start)
            start = reader.stopped_at
            calls += 1
        self.assertGreater(calls, 2)


class Compressed(SynchronousTestCase):
    """The bit of permessage-deflate; what it marks is inflated elsewhere."""

    def test_bit_is_kept_on_the_first_piece_only(self) -> None:
        noise = bytes(range(128, 256)) * 10
        wire = masked(TEXT | COMPRESSED, noise, False) + masked(CONTINUATION, noise)
        wire += masked(BINARY | COMPRESSED, b"\xff") + masked(TEXT, b"plain")
        for cut in range(0, len(wire), 13):
            pieces = read(FrameReader(LIMIT, deflate=True), wire[:cut], wire[cut:])
            messages, _ = assembled(pieces)
            self.assertEqual(
                messages,
                [
                    Message(TEXT | COMPRESSED, noise * 2),
                    Message(BINARY | COMPRESSED, b"\xff"),
                    Message(TEXT, b"plain"),
                ],
            )

    def test_bit_where_it_may_not_be(self) -> None:
        for wire, deflate in [
            (masked(TEXT | COMPRESSED, b"x"), False),
            (masked(TEXT, b"x", False) + masked(CONTINUATION | COMPRESSED, b"y"), True),
            (masked(PING | COMPRESSED, b""), True),
            (masked(TEXT | COMPRESSED | 0x20, b"x"), True),
            (masked(TEXT | 0x10, b"x"), True),
        ]:
            with self.assertRaises(FrameError) as caught:
                read(FrameReader(LIMIT, deflate), wire)
            self.assertEqual(caught.exception.code, 1002)


class AsciiBlocks(SynchronousTestCase):
    """Big blocks of text are asked as a whole buffer whether they are ASCII."""

    def test_what_stands_around_a_block_does_not_matter(self) -> None:
        for around in (b"\x00", b"\xff", b"a"):
            for text in (b"a" * 4000, b"a" * 3000 + "é".encode() * 500):
                reader = FrameReader(LIMIT)
                wire = masked(TEXT, text)
                buffer = bytearray(around * (HEADROOM + 4096))
                got = b""
                for start, stop in ((0, 40), (40, 3980), (3980, len(wire))):
                    end = HEADROOM + stop - start
                    buffer[HEADROOM:end] = wire[start:stop]
                    for piece in reader.feed(buffer, HEADROOM, end):
                        assert isinstance(piece, tuple)
                        got += buffer[piece[3] : piece[4]]
                self.assertEqual(got, text)

    def test_bad_text_is_found_in_any_place(self) -> None:
        for at in (0, 1, 1000, 2900, 2999):
            text = bytearray(b"a" * 3000)
            text[at] = 0xFF
            wire = masked(TEXT, bytes(text))
            for cut in (8, 20, 1500):
                with self.assertRaises(FrameError) as caught:
                    read(FrameReader(LIMIT), wire[:cut], wire[cut:])
                self.assertEqual(caught.exception.code, 1007)


class Building(SynchronousTestCase):
    def test_shortest_length_form(self) -> None:
        self.assertEqual(frame(TEXT, b"hi"), b"\x81\x02hi")
        self.assertEqual(frame(CONTINUATION, b"x" * 126, False)[:4], b"\x00\x7e\x00\x7e")
        self.assertEqual(frame(BINARY, bytes(65536))[:10], b"\x82\x7f" + (65536).to_bytes(8, "big"))
        self.assertEqual(frame(PONG, b""), b"\x8a\x00")
