"""`apptuner_relay.operator.log_targets`: pipes and files, behind a writer."""

import os
import threading
from pathlib import Path

from apptuner_relay.operator.log_targets import DescriptorTarget, FileTarget, open_target
from tests.operator.writer_case import NOTICE, WriterCase


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
