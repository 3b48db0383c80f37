"""`apptuner_relay.flow.frame_index` and `log_block`: where frames and messages end."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.log_block import cut_out
from tests.flow.parts import LateFile
from tests.flow.writing import Writing


class Where(SynchronousTestCase):
    """Where frames and messages end."""

    def setUp(self) -> None:
        self.writing = Writing(LateFile())
        self.log = self.writing.log
        self.writing.write(b"a" * 8, end=False)
        self.writing.write(b"b" * 8, begins=False)
        self.writing.write(b"c" * 8)
        # Each frame is 10 bytes.

    def test_frames(self) -> None:
        log = self.log
        self.assertEqual([at for at in range(31) if log.index.ends_frame(at)], [0, 10, 20, 30])
        self.assertEqual([log.index.next_frame_end(at) for at in (0, 9, 10, 29)], [10, 10, 20, 30])
        self.assertEqual(log.index.last_frame_end(0, 5), 10)
        self.assertEqual(log.index.last_frame_end(0, 25), 20)
        self.assertEqual(log.index.last_frame_end(5, 1000), 30)

    def test_messages(self) -> None:
        log = self.log
        self.assertEqual(
            [log.index.count_messages(at) for at in (0, 19, 20, 29, 30)], [0, 0, 1, 1, 2]
        )
        self.assertEqual([log.index.message_end(n) for n in range(4)], [0, 20, 30, None])
        self.assertTrue(log.is_between_messages)
        self.writing.write(b"d", end=False)
        self.assertFalse(log.is_between_messages)
        self.assertEqual((log.whole, log.begun, log.last_begun), (30, 3, 3))

    def test_cut_out(self) -> None:
        parts = [b"abc", memoryview(b"def"), b"", b"ghi"]
        for skip in range(9):
            for most in range(1, 12):
                data = b"".join(cut_out(parts, skip, most))
                self.assertEqual(data, b"abcdefghi"[skip : skip + most])
