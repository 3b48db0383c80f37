"""Frames between relays, which have no masks."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frames import (
    BINARY,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_TOO_BIG,
    COMPRESSED,
    CONTINUATION,
    FIN,
    HEADROOM,
    PING,
    TEXT,
    FrameError,
    frame,
)
from apptuner_relay.wire.peer_frames import PeerReader

MOST = 100_000


class Receiver:
    """Feeds a reader in blocks; keeps what comes out as the frames that would be sent on."""

    def __init__(self, deflate: bool = True) -> None:
        self.reader = PeerReader(MOST, deflate)
        self.buffer = bytearray(HEADROOM + MOST + 1000)
        self.messages: list[tuple[int, bytes]] = []
        self.lone = 0
        """How many blocks were one small text."""
        self._opcode, self._parts = 0, b""

    def feed(self, data: bytes) -> None:
        self.buffer[HEADROOM : HEADROOM + len(data)] = data
        text = self.reader.lone_text(self.buffer, HEADROOM, HEADROOM + len(data))
        if text is not None:
            self.lone += 1
            self.messages.append((TEXT, bytes(text)))
            return
        for piece in self.reader.feed(self.buffer, HEADROOM, HEADROOM + len(data)):
            if isinstance(piece, list):
                self.messages += [(TEXT, bytes(text)) for text in piece]
                continue
            opcode, end, begin, payload, stop = piece
            content = bytes(self.buffer[payload:stop])
            # It must be a whole frame of its own.
            assert bytes(self.buffer[begin:stop]) == frame(opcode, content, end), piece
            if opcode == PING:
                self.messages.append((opcode, content))
                continue
            if opcode != CONTINUATION:
                self._opcode, self._parts = opcode, b""
            self._parts += content
            if end:
                self.messages.append((self._opcode, self._parts))


message = st.tuples(
    st.sampled_from((TEXT, BINARY, TEXT | COMPRESSED)),
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from((125, 126, 512, 513, 65535, 65536)).map(lambda n: b"x" * n),
    ),
)


class ReadingPeerFrames(SynchronousTestCase):
    @given(st.lists(message, max_size=5), st.data())
    def test_any_split(self, messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
        wire = b"".join(frame(opcode, content) for opcode, content in messages)
        receiver = Receiver()
        while wire:
            size = data.draw(st.integers(1, min(len(wire), MOST)))
            receiver.feed(wire[:size])
            wire = wire[size:]
        self.assertEqual(receiver.messages, messages)
        self.assertTrue(receiver.reader.between_messages)

    def test_control_frames_between_fragments(self) -> None:
        receiver = Receiver()
        receiver.feed(frame(TEXT, b"one ", end=False))
        self.assertFalse(receiver.reader.between_messages)
        receiver.feed(frame(PING, b"halt") + frame(CONTINUATION, b"message"))
        self.assertEqual(receiver.messages, [(PING, b"halt"), (TEXT, b"one message")])

    def test_small_messages_come_together(self) -> None:
        receiver = Receiver()
        receiver.feed(b"".join(frame(TEXT, b"%d" % n) for n in range(1000)))
        self.assertEqual(receiver.messages, [(TEXT, b"%d" % n) for n in range(1000)])

    def test_a_block_that_is_one_small_text(self) -> None:
        receiver = Receiver()
        one = frame(TEXT, b"one")
        for block in (one, one[:2], one[2:], one + one, frame(TEXT, b"x" * 513), one):
            receiver.feed(block)
        texts = [text for _, text in receiver.messages]
        self.assertEqual(texts, [b"one"] * 4 + [b"x" * 513, b"one"])
        self.assertEqual(receiver.lone, 2)

    def test_text_is_not_checked_twice(self) -> None:
        receiver = Receiver()
        receiver.feed(frame(TEXT, b"\xff" * 600))
        self.assertEqual(receiver.messages, [(TEXT, b"\xff" * 600)])

    def test_what_no_relay_sends(self) -> None:
        for wire, code in (
            (bytes((FIN | TEXT, 0x81)) + b"mask" + b"x", CLOSE_PROTOCOL_ERROR),
            (frame(CONTINUATION, b"x"), CLOSE_PROTOCOL_ERROR),
            (frame(TEXT, b"x" * (MOST + 1)), CLOSE_TOO_BIG),
        ):
            with self.assertRaises(FrameError) as caught:
                Receiver().feed(wire[: MOST // 2])
            self.assertEqual(caught.exception.code, code)

    def test_compressed_only_where_the_client_negotiated_it(self) -> None:
        with self.assertRaises(FrameError):
            Receiver(deflate=False).feed(frame(TEXT | COMPRESSED, b"x"))
