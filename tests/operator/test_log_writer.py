"""`apptuner_relay.operator.log_writer` and `log_targets`: a log that nobody reads, or that can't be
written.

Where a test waits, it waits for the thread: nothing here goes by the clock.
"""

import threading

from apptuner_relay.operator import log_writer
from apptuner_relay.operator.log_writer import FLUSH_S, STUCK_S, LogWriter
from tests.operator.writer_case import NOTICE, WriterCase, notice


class Gate:
    """A target that lets nothing through while it is shut, and loses what it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.lines: list[bytes] = []
        self.fault: str | None = None

    def write(self, lines: list[bytes]) -> int:
        self.entered.set()
        self.open.wait()
        if self.fault is not None:
            return len(lines)
        self.lines += lines
        return 0


class WritingTest(WriterCase):
    def setUp(self) -> None:
        super().setUp()
        self.gate = Gate()
        self.log = self.writer(self.gate, 50_000)

    def test_in_order(self) -> None:
        for number in range(100):
            self.log.write(f"{number}\n")
        self.settle(self.log)
        self.assertEqual(self.gate.lines, [b"%d\n" % number for number in range(100)])
        self.assertEqual(self.log.dropped, 0)

    def test_what_a_target_has_no_letters_for_is_escaped(self) -> None:
        log = LogWriter(self.gate, notice, encoding="latin-1")
        log.write("schön \u2713 \ud800\n")
        self.settle(log)
        self.assertEqual(self.gate.lines, ["schön \\u2713 \\ud800\n".encode("latin-1")])

    def test_the_number_of_those_dropped_comes_where_they_would_have_been(self) -> None:
        self.gate.open.clear()
        self.log.write("first\n")
        self.gate.entered.wait()
        for number in range(1000):
            self.log.write(f"{number}\n")
        kept = 1000 - self.log.dropped
        self.assertTrue(0 < kept < 1000)
        self.gate.open.set()
        self.settle(self.log)
        self.log.write("after\n")
        self.settle(self.log)
        lines = [b"first\n", *(b"%d\n" % number for number in range(kept))]
        self.assertEqual(self.gate.lines[: kept + 1], lines)
        self.assertEqual(self.gate.lines[-1], b"after\n")
        told = [int(found[1]) for found in map(NOTICE.fullmatch, self.gate.lines) if found]
        self.assertEqual(sum(told), 1000 - kept)

    def test_what_could_not_be_written_is_told_of_once_it_can(self) -> None:
        self.gate.fault = "No space left on device"
        for _ in range(3):
            self.log.write("lost\n")
            self.settle(self.log)
        self.assertEqual(self.log.trouble, "the log can't be written: No space left on device")
        self.gate.fault = None
        self.log.write("found\n")
        self.settle(self.log)
        self.assertEqual(self.gate.lines, [notice(self.log.dropped).encode(), b"found\n"])
        self.assertGreaterEqual(self.log.dropped, 3)
        self.assertIsNone(self.log.trouble)

    def test_a_burst_does_not_fill_the_queue_while_the_thread_rests(self) -> None:
        self.patch(log_writer, "PAUSE_S", 3600.0)
        self.log.write("first\n")
        for _ in range(10):
            self.assertTrue(self.gate.entered.wait(60), "the thread rests")
            self.gate.entered.clear()
            self.log.write("x" * 30_000 + "\n")
        self.log.finish()
        self.log.wait()
        self.assertEqual(self.log.dropped, 0)
        self.assertEqual(len(self.gate.lines), 11)

    def test_one_that_is_stuck_is_worth_a_warning(self) -> None:
        self.gate.open.clear()
        self.log.write("first\n")
        self.gate.entered.wait()
        self.assertIsNone(self.log.trouble)
        self.clock.now_s += STUCK_S + 1
        self.assertIn("nobody reads the log", self.log.trouble or "")
        self.gate.open.set()
        self.settle(self.log)

    def test_nothing_before_a_daemon_has_forked(self) -> None:
        self.log.hold()
        self.log.write("early\n")
        self.assertFalse(self.gate.entered.is_set())
        self.log.start()
        self.settle(self.log)
        self.assertEqual(self.gate.lines, [b"early\n"])

    def test_a_target_that_breaks_is_no_end(self) -> None:
        def break_() -> None:
            raise ValueError("broken")

        self.log.call(break_)
        self.log.write("after\n")
        self.settle(self.log)
        self.assertEqual(self.gate.lines, [b"after\n"])


class EndTest(WriterCase):
    def test_the_last_lines_are_waited_for(self) -> None:
        gate = Gate()
        log = self.writer(gate)
        log.write("one\n")
        log.finish()
        log.write("last\n")
        self.assertEqual(gate.lines, [b"one\n", b"last\n"])

    def test_so_is_room_for_them(self) -> None:
        gate = Gate()
        gate.open.clear()
        log = self.writer(gate, 200)
        log.write("one\n")
        gate.entered.wait()
        log.write("x" * 150 + "\n")
        log.finish()
        opening = threading.Timer(0, gate.open.set)
        opening.start()
        log.write("y" * 150 + "\n")
        opening.join()
        self.assertEqual(log.dropped, 0)
        self.assertEqual(gate.lines[-1], b"y" * 150 + b"\n")

    def test_but_not_for_ever(self) -> None:
        gate = Gate()
        gate.open.clear()
        log = self.writer(gate)
        log.write("one\n")
        gate.entered.wait()
        log.finish()
        self.clock.now_s += FLUSH_S
        log.write("last\n")
        log.finish_at_exit()
        self.assertEqual(gate.lines, [])
        gate.open.set()
