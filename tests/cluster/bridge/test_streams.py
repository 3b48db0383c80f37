"""Messages that cross a bridge in one direction, and what is known of the bundles among them."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.streams import BundleStream, Stream
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, HEADROOM, TEXT, FrameReader, frame
from apptuner_relay.wire.peer_frames import PeerReader
from tests.flow.parts import WINDOW, Wire, nobody
from tests.memory import deflated, masked, server_frames

LONGEST = 10_000_000


class StreamCase(SynchronousTestCase):
    kind: type[Stream] = Stream

    def setUp(self) -> None:
        self.wire = Wire()
        self.closes: list[tuple[int, str]] = []
        self.sink = Sink(
            self.wire,
            lambda code, reason: self.closes.append((code, reason)),
            WINDOW,
            SlowConsumers(1, 1, lambda: 0.0),
        )
        self.source = Source(nobody, nobody, WINDOW)
        self.stream = self.kind(self.source, LONGEST)
        self.stream.flow_to(self.sink)
        self.reader: FrameReader = FrameReader(LONGEST, True)

    def receive(self, *frames: bytes) -> None:
        """A block of a client's frames comes."""
        data = bytearray(HEADROOM) + b"".join(frames)
        for piece in self.reader.feed(data, HEADROOM, len(data)):
            if isinstance(piece, list):
                self.stream.send_texts(piece)
            else:
                self.stream.send(piece, memoryview(data))
        self.source.flush()

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """The messages that have arrived whole: the first frame's opcode, and the payload."""
        whole: list[tuple[int, bytes]] = []
        first, part = 0, b""
        for opcode, fin, payload in server_frames(self.wire.got):
            first = opcode if opcode != CONTINUATION else first
            part += payload
            if fin:
                whole.append((first, part))
                part = b""
        return whole


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[int, bytes, list[bytes]]:
    """A message, and the frames in which it comes."""
    text = json.dumps({"type": "talk", "x": "y" * draw(st.integers(0, 200_000))}).encode()
    opcode = TEXT
    if draw(st.booleans()):
        opcode, text = TEXT | COMPRESSED, deflated(text)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    frames = [
        masked(opcode if number == 0 else CONTINUATION, part, number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return opcode, text, frames


class Passing(StreamCase):
    @settings(max_examples=60)
    @given(st.lists(cut_up(), max_size=4), st.booleans())
    def test_what_arrives_is_what_was_sent(self, messages: Any, in_one_block: bool) -> None:
        self.setUp()
        frames = [one for _, _, those in messages for one in those]
        if in_one_block:
            self.receive(*frames)
        for one in () if in_one_block else frames:
            self.receive(one)
        self.source.send_early()
        self.assertEqual(self.messages, [(opcode, text) for opcode, text, _ in messages])
        self.assertFalse(self.stream.in_message)

    def test_a_message_is_under_way_until_its_end(self) -> None:
        self.receive(masked(TEXT, b"x" * 5000, False))
        self.assertTrue(self.stream.in_message)
        self.receive(masked(CONTINUATION, b"y" * 5000, False))
        self.assertTrue(self.stream.in_message)
        self.receive(masked(CONTINUATION, b"z"))
        self.assertFalse(self.stream.in_message)

    def test_its_beginning_arrives_before_its_end_is_there(self) -> None:
        self.receive(masked(TEXT, b"x" * 100_000, False))
        self.assertGreater(len(self.wire.got), 50_000)


class FromAnotherRelay(StreamCase):
    """Frames of another relay pass as they came, as far as they come whole."""

    kind = BundleStream
    stream: BundleStream

    def setUp(self) -> None:
        super().setUp()
        self.reader = PeerReader(LONGEST, True)
        self.reader.passes_on = True

    def test_small_ones_and_what_they_say_of_a_bundle(self) -> None:
        said = frame(TEXT, b'{"type":"talk"}')
        self.receive(said + frame(TEXT, start()) + said)
        self.assertTrue(self.stream.in_bundle)
        last = frame(TEXT, chunk(0)) + frame(TEXT, chunk(1))
        self.receive(last + said)
        self.assertFalse(self.stream.in_bundle)
        self.assertEqual(len(self.messages), 6)

    def test_a_long_one(self) -> None:
        text = start() + b" " * 300_000
        parts = [text[at : at + 70_000] for at in range(0, len(text), 70_000)]
        frames = [
            frame(CONTINUATION if n else TEXT, part, n == len(parts) - 1)
            for n, part in enumerate(parts)
        ]
        self.receive(*frames[:3])
        self.assertEqual((self.stream.in_message, self.stream.in_bundle), (True, False))
        self.assertEqual(len(self.wire.got), sum(map(len, frames[:3])))
        self.receive(*frames[3:])
        self.assertEqual((self.stream.in_message, self.stream.in_bundle), (False, True))
        self.assertEqual(self.messages, [(TEXT, text)])

    @settings(max_examples=60)
    @given(st.lists(st.integers(1, 200_000), max_size=6), st.integers(20_000, 90_000))
    def test_whatever_the_blocks(self, cuts: list[int], size: int) -> None:
        self.setUp()
        text = ("é" * 100_000).encode()
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        wire = b"".join(
            frame(CONTINUATION if n else TEXT, part, n == len(parts) - 1)
            for n, part in enumerate(parts)
        )
        edges = [0, *sorted(cuts), len(wire)]
        for begin, stop in pairwise(edges):
            self.receive(wire[begin:stop])
        self.assertEqual(self.messages, [(TEXT, text)])
        self.assertFalse(self.stream.in_message)

    def test_part_of_one(self) -> None:
        self.receive(frame(TEXT, b"x" * 70_000, False), frame(CONTINUATION, b"y" * 70_000, False))
        self.stream.stop("its relay was lost")
        self.assertEqual([code for code, _ in self.closes], [1011])
        self.receive(frame(CONTINUATION, b"y" * 70_000))
        self.assertFalse(self.stream.in_message)


class Stopping(StreamCase):
    def test_between_messages(self) -> None:
        self.receive(masked(TEXT, b'{"type":"talk"}'))
        self.stream.stop("over")
        self.receive(masked(TEXT, b'{"type":"talk","n":2}'))
        self.receive(masked(TEXT, b"x" * 9000, False))
        self.assertEqual(self.messages, [(TEXT, b'{"type":"talk"}')])
        self.assertEqual((self.closes, self.stream.in_message), ([], False))

    def test_in_the_middle_of_one_who_has_part_of_it_is_closed(self) -> None:
        self.receive(masked(TEXT, b"x" * 100_000, False))
        self.stream.stop("its relay was lost")
        [(code, reason)] = self.closes
        self.assertEqual(code, 1011)
        self.assertIn("its relay was lost", reason)
        self.receive(masked(CONTINUATION, b"y"))
        self.assertFalse(self.stream.in_message)

    def test_the_rest_of_it_goes_nowhere_and_the_next_one_has_a_way_again(self) -> None:
        self.receive(masked(TEXT, b"x" * 100, False))
        self.stream.stop("its relay was lost")
        again = Wire()
        sink = Sink(again, lambda *_: None, WINDOW, SlowConsumers(1, 1, lambda: 0.0))
        self.stream.flow_to(sink)
        self.receive(masked(CONTINUATION, b"y" * 100))
        self.receive(masked(TEXT, b'{"type":"talk"}'))
        self.assertEqual(
            [payload for _, _, payload in server_frames(again.got)], [b'{"type":"talk"}']
        )


def start(chunks: int = 2) -> bytes:
    return json.dumps({"type": "bundle_start", "totalChunks": chunks, "totalSize": 6}).encode()


def chunk(index: int, chunks: int = 2, size: int = 3) -> bytes:
    data = {"type": "bundle_chunk", "index": index, "totalChunks": chunks, "data": "x" * size}
    return json.dumps(data).encode()


class Bundles(StreamCase):
    """What is known of the bundle that a phone has part of."""

    kind = BundleStream
    stream: BundleStream

    def after(self, *messages: bytes, deflates: bool = False) -> bool:
        for text in messages:
            opcode = TEXT | COMPRESSED if deflates else TEXT
            self.receive(masked(opcode, deflated(text) if deflates else text))
        return self.stream.in_bundle

    def test_from_its_beginning_to_its_last_chunk(self) -> None:
        for deflates in (False, True):
            for size in (3, 100_000):
                self.setUp()
                self.assertFalse(self.stream.in_bundle)
                self.assertTrue(self.after(start(), deflates=deflates))
                self.assertTrue(self.after(chunk(0, size=size), deflates=deflates))
                self.assertFalse(self.after(chunk(1, size=size), deflates=deflates))

    def test_in_whatever_order_they_come(self) -> None:
        self.assertTrue(self.after(start(3), chunk(2, 3), chunk(0, 3)))
        self.assertFalse(self.after(chunk(1, 3)))

    def test_a_bundle_in_one_message_is_none_between_messages(self) -> None:
        one = json.dumps({"type": "bundle_update", "payload": {"code": "x" * 5000}}).encode()
        self.assertFalse(self.after(one))
        self.assertTrue(self.after(start(), chunk(0)))
        # It takes the place of what was there of the other.
        self.assertFalse(self.after(one))

    def test_other_messages_change_nothing(self) -> None:
        other = (b'{"type":"talk"}', b'{"note":"bundle_start"}', b"[1]", b"bundle_", b"")
        self.assertFalse(self.after(*other))
        self.assertTrue(self.after(start(), chunk(0), *other))

    @settings(max_examples=60)
    @given(
        st.lists(
            st.text(max_size=40).map(str.encode) | st.sampled_from((start(), chunk(0), chunk(1)))
        )
    )
    def test_anything(self, texts: list[bytes]) -> None:
        self.setUp()
        for text in texts:
            self.receive(masked(TEXT, text))
        self.assertFalse(self.stream.in_message)

    @settings(max_examples=40)
    @given(st.binary(max_size=60))
    def test_what_can_not_be_inflated_is_passed_on(self, payload: bytes) -> None:
        self.setUp()
        self.receive(masked(TEXT | COMPRESSED, payload))
        self.assertEqual(self.messages, [(TEXT | COMPRESSED, payload)])
