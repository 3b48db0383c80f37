"""`apptuner_relay.spool.page_cache`: what can be had without waiting, and that nothing waits."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool import page_cache
from apptuner_relay.spool.page_cache import BLOCK_BYTES, PageCache

DATA = bytes(range(256)) * 2048


class Reading(SynchronousTestCase):
    def setUp(self) -> None:
        self.cache = PageCache()
        path = Path(self.mktemp())
        path.write_bytes(DATA)
        self.fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def test_what_is_in_memory(self) -> None:
        self.assertEqual(self.cache.read(self.fd, 5, 10), DATA[5:15])
        block = self.cache.read(self.fd, 1, 2 * BLOCK_BYTES)
        assert block is not None
        self.assertEqual(block, DATA[1 : 1 + len(block)])
        self.assertLessEqual(len(block), BLOCK_BYTES)
        self.assertEqual(self.cache.read(self.fd, len(DATA) - 3, 100), DATA[-3:])

    def test_nothing_where_nothing_is(self) -> None:
        self.assertIsNone(self.cache.read(self.fd, len(DATA), 1))
        closed = os.dup(self.fd)
        os.close(closed)
        self.assertIsNone(self.cache.read(closed, 0, 1))

    def test_nothing_where_the_disk_has_to_be_read(self) -> None:
        self.answer(errno.EAGAIN)
        self.assertIsNone(self.cache.read(self.fd, 0, 1))
        self.assertEqual(self.calls, [os.RWF_NOWAIT])

    def test_a_file_system_that_can_not_tell(self) -> None:
        device = os.fstat(self.fd).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        for kind, asked in (("overlay", []), ("tmpfs", [0, 0]), ("fuse.tmpfs", [])):
            self.cache = PageCache()
            mounts = Path(self.mktemp())
            mounts.write_text(
                "22 1 0:1 / / rw shared:1 - tmpfs none rw\n"
                f"36 35 {number} / /spool rw,noatime master:1 - {kind} none rw\n"
            )
            self.patch(page_cache, "_MOUNTS", mounts)
            self.answer(errno.EOPNOTSUPP)
            for _ in range(2):
                data = self.cache.read(self.fd, 3, 4)
                self.assertEqual(data, DATA[3:7] if asked else None, kind)
            # Once is enough to find out.
            self.assertEqual(self.calls, [os.RWF_NOWAIT, *asked], kind)

    def test_a_device_that_is_not_mounted_here(self) -> None:
        mounts = Path(self.mktemp())
        for content in ("", "1 0 0:1 / / rw - tmpfs none rw\n"):
            if content:
                mounts.write_text(content)
            self.patch(page_cache, "_MOUNTS", mounts)
            self.answer(errno.EOPNOTSUPP)
            self.assertIsNone(PageCache().read(self.fd, 0, 1))

    def answer(self, number: int) -> None:
        """What `os.preadv` says when it is not to wait."""
        self.calls: list[int] = []
        if not hasattr(self, "real"):
            self.real = os.preadv

        def preadv(fd: int, views: Sequence[memoryview], offset: int, flags: int) -> int:
            self.calls.append(flags)
            if flags:
                raise OSError(number, os.strerror(number))
            return self.real(fd, views, offset)

        self.patch(os, "preadv", preadv)
