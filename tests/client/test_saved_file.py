"""`apptuner_relay.client.saved_file`: a file at one moment."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import saved_file
from apptuner_relay.client.saved_file import Look, NotAFileError, Save, read_bytes

from .bundle_server import sha256


class SavedFileTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"let a")

    def test_it_is_read_as_it_looks(self) -> None:
        self.assertEqual(read_bytes(self.path), (Look.at(self.path), b"let a"))

    def test_every_change_looks_different(self) -> None:
        def append() -> None:
            with self.path.open("ab") as file:
                file.write(b";")

        def replace() -> None:
            other = self.path.with_name("other")
            other.write_bytes(self.path.read_bytes())
            other.replace(self.path)

        def set_back() -> None:
            status = self.path.stat()
            os.utime(self.path, ns=(status.st_atime_ns, 10**18))

        for change in (append, replace, set_back):
            before = Look.at(self.path)
            change()
            self.assertNotEqual(Look.at(self.path), before, change)

    def test_one_that_changes_while_it_is_read(self) -> None:
        looks = iter((Look.at(self.path), Look.at(self.path)._replace(modified_ns=1)))
        self.patch(saved_file.Look, "at", lambda file: next(looks))
        self.assertIsNone(read_bytes(self.path))

    def test_what_is_no_file(self) -> None:
        fifo = Path(self.mktemp())
        os.mkfifo(fifo)
        for path in (fifo, Path("/dev/null")):
            self.assertRaises(NotAFileError, Look.at, path)
            self.assertRaises(NotAFileError, read_bytes, path)
        for path, error in ((Path(self.mktemp()), FileNotFoundError), (Path("/"), OSError)):
            self.assertRaises(error, read_bytes, path)

    def test_a_save(self) -> None:
        self.assertEqual(Save.of("é🛒".encode()).sha256, sha256("é🛒".encode()))
        self.assertRaises(UnicodeDecodeError, Save.of, b"\xff")
        self.assertRaises(UnicodeDecodeError, Save.of, b"\xed\xa0\x80")
