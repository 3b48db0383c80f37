"""`apptuner_relay.wire.frame_runs`: where runs of whole frames end. How readers use them:
`test_bridged_frames`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frame_runs import SMALL_BYTES, end_of_run, find_rest, payloads
from apptuner_relay.wire.frames import CONTINUATION, TEXT, frame
from tests.memory import masked

SIZES = (2, 5, 125, 126, SMALL_BYTES, SMALL_BYTES + 1)


class SmallFrames(SynchronousTestCase):
    @given(
        st.lists(st.sampled_from(SIZES), min_size=1, max_size=60),
        st.booleans(),
        st.integers(0, 3000),
    )
    def test_a_run_ends_behind_the_last_small_frame_that_is_whole(
        self, sizes: list[int], has_masks: bool, cut: int
    ) -> None:
        wire, expected, is_run = b"", 0, True
        frames = [(masked if has_masks else frame)(TEXT, b"x" * size) for size in sizes]
        stop = max(1, sum(map(len, frames)) - cut)
        for size, one in zip(sizes, frames, strict=True):
            wire += one
            is_run = is_run and size <= SMALL_BYTES and len(wire) <= stop
            expected = len(wire) if is_run else expected
        found = end_of_run(bytearray(wire), 0, stop, has_masks)
        self.assertEqual(wire[:found], wire[:expected])

    def test_the_last_bytes_of_a_block_are_left(self) -> None:
        """They may be too few for a header, which is told by reading all of one."""
        run = frame(TEXT, b"some") + frame(TEXT, b"x")
        self.assertEqual(end_of_run(bytearray(run), 0, len(run), False), len(frame(TEXT, b"some")))

    def test_what_is_in_one(self) -> None:
        texts = [b"x" * size for size in SIZES[:-1]]
        run = b"".join(frame(TEXT, text) for text in texts)
        self.assertEqual(list(payloads(run)), texts)


class RestOfAMessage(SynchronousTestCase):
    def find(self, *frames: bytes, less: int = 0) -> tuple[int, int, bool]:
        wire = b"".join(frames)
        return find_rest(bytearray(wire), 0, len(wire) - less)

    def test_to_its_end(self) -> None:
        first = frame(CONTINUATION, b"x" * 60_000, False)
        last = frame(CONTINUATION, b"y" * 300)
        behind = frame(TEXT, b"z" * 20)
        self.assertEqual(self.find(first, last, behind), (len(first + last), 60_300, True))

    def test_what_is_not_whole_is_left(self) -> None:
        first, last = frame(CONTINUATION, b"x" * 200, False), frame(CONTINUATION, b"y" * 300)
        self.assertEqual(self.find(first, last, less=1), (len(first), 200, False))

    def test_it_holds_a_control_frame_up_no_longer_than_a_frame_does(self) -> None:
        long, short = (frame(CONTINUATION, b"x" * size, False) for size in (90_000, 30_000))
        for frames, size in (((long, short), 90_000), ((short, short, short), 60_000)):
            found = self.find(*frames)
            self.assertEqual(found[1:], (size, False))

    def test_other_frames_are_left(self) -> None:
        long_form = b"\x80\x7e\x00\x05" + b"12345" * 3
        for other in (frame(TEXT, b"z" * 20), masked(CONTINUATION, b"z" * 20), long_form):
            self.assertEqual(self.find(other), (0, 0, False), other)
