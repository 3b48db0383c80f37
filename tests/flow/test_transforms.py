"""`apptuner_relay.flow.transforms`: messages in other forms, in any split, and in bounded steps."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.framing import FRAME_BYTES, LEAST_BYTES, MOST_FRAMES
from apptuner_relay.flow.transforms import (
    LEAST_DEFLATED_BYTES,
    Deflated,
    InChunks,
    Inflated,
    Made,
    Transform,
)
from apptuner_relay.wire.frames import (
    BINARY,
    COMPRESSED,
    CONTINUATION,
    FIN,
    TEXT,
    FrameError,
    frame,
)
from apptuner_relay.wire.server_frames import ServerFrames
from tests.memory import deflated, inflated

LIMIT = 4 * 1024 * 1024
NOW_MS = 1_700_000_000_000

Message = tuple[int, bytes]
"""Opcode, with `COMPRESSED` where it is, and payload."""


def bundle(code: str) -> bytes:
    message = {"type": "bundle_update", "payload": {"code": code}, "timestamp": 7}
    return json.dumps(message, ensure_ascii=False).encode()


def wire(messages: list[Message], frame_bytes: int) -> bytes:
    out = b""
    for opcode, payload in messages:
        for at in range(0, len(payload) or 1, frame_bytes):
            end = at + frame_bytes >= len(payload)
            out += frame(CONTINUATION if at else opcode, payload[at : at + frame_bytes], end)
    return out


def run(transform: Transform, data: bytes, split: int) -> list[Made]:
    made: list[Made] = []
    for at in range(0, len(data), split):
        made += transform.feed(data[at : at + split])
    return made


def messages_in(made: list[Made]) -> list[Message]:
    """What a receiver gets; checks that each of ``made`` is a whole frame and what is said of
    it."""
    reader = ServerFrames()
    messages: list[Message] = []
    for parts, size, begins, end in made:
        data = b"".join(parts)
        assert len(data) == size
        pieces = list(reader.feed(data))
        assert len(pieces) == 1, "one whole frame"
        opcode, is_last, payload = pieces[0]
        assert bool(opcode) == begins and is_last == end and bool(data[0] & FIN) == end
        if begins:
            messages.append((opcode, b""))
        messages[-1] = (messages[-1][0], messages[-1][1] + payload)
    assert reader.whole
    return messages


def payload_of(made: Made) -> bytes:
    data = b"".join(made.parts)
    return data[{126: 4, 127: 10}.get(data[1], 2) :]


texts = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda text, times: text * times,
        st.text(min_size=1, max_size=7),
        st.sampled_from([100, 1_000, 20_000]),
    ),
).map(str.encode)


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    out = []
    for payload in draw(st.lists(texts, min_size=1, max_size=3)):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        if draw(st.booleans()):
            out.append((opcode | COMPRESSED, deflated(payload)))
        else:
            out.append((opcode, payload))
    return out


def plain(message: Message) -> Message:
    opcode, payload = message
    return (opcode & ~COMPRESSED, inflated(payload)) if opcode & COMPRESSED else message


splits = st.sampled_from([1_000, 1_400, 65_537, 131_072, 1 << 30])
frame_sizes = st.sampled_from([1_000, 32_768, 65_536, 1 << 30])


class AnySplit(SynchronousTestCase):
    @given(messages(), splits, frame_sizes)
    @settings(max_examples=30, deadline=None)
    def test_inflated(self, sent: list[Message], split: int, frame_bytes: int) -> None:
        made = run(Inflated(LIMIT), wire(sent, frame_bytes), split)
        self.assertEqual(messages_in(made), [plain(message) for message in sent])
        self.check_frames(made)

    @given(messages(), splits, frame_sizes)
    @settings(max_examples=30, deadline=None)
    def test_deflated(self, sent: list[Message], split: int, frame_bytes: int) -> None:
        made = run(Deflated(LIMIT), wire(sent, frame_bytes), split)
        got = messages_in(made)
        self.assertEqual([plain(one) for one in got], [plain(one) for one in sent])
        for (was, payload), (opcode, _) in zip(sent, got, strict=True):
            compresses = was & COMPRESSED or len(payload) >= LEAST_DEFLATED_BYTES
            self.assertEqual(bool(opcode & COMPRESSED), bool(compresses))
        self.check_frames(made)

    @given(texts, st.booleans(), splits, frame_sizes, st.booleans())
    @settings(max_examples=30, deadline=None)
    def test_in_chunks(
        self, code: bytes, compressed: bool, split: int, frame_bytes: int, announced: bool
    ) -> None:
        payload = bundle(code.decode())
        sent = (TEXT | COMPRESSED, deflated(payload)) if compressed else (TEXT, payload)
        transform = InChunks(NOW_MS, LIMIT, len(sent[1]) if announced else None)
        made = run(transform, wire([sent], frame_bytes), split)
        got = [json.loads(payload) for _, payload in messages_in(made)]
        start, chunks = got[0], got[1:]
        self.assertEqual(start["type"], "bundle_start")
        self.assertEqual(start["timestamp"], NOW_MS)
        self.assertEqual(start["totalChunks"], len(chunks))
        self.assertEqual([chunk["index"] for chunk in chunks], list(range(len(chunks))))
        self.assertEqual("".join(chunk["data"] for chunk in chunks), code.decode())
        self.check_frames(made)

    @given(messages(), splits, frame_sizes)
    @settings(max_examples=30, deadline=None)
    def test_no_bundles_in_chunks(self, sent: list[Message], split: int, frame_bytes: int) -> None:
        made = run(InChunks(NOW_MS, LIMIT, None), wire(sent, frame_bytes), split)
        self.assertEqual(messages_in(made), [plain(message) for message in sent])

    def check_frames(self, made: list[Made]) -> None:
        is_text = False
        for one in made:
            if one.begins:
                is_text = b"".join(one.parts)[0] & ~FIN == TEXT
                if b"".join(one.parts)[0] & COMPRESSED and not one.end:
                    self.assertGreaterEqual(one.size, FRAME_BYTES)
            if not one.end:
                self.assertGreater(one.size, LEAST_BYTES - 4)
            self.assertLess(one.size, FRAME_BYTES + LEAST_BYTES + 15)
            if is_text:
                payload_of(one).decode()
        self.assertLessEqual(len(made), MOST_FRAMES)


class Refusing(SynchronousTestCase):
    def fails_with(self, code: int, transform: Transform, data: bytes) -> list[Made]:
        """What was made before it failed."""
        made: list[Made] = []

        def take() -> None:
            made.extend(transform.feed(data))

        self.assertEqual(self.assertRaises(FrameError, take).code, code)
        return made

    def test_what_is_not_deflate(self) -> None:
        for payload in (b"\xff\xff\xff", deflated(b"abc" * 99)[:-9], b""):
            data = frame(TEXT | COMPRESSED, payload)
            self.fails_with(1007, Inflated(LIMIT), data)
            self.fails_with(1007, InChunks(NOW_MS, LIMIT, None), data)

    def test_what_is_not_text(self) -> None:
        for text in (b"\xff", b"a" * 300_000 + b"\xc3", b"\xed\xa0\x80" + b"a" * 300_000):
            self.fails_with(1007, Inflated(LIMIT), frame(TEXT | COMPRESSED, deflated(text)))
            made = run(Inflated(LIMIT), frame(BINARY | COMPRESSED, deflated(text)), 1 << 30)
            self.assertEqual(messages_in(made), [(BINARY, text)])

    def test_what_is_too_long(self) -> None:
        data = frame(TEXT | COMPRESSED, deflated(b"x" * (LIMIT + 1)))
        made = self.fails_with(1009, Inflated(LIMIT), data)
        self.assertLessEqual(sum(one.size for one in made), LIMIT + 1000)
        whole = frame(TEXT | COMPRESSED, deflated(b"x" * LIMIT))
        self.assertEqual(messages_in(run(Inflated(LIMIT), whole, 1000)), [(TEXT, b"x" * LIMIT)])

    def test_a_whole_message_before_a_bad_one(self) -> None:
        data = frame(TEXT | COMPRESSED, deflated(b"good")) + frame(TEXT | COMPRESSED, b"\xff\xff")
        self.assertEqual(messages_in(self.fails_with(1007, Inflated(LIMIT), data)), [(1, b"good")])

    def test_a_bundle_without_an_end(self) -> None:
        text = b'{"type":"bundle_update","payload":{"code":"abc'
        self.fails_with(1011, InChunks(NOW_MS, LIMIT, None), frame(TEXT, text))


class Steps(SynchronousTestCase):
    def test_a_bomb_is_inflated_bit_by_bit(self) -> None:
        limit = 50 * 1024 * 1024
        made = Inflated(limit).feed(frame(TEXT | COMPRESSED, deflated(b"x" * limit)))
        first = next(made)
        self.assertTrue(first.begins)
        # The size of what was inflated for it, of which the frame is a view.
        self.assertLessEqual(len(memoryview(first.parts[-1]).obj), 512 * 1024)

    def test_a_compressed_bundle_is_not_held_back_for_its_end(self) -> None:
        data = wire([(TEXT | COMPRESSED, deflated(bundle("x1y2" * 500_000)))], 1000)
        transform = InChunks(NOW_MS, LIMIT, None)
        made = list(transform.feed(data[: len(data) // 2]))
        self.assertIn(b"bundle_start", payload_of(made[0]))
        self.assertGreater(len(made), 4)
