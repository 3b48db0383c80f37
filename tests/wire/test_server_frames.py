"""`apptuner_relay.wire.server_frames`: any split reads the same, and it refuses the rest."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, PING, TEXT, frame
from apptuner_relay.wire.server_frames import ServerFrames

fragments = st.lists(
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=4).map(lambda x: x * 20_000)),
    min_size=1,
    max_size=4,
)
messages = st.lists(
    st.tuples(st.sampled_from([TEXT, BINARY, TEXT | COMPRESSED]), fragments), max_size=4
)


def framed(opcode: int, parts: list[bytes]) -> bytes:
    first = (frame(opcode, parts[0], len(parts) == 1),)
    rest = (frame(CONTINUATION, p, i == len(parts) - 2) for i, p in enumerate(parts[1:]))
    return b"".join((*first, *rest))


class ReadingServerFrames(SynchronousTestCase):
    @given(messages, st.lists(st.integers(0, 1 << 30), max_size=12), st.booleans())
    def test_any_split(
        self, sent: list[tuple[int, list[bytes]]], cuts: list[int], as_views: bool
    ) -> None:
        wire = b"".join(framed(opcode, parts) for opcode, parts in sent)
        edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
        reader = ServerFrames()
        got: list[tuple[int, bytes]] = []
        inside = False
        for a, b in pairwise(edges):
            data = wire[a:b]
            for opcode, end, piece in reader.feed(memoryview(data) if as_views else data):
                assert isinstance(piece, memoryview if as_views else bytes)
                payload = bytes(piece)
                assert payload or end
                assert (opcode == CONTINUATION) == inside
                if inside:
                    got[-1] = got[-1][0], got[-1][1] + payload
                else:
                    got.append((opcode, payload))
                inside = not end
        assert got == [(opcode, b"".join(parts)) for opcode, parts in sent]
        assert not inside
        assert reader.whole

    def test_every_byte_by_itself(self) -> None:
        wire = framed(TEXT | COMPRESSED, [b"", b"x" * 200, b""]) + framed(TEXT, [b"y" * 70_000])
        reader = ServerFrames()
        pieces = [p for at in range(len(wire)) for p in reader.feed(wire[at : at + 1])]
        self.assertEqual(pieces[0], (TEXT | COMPRESSED, False, b"x"))
        self.assertEqual(pieces[200], (CONTINUATION, True, b""))
        self.assertEqual(pieces[-1], (CONTINUATION, True, b"y"))
        self.assertEqual(len(pieces), 70_201)

    def test_a_big_frame_comes_as_it_is_fed(self) -> None:
        wire = frame(TEXT, b"x" * 1_000_000)
        reader = ServerFrames()
        self.assertEqual([*reader.feed(wire[:1_000])], [(TEXT, False, b"x" * 990)])
        self.assertFalse(reader.whole)

    def test_cut_short(self) -> None:
        wire = framed(TEXT, [b"x" * 10, b"", b"y" * 300])
        for length in range(1, len(wire)):
            reader = ServerFrames()
            list(reader.feed(wire[:length]))
            self.assertFalse(reader.whole, length)

    def test_what_no_relay_writes(self) -> None:
        message = frame(TEXT, b"x", False)
        for wire, said in (
            (frame(PING, b""), "0x89"),
            (b"\x83\x00", "0x83"),
            (b"\xa1\x00", "0xa1"),
            (b"\x91\x00", "0x91"),
            (b"\x81\x81aaaax", "masked"),
            (b"\x81\x7e\x00\x7dx", "shortest"),
            (b"\x81\x7f" + (0xFFFF).to_bytes(8, "big"), "shortest"),
            (b"\x81\x7f" + (1 << 63).to_bytes(8, "big"), "highest bit"),
            (frame(CONTINUATION, b"x"), "without a message"),
            (message + frame(TEXT, b"x"), "inside of a message"),
            (message + frame(CONTINUATION | COMPRESSED, b"x"), "compressed"),
        ):
            with self.assertRaisesRegex(ValueError, said):
                list(ServerFrames().feed(wire))
