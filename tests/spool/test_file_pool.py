"""`apptuner_relay.spool.file_pool`: which file a bundle is written to, and when there is none."""

import errno
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool import file_pool
from apptuner_relay.spool.file_pool import FilePool, OpenFile
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.spool_directory import SpoolDirectory
from tests.memory_store import InlineDisk

LABEL = "0123abcd"
BUSY_S = 1.0


class FilePoolTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk = InlineDisk()
        self.disk.spares = Spares(1 << 20)
        self.directory = SpoolDirectory(Path(tempfile.mkdtemp(dir=os.getcwd())))
        self.addCleanup(self.directory.remove)
        self.errors: list[OSError] = []
        self.pool = FilePool(self.disk, self.errors.append)
        self.logged: list[str] = []
        self.patch(self.pool, "log", self)

    def warn(self, text: str, **values: object) -> None:
        """What the pool logs with."""
        self.logged.append(text.format(**values))

    def take(self) -> OpenFile | None:
        file = self.pool.take(self.directory, LABEL)
        if file is not None:
            self.addCleanup(os.close, file.fd)
        return file

    def test_files_are_made_ahead(self) -> None:
        self.pool.make_ready(self.directory)
        self.assertEqual(len(self.disk.spares), file_pool._LEAST_READY)
        file = self.take()
        assert file is not None
        self.assertEqual((file.size, file.path.parent), (0, self.directory.path))
        self.assertEqual(len(self.disk.spares), file_pool._LEAST_READY)

    def test_spare_file_says_how_much_is_in_it(self) -> None:
        path = self.directory.path / "spare"
        path.write_bytes(bytes(1000))
        self.disk.spares.put(path)
        file = self.take()
        assert file is not None
        self.assertEqual((file.path, file.size), (path, 1000))

    def test_none_while_the_disk_is_busy_which_is_logged_once(self) -> None:
        self.disk.spares = Spares(0, most_files=0)
        self.disk.stuck_s = BUSY_S
        self.assertEqual([self.take(), self.take()], [None, None])
        line = f"session {LABEL}: a bundle is not cached: the disk is busy"
        self.assertEqual((self.logged, self.errors), ([line], []))
        self.disk.stuck_s = 0.0
        self.assertIsNotNone(self.take())
        self.disk.stuck_s = BUSY_S
        self.take()
        self.assertEqual(self.logged, [line, line])

    def test_error_of_the_disk_is_passed_on(self) -> None:
        error = OSError(errno.EIO, "broken")
        self.disk.spares = Spares(0, most_files=0)

        def fails() -> tuple[Path, int]:
            raise error

        self.patch(self.directory, "create", fails)
        self.assertIsNone(self.take())
        self.assertEqual((self.errors, self.logged), ([error], []))

    def test_no_descriptor_left_is_no_fault_of_the_disk(self) -> None:
        self.disk.spares = Spares(0, most_files=0)

        def fails() -> tuple[Path, int]:
            raise OSError(errno.EMFILE, "none left")

        self.patch(self.directory, "create", fails)
        self.assertEqual([self.take(), self.take()], [None, None])
        self.assertEqual(self.errors, [])
        self.assertEqual(
            self.logged, ["bundles are not cached while there are no file descriptors left"]
        )

    def test_spare_file_that_has_gone_is_given_up(self) -> None:
        path = self.directory.path / "spare"
        path.write_bytes(bytes(10))
        self.disk.spares.put(path)
        path.unlink()
        self.assertIsNone(self.take())
        self.assertEqual([error.errno for error in self.errors], [errno.ENOENT])
