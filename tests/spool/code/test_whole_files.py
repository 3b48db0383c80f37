"""Files that are there whole, or not at all."""

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.whole_files import whole_file


class WholeFileTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.part, self.output = self.folder / "code.part", self.folder / "code"

    def write(self, text: bytes) -> None:
        with whole_file(str(self.part), str(self.output)) as file:
            file.write(text)
            self.assertTrue(self.part.exists())
            if text == b"half":
                raise RuntimeError

    def test_it_takes_its_place_when_it_is_whole(self) -> None:
        for text in (b"one", b"two"):
            self.write(text)
            self.assertEqual(list(self.folder.iterdir()), [self.output])
            self.assertEqual(self.output.read_bytes(), text)
        self.assertEqual(stat.S_IMODE(self.output.stat().st_mode), 0o600)

    def test_half_of_it_is_removed(self) -> None:
        self.write(b"one")
        self.assertRaises(RuntimeError, self.write, b"half")
        self.assertEqual(list(self.folder.iterdir()), [self.output])
        self.assertEqual(self.output.read_bytes(), b"one")

    def test_nobody_leads_it_elsewhere(self) -> None:
        other = self.folder / "other"
        other.write_bytes(b"theirs")
        self.part.symlink_to(other)
        self.assertRaises(OSError, self.write, b"one")
        self.assertEqual(other.read_bytes(), b"theirs")
