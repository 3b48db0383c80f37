"""`apptuner_relay.client.file_watch`: real files, and a clock that is turned by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.file_watch import QUIET_LOOKS, TROUBLE_SECONDS, FileWatch
from apptuner_relay.client.saved_file import Look

from .little_relay import Recorder

INTERVAL = 0.5


class FileWatchTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.screen = Clock(), Recorder()
        self.path = Path(self.mktemp())
        self.saves: list[bytes] = []
        self.write("let a")
        self.reads = 0
        self.watch = self.watching(Look.at(self.path))

    def watching(self, seen: Look | None) -> FileWatch:
        watch = FileWatch(
            self.path,
            seen,
            INTERVAL,
            lambda save: self.saves.append(save.code),
            self.clock,
            self.screen,
            in_thread=self.read,
        )
        watch.start()
        self.addCleanup(watch.stop)
        return watch

    def read(self, function: Any, *arguments: Any) -> Deferred[Any]:
        self.reads += 1
        return execute(function, *arguments)

    def write(self, text: str | bytes) -> None:
        """Write it where it is. The time is another one even if the file system's tick is not."""
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.time = getattr(self, "time", 10**18) + 10**9
        os.utime(self.path, ns=(self.time, self.time))

    def looks(self, number: int) -> None:
        self.clock.pump([INTERVAL] * number)

    def rest(self) -> None:
        """Until a change that is there now is read."""
        self.looks(1 + QUIET_LOOKS)

    def test_what_does_not_change_is_not_read(self) -> None:
        self.looks(50)
        self.assertEqual((self.reads, self.saves), (0, []))

    def test_every_save(self) -> None:
        for text in ("let b", "let c", "let c;"):
            self.write(text)
            self.rest()
            self.assertEqual(self.saves.pop().decode(), text)
        self.looks(50)
        self.assertEqual(self.saves, [])

    def test_it_is_read_when_it_rests(self) -> None:
        for piece in range(10):
            self.write("let b" + ";" * piece)
            self.looks(QUIET_LOOKS)
            self.assertEqual(self.reads, 0)
        self.looks(1)
        self.assertEqual(self.saves, [b"let b" + b";" * 9])

    def test_another_file_takes_its_place(self) -> None:
        other = self.path.with_name("other")
        other.write_bytes(b"let b")
        status = self.path.stat()
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(self.path)
        self.rest()
        self.assertEqual(self.saves, [b"let b"])

    def test_deleted_for_a_moment(self) -> None:
        self.path.unlink()
        self.looks(2)
        self.write("let b")
        self.rest()
        self.assertEqual(self.saves, [b"let b"])
        self.assertEqual(self.screen.err.getvalue(), "")

    def test_gone_and_back_as_it_was(self) -> None:
        aside = self.path.with_name("aside")
        self.path.rename(aside)
        self.looks(1)
        aside.rename(self.path)
        self.rest()
        # A rename changes no content, and who hears of it can tell.
        self.assertEqual(self.saves, [b"let a"])

    def test_what_is_wrong_for_long_is_said_once(self) -> None:
        for spoil, words in (
            (lambda: None, "it is gone; waiting for it to come back"),
            (lambda: self.path.mkdir(), "it is no regular file"),
            (lambda: os.mkfifo(self.path), "it is no regular file"),
            (lambda: self.path.write_bytes(b""), "it is empty; waiting for more"),
            (lambda: self.path.symlink_to(self.path.name), "Too many levels of symbolic links"),
        ):
            self.path.unlink()
            spoil()
            self.clock.pump([INTERVAL] * int(TROUBLE_SECONDS / INTERVAL))
            self.assertEqual(self.screen.err.getvalue(), "")
            self.looks(50)
            said = self.screen.err.getvalue()
            self.assertEqual(said.count(str(self.path)), 1, said)
            self.assertIn(words, said)
            self.screen.err.truncate(0)
            self.screen.err.seek(0)
            if self.path.is_dir():
                self.path.rmdir()
            else:
                self.path.unlink(missing_ok=True)
            self.write(f"let {words!r}")
            self.rest()
            self.assertEqual(self.saves.pop().decode(), f"let {words!r}")
        self.assertEqual(self.saves, [])

    def test_one_that_never_rests(self) -> None:
        for number in range(20):
            self.write("x" * number)
            self.looks(1)
        said = self.screen.err.getvalue()
        self.assertEqual(said.count("it is being written to"), 1, said)
        self.assertEqual(self.saves, [])

    def test_what_is_no_text(self) -> None:
        self.write(b"let \xff")
        self.looks(50)
        said = self.screen.err.getvalue()
        self.assertEqual(said.count("it is not UTF-8 (at byte 4), and is not sent"), 1, said)
        self.write("let b")
        self.rest()
        self.assertEqual(self.saves, [b"let b"])

    def test_it_changes_while_it_is_read(self) -> None:
        def read(function: Any, *arguments: Any) -> Deferred[Any]:
            found = execute(function, *arguments)
            self.watch._in_thread = self.read
            self.write("let c")
            return found

        self.watch._in_thread = read
        self.write("let b")
        self.rest()
        self.assertEqual(self.saves, [b"let b"])
        self.rest()
        self.assertEqual(self.saves, [b"let b", b"let c"])

    def test_it_can_not_be_read(self) -> None:
        def read(function: Any, *arguments: Any) -> Deferred[Any]:
            self.path.unlink()
            return execute(function, *arguments)

        self.watch._in_thread = read
        self.write("let b")
        self.rest()
        self.watch._in_thread = self.read
        self.write("let c")
        self.rest()
        self.assertEqual(self.saves, [b"let c"])

    def test_no_looks_while_it_is_read(self) -> None:
        reading: Deferred[Any] = Deferred()
        self.watch._in_thread = lambda *call: reading
        self.write("let b")
        self.rest()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watch.stop()
        reading.callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_was_not_read_yet(self) -> None:
        self.watch.stop()
        self.watching(None)
        self.rest()
        self.assertEqual(self.saves, [b"let a"])
        self.looks(50)
        self.assertEqual(self.saves, [b"let a"])
