"""Frames of a client that another relay passes on: with the client's masks, or without."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.bridged_frames import BridgedReader
from apptuner_relay.wire.frame_runs import SMALL_BYTES, payloads
from apptuner_relay.wire.frames import (
    CLOSE_INVALID_PAYLOAD,
    CLOSE_PROTOCOL_ERROR,
    CONTINUATION,
    HEADROOM,
    LONE_BYTES,
    PING,
    RUN,
    TEXT,
    FrameError,
    FrameReader,
    frame,
)
from apptuner_relay.wire.peer_frames import PeerReader
from tests.memory import masked

MOST = 100_000
SIZES = st.sampled_from((0, 1, 2, 5, 125, 126, 200, SMALL_BYTES, SMALL_BYTES + 1, 70_000))
TEXTS = st.one_of(SIZES.map(lambda size: "x" * size), st.text(max_size=60)).map(str.encode)


def read(reader: FrameReader, blocks: list[bytes]) -> list[tuple[int, bytes]]:
    """The messages and control frames that come out of a reader, as a connection reads it."""
    found: list[tuple[int, bytes]] = []
    opcode, message = 0, b""
    for block in blocks:
        buffer = bytearray(HEADROOM) + block + bytes(50)
        stop = HEADROOM + len(block)
        alone = None if len(block) > LONE_BYTES else reader.lone_text(buffer, HEADROOM, stop)
        if alone is not None:
            found.append((TEXT, bytes(alone)))
            continue
        for piece in reader.feed(buffer, HEADROOM, stop):
            if isinstance(piece, list):
                found += [(TEXT, bytes(text)) for text in piece]
                continue
            kind, end, begin, payload, until = piece
            if kind == RUN:
                message += b"".join(payloads(bytes(buffer[begin:until])))
                if end:
                    found.append((opcode, message))
                    message = b""
            elif kind & RUN:
                found.append((RUN, bytes(buffer[begin:until])))
            elif kind == PING:
                found.append((PING, bytes(buffer[payload:until])))
            else:
                opcode, message = kind or opcode, message + bytes(buffer[payload:until])
                if end:
                    found.append((opcode, message))
                    message = b""
    return found


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(one % (len(data) + 1) for one in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


class ReadingBridgedFrames(SynchronousTestCase):
    @given(
        st.lists(st.tuples(TEXTS, st.sampled_from(["masked", "plain", "ping"])), max_size=6),
        st.lists(st.integers(0, 1_000_000), max_size=8),
    )
    def test_any_split(self, sent: list[tuple[bytes, str]], cuts: list[int]) -> None:
        expected, wire = [], b""
        for text, how in sent:
            if how == "ping":
                expected.append((PING, text[:9]))
                wire += frame(PING, text[:9])
            else:
                expected.append((TEXT, text))
                wire += masked(TEXT, text) if how == "masked" else frame(TEXT, text)
        self.assertEqual(read(BridgedReader(MOST), cut(wire, cuts)), expected)

    def test_what_no_relay_has_checked_is_checked(self) -> None:
        for bad in (masked(TEXT, b"\xff"), masked(TEXT, b"\xff" * 600)):
            with self.assertRaises(FrameError) as raised:
                read(BridgedReader(MOST), [bad])
            self.assertEqual(raised.exception.code, CLOSE_INVALID_PAYLOAD)

    def test_a_relay_that_has_not_agreed_to_masks(self) -> None:
        with self.assertRaises(FrameError) as raised:
            read(PeerReader(MOST), [masked(TEXT, b"x" * 20)])
        self.assertEqual(raised.exception.code, CLOSE_PROTOCOL_ERROR)


class PassingFrames(SynchronousTestCase):
    """A reader that passes small messages on as they came, and one that reads them then."""

    @given(
        st.lists(st.tuples(TEXTS, st.booleans()), max_size=6),
        st.lists(st.integers(0, 1_000_000), max_size=8),
        st.booleans(),
    )
    def test_nothing_is_lost(
        self, sent: list[tuple[bytes, bool]], cuts: list[int], has_masks: bool
    ) -> None:
        wire = b"".join(masked(TEXT, text) if has_masks else frame(TEXT, text) for text, _ in sent)
        first = FrameReader(MOST) if has_masks else PeerReader(MOST)
        first.passes_on = True
        passed = b"".join(
            data if opcode == RUN else frame(opcode, data)
            for opcode, data in read(first, cut(wire, cuts))
        )
        self.assertEqual(read(BridgedReader(MOST), [passed]), [(TEXT, text) for text, _ in sent])
        self.assertTrue(first.between_messages)

    def test_small_ones_are_one_run_with_their_masks(self) -> None:
        wire = masked(TEXT, b"one") + masked(TEXT, b"x" * 200) + masked(TEXT, b"three")
        reader = FrameReader(MOST)
        reader.passes_on = True
        self.assertEqual(read(reader, [wire + masked(PING, b"")]), [(RUN, wire), (PING, b"")])

    def test_a_frame_that_breaks_the_protocol_is_in_no_run(self) -> None:
        long_form = b"\x81\xfe\x00\x05" + bytes(4) + b"12345"
        for bad in (frame(TEXT, b"no mask"), long_form, b"\xc1" + masked(TEXT, b"x")[1:]):
            reader = FrameReader(MOST)
            reader.passes_on = True
            self.assertRaises(FrameError, read, reader, [masked(TEXT, b"good") + bad])

    @given(
        st.lists(st.sampled_from((0, 9, 125, 126, 600, 20_000, 65_535, 65_536))),
        st.lists(st.integers(0, 1_000_000), max_size=8),
    )
    def test_a_message_in_frames_of_any_size(self, sizes: list[int], cuts: list[int]) -> None:
        sizes = [600, *sizes]
        parts = [bytes([65 + n % 26]) * size for n, size in enumerate(sizes)]
        wire = b"".join(
            frame(CONTINUATION if n else TEXT, part, n == len(parts) - 1) + frame(PING, b"between")
            for n, part in enumerate(parts)
        )
        reader = PeerReader(sum(sizes))
        reader.passes_on = True
        found = [one for one in read(reader, cut(wire, cuts)) if one[0] != PING]
        self.assertEqual(found, [(TEXT, b"".join(parts))])
        self.assertTrue(reader.between_messages)
        self.assertEqual(reader.message_bytes, sum(sizes))

    def test_a_message_that_is_too_long_is_refused_in_a_run_too(self) -> None:
        wire = frame(TEXT, b"x" * 50_000, False) + frame(CONTINUATION, b"x" * 70_000, False)
        reader = PeerReader(MOST)
        reader.passes_on = True
        self.assertRaises(FrameError, read, reader, [wire])
