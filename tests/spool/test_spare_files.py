"""`apptuner_relay.spool.spare_files`: which files are written over, and which are removed."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.spare_files import Spares


class Pool(SynchronousTestCase):
    def setUp(self) -> None:
        self.spares = Spares(1000, most_files=3)
        self.addCleanup(self.spares.drop)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def put(self, name: str, size: int) -> None:
        path = self.folder / name
        path.write_bytes(bytes(size))
        self.spares.put(path, os.open(path, os.O_RDWR))

    def names(self) -> list[str]:
        """Those that are there, as on the disk; taken out."""
        there = sorted(path.name for path in self.folder.iterdir())
        taken = []
        while spare := self.spares.take():
            taken.append(spare.path.name)
        self.assertEqual(sorted(taken), there)
        self.assertEqual(self.spares.size, 0)
        return taken

    def test_the_one_that_was_written_last_is_taken_first(self) -> None:
        for name, size in (("a", 100), ("empty", 0), ("b", 200)):
            self.put(name, size)
        self.assertEqual(self.spares.size, 300)
        self.assertEqual(self.names(), ["b", "a", "empty"])

    def test_what_has_pages_counts_more_than_what_has_none(self) -> None:
        for name in ("e1", "e2", "e3"):
            self.put(name, 0)
        self.put("a", 100)
        self.put("e4", 0)
        self.assertEqual(len(self.spares), 3)
        self.assertEqual(self.names()[0], "a")

    def test_the_oldest_goes_where_there_are_too_many(self) -> None:
        for name in "abcd":
            self.put(name, 100)
        self.assertEqual(self.spares.size, 300)
        self.assertEqual(self.names(), ["d", "c", "b"])

    def test_what_takes_too_much_is_removed(self) -> None:
        self.put("a", 600)
        self.put("b", 500)
        self.assertEqual(self.names(), ["a"])

    def test_none_where_none_are_wanted(self) -> None:
        self.put("a", 1)
        self.spares.is_wanted = False
        self.spares.drop()
        self.put("b", 0)
        self.assertEqual(self.names(), [])
