"""`apptuner_relay.passage`: long messages that come in crumbs leave in few frames."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow import Frame
from apptuner_relay.passage import FREE_PIECES, LEAST_BYTES, Joined
from apptuner_relay.wire.frames import BINARY, CONTINUATION, TEXT, frame
from apptuner_relay.wire.server_frames import ServerFrames
from tests.memory import Relay, masked, server_frames

MIB = 1024 * 1024


class End:
    """Where a way leads: keeps what comes."""

    def __init__(self) -> None:
        self.wire = b""
        self.frames = 0
        self.reason: str | None = None

    def send(self, data: Frame, header: int, end: bool) -> None:
        self.frames += 1
        self.wire += data

    def cut(self, reason: str) -> None:
        self.reason = reason


class Count(End):
    """One that keeps nothing."""

    def send(self, data: Frame, header: int, end: bool) -> None:
        self.frames += 1


def send(way: Joined, pieces: list[bytes]) -> None:
    """A message in such pieces, as views of a buffer that is used again."""
    for i, piece in enumerate(pieces):
        end = i == len(pieces) - 1
        data = bytearray(frame(CONTINUATION if i else BINARY, piece, end))
        way.send(memoryview(data), len(data) - len(piece), end)
        data[:] = bytes(len(data))


class Joining(SynchronousTestCase):
    @given(st.lists(st.integers(0, 3 * LEAST_BYTES) | st.integers(0, 9), min_size=1), st.data())
    def test_the_same_message_in_frames_that_are_not_small(
        self, sizes: list[int], data: st.DataObject
    ) -> None:
        free = data.draw(st.integers(0, 5))
        pieces = [b"."] * (FREE_PIECES - free)
        pieces += [bytes([i % 256]) * size for i, size in enumerate(sizes)]
        end = End()
        send(Joined(end, MIB), pieces)
        reader = ServerFrames()
        self.assertEqual(b"".join(part for _, _, part in reader.feed(end.wire)), b"".join(pieces))
        self.assertTrue(reader.whole)
        lengths = [len(part) for _, _, part in server_frames(end.wire)]
        for length in lengths[FREE_PIECES:-1]:
            self.assertGreaterEqual(length, LEAST_BYTES)

    def test_few_enough_for_the_narrowest_client(self) -> None:
        for longest, piece in ((50 * MIB, 1448), (50 * MIB, 65_000), (400 * MIB, 40_000)):
            end = Count()
            send(Joined(end, longest), [bytes(piece)] * (longest // piece))
            self.assertLess(end.frames, 4096)

    def test_what_is_cut_is_not_sent_on(self) -> None:
        end = End()
        way = Joined(end, MIB)
        for _ in range(FREE_PIECES + 9):
            way.send(frame(CONTINUATION, b"x", False), 2, False)
        way.cut("over")
        self.assertEqual((end.frames, end.reason), (FREE_PIECES, "over"))


class OverTheRelay(SynchronousTestCase):
    def test_a_bundle_in_crumbs(self) -> None:
        relay = Relay()
        cli = relay.connect("/cli/ABC234")
        phone = relay.connect("/mobile/ABC234")
        cli.received()
        phone.received()
        phone.frames.clear()
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * 3_000_000)
        step = 700
        for at in range(0, len(text), step):
            last = at + step >= len(text)
            cli.send_raw(masked(CONTINUATION if at else TEXT, text[at : at + step], last))
        phone.read()
        self.assertEqual(phone.messages, [text])
        self.assertLess(len(phone.frames), FREE_PIECES + 3_000_000 // LEAST_BYTES + 2)
