"""`apptuner_relay.spool.spool_directory`: whose folder it is, and what a crash left behind."""

import errno
import fcntl
import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from apptuner_relay.spool.spool_directory import SpoolDirectory


class DirectoryTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent = Path(self.mktemp())

    def test_files_are_new_and_of_this_user_alone(self) -> None:
        directory = SpoolDirectory(self.parent / "deep" / "down")
        (one, fd), (two, other) = directory.create(), directory.create()
        self.assertNotEqual(one, two)
        self.assertEqual(os.fstat(fd).st_mode & 0o777, 0o600)
        self.assertEqual(directory.path.stat().st_mode & 0o777, 0o700)
        directory.remove()
        self.assertFalse(directory.path.exists())
        os.close(fd)
        os.close(other)

    def test_clears_what_nobody_holds_and_nothing_else(self) -> None:
        living = SpoolDirectory(self.parent)
        dead = self.parent / "relay-1-dead"
        dead.mkdir()
        # With what a patch was being made of.
        for name in ("1.frames", "1.identity", "1.0badcafe-code", "1.0badcafe-code.12ab34cd.part"):
            (dead / name).write_bytes(b"x")
        (self.parent / "relay-2-dead").mkdir()
        (self.parent / "precious").mkdir()
        target = self.parent / "target"
        target.mkdir()
        (self.parent / "relay-3-link").symlink_to(target)
        newcomer = SpoolDirectory(self.parent)
        self.assertEqual(newcomer.cleared, 2)
        self.assertEqual(
            {path.name for path in self.parent.iterdir()},
            {living.path.name, newcomer.path.name, "precious", "target", "relay-3-link"},
        )
        living.remove()
        newcomer.remove()

    def test_holds_its_lock(self) -> None:
        directory = SpoolDirectory(self.parent)
        folder = os.open(directory.path, os.O_RDONLY)
        with self.assertRaises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        directory.remove()

    def test_refuses_a_place_that_others_can_write(self) -> None:
        self.parent.mkdir()
        self.parent.chmod(0o777)
        with self.assertRaises(PermissionError):
            SpoolDirectory(self.parent)

    def test_refuses_a_place_of_somebody_else(self) -> None:
        if os.getuid():
            raise SkipTest("only root can give a folder away")
        self.parent.mkdir(mode=0o755)
        os.chown(self.parent, 12345, 12345)
        with self.assertRaises(PermissionError):
            SpoolDirectory(self.parent)

    def test_refuses_a_file(self) -> None:
        self.parent.write_bytes(b"")
        with self.assertRaises(OSError):
            SpoolDirectory(self.parent)

    def test_a_probe_leaves_nothing_behind(self) -> None:
        directory = SpoolDirectory(self.parent)
        directory.probe()
        self.assertEqual(list(directory.path.iterdir()), [])
        self.patch(os, "write", self.full)
        with self.assertRaises(OSError):
            directory.probe()
        self.assertEqual(list(directory.path.iterdir()), [])
        directory.remove()

    def full(self, *_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")
