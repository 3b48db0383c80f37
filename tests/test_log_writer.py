"""`apptuner_relay.log_writer` and `log_targets`: a log that nobody reads, or that can't be written.

Where a test waits, it waits for the thread: nothing here goes by the clock.
"""

import os
import re
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.log_targets import DescriptorTarget, FileTarget, open_target
from apptuner_relay.log_writer import FLUSH_S, STUCK_S, LogWriter, Target

NOTICE = re.compile(rb"(\d+) dropped\n")


def notice(count: int) -> str:
    return f"{count} dropped\n"


class Clock:
    now_s = 0.0

    def seconds(self) -> float:
        return self.now_s


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


class WriterCase(SynchronousTestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()

    def writer(self, target: Target, most_bytes: int = 10_000) -> LogWriter:
        return LogWriter(target, notice, most_bytes=most_bytes, seconds=self.clock.seconds)

    def settle(self, writer: LogWriter) -> None:
        """Until all of what was written so far has been dealt with."""
        done = threading.Event()
        writer.call(done.set)
        done.wait()


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

    def test_one_that_is_stuck_is_worth_a_worry(self) -> None:
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


class DescriptorTest(WriterCase):
    def setUp(self) -> None:
        super().setUp()
        self.reading, self.writing = os.pipe()
        self.read: list[bytes] = []

    def begin_to_read(self) -> threading.Thread:
        """Read all that comes until the pipe is closed."""

        def read() -> None:
            while data := os.read(self.reading, 65536):
                self.read.append(data)
            os.close(self.reading)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def test_a_pipe_that_nobody_reads(self) -> None:
        log = self.writer(DescriptorTarget(self.writing))
        count = 10_000
        for number in range(count):
            log.write(f"line {number:08}, which is as long as that\n")
        self.assertGreater(log.dropped, 0)
        reader = self.begin_to_read()
        self.settle(log)
        log.write("end\n")
        self.settle(log)
        os.close(self.writing)
        reader.join()
        data = b"".join(self.read)
        self.assertTrue(data.endswith(b"end\n"))
        told = sum(map(int, NOTICE.findall(data)))
        self.assertEqual(told, log.dropped)
        self.assertEqual(data.count(b"line ") + told, count)

    def test_a_reader_that_has_gone(self) -> None:
        os.close(self.reading)
        self.addCleanup(os.close, self.writing)
        target = DescriptorTarget(self.writing)
        log = self.writer(target)
        for expected in (1, 2):
            log.write("to nobody\n")
            self.settle(log)
            self.assertGreaterEqual(log.dropped, expected)
        self.assertEqual(target.fault, "Broken pipe")

    def test_somebody_has_made_it_non_blocking(self) -> None:
        os.set_blocking(self.writing, False)
        log = self.writer(DescriptorTarget(self.writing), 1_000_000)
        for number in range(5000):
            log.write(f"line {number:08}, which is as long as that\n")
        reader = self.begin_to_read()
        self.settle(log)
        os.close(self.writing)
        reader.join()
        self.assertEqual(b"".join(self.read).count(b"line "), 5000)

    def test_a_line_that_was_cut_is_ended_before_the_next(self) -> None:
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, self.writing)
        target = DescriptorTarget(self.writing)
        real = os.write

        def cut(fd: int, data: memoryview) -> int:
            if fd == self.writing and data[:5] == b"whole":
                return real(fd, data[:9])
            raise OSError(28, "No space left on device")

        self.patch(os, "write", cut)
        self.assertEqual(target.write([b"whole\n", b"this is cut\n", b"lost\n"]), 2)
        self.patch(os, "write", real)
        self.assertEqual(target.write([b"next\n"]), 0)
        self.assertEqual(os.read(self.reading, 99), b"whole\nthi\nnext\n")


class FileTest(WriterCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp()).resolve()

    def test_rotation(self) -> None:
        target = open_target(str(self.path))
        assert isinstance(target, FileTarget)
        target.write([b"one\n"])
        target.rotate()
        target.write([b"two\n"])
        self.assertEqual(self.path.with_name(self.path.name + ".1").read_bytes(), b"one\n")
        self.assertEqual(self.path.read_bytes(), b"two\n")

    def test_another_program_rotates_it(self) -> None:
        target = FileTarget(str(self.path))
        target.write([b"one\n"])
        moved = self.path.rename(self.path.with_name("moved"))
        target.write([b"two\n"])
        target.reopen()
        target.write([b"three\n"])
        self.assertEqual(moved.read_bytes(), b"one\ntwo\n")
        self.assertEqual(self.path.read_bytes(), b"three\n")

    def test_one_that_can_not_be_opened_again_is_tried_again(self) -> None:
        folder = self.path / "logs"
        folder.mkdir(parents=True)
        target = FileTarget(str(folder / "log"))
        target.write([b"one\n"])
        moved = folder.rename(self.path / "moved")
        self.assertRaises(OSError, target.reopen)
        self.assertEqual(target.write([b"lost\n", b"lost\n"]), 2)
        self.assertEqual(target.fault, "No such file or directory")
        moved.rename(folder)
        self.assertEqual(target.write([b"two\n"]), 0)
        self.assertIn(b"two\n", (folder / "log").read_bytes())

    def test_a_named_pipe_without_a_reader(self) -> None:
        os.mkfifo(self.path)
        target = open_target(str(self.path))
        self.assertEqual(target.write([b"hello\n"]), 0)
        reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reading)
        self.assertEqual(os.read(reading, 99), b"hello\n")

    def test_no_such_folder(self) -> None:
        self.assertRaises(OSError, open_target, str(self.path / "no" / "log"))
