"""`apptuner_relay.bundles.disk`: the thread that writes, and the pool that reads."""

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from apptuner_relay.bundles.disk import Spares, ThreadedDisk

reactor: Any = global_reactor


class File:
    """What is being written."""

    def __init__(self) -> None:
        self.written = 0
        self.told: Deferred[int] = Deferred()
        self.error: Deferred[OSError] = Deferred()

    def progressed(self) -> None:
        self.told.callback(self.written)

    def failed(self, error: OSError) -> None:
        self.error.callback(error)


class ThreadedDiskTest(TestCase):
    def setUp(self) -> None:
        self.spares = Spares(1000)
        self.disk = ThreadedDisk(reactor, reactor.getThreadPool(), self.spares)
        self.disk.start()
        self.addCleanup(self.disk.stop)
        self.path = Path(self.mktemp())
        self.fd = os.open(self.path, os.O_CREAT | os.O_RDWR)
        self.file = File()

    async def test_writes_in_order_and_gives_back(self) -> None:
        given_back: list[int] = []
        parts = [bytes([i % 256]) * i for i in range(1200)]
        lent = bytearray(b"lent")
        self.disk.append(self.fd, self.file, parts, False, False, lambda: given_back.append(1))
        self.disk.append(self.fd, self.file, [memoryview(lent)], True, True, None)
        expected = b"".join(parts) + b"lent"
        self.assertEqual(await self.file.told, len(expected))
        self.assertEqual(self.path.read_bytes(), expected)
        self.assertEqual(given_back, [1])
        # The last one is counted out behind what tells of it.
        counted: Deferred[None] = Deferred()
        self.disk.after(lambda: counted.callback(None))
        await counted
        self.assertEqual(self.disk.backlog_bytes, 0)
        self.assertEqual(await self.disk.read(self.fd, 5, 10), expected[5:15])

    async def test_tells_what_went_wrong_and_goes_on(self) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        self.disk.append(full, self.file, [b"x"], True, False, None)
        error = await self.file.error
        self.assertEqual(error.strerror, "No space left on device")
        other = File()
        self.disk.append(self.fd, other, [b"x"], True, False, None)
        self.assertEqual(await other.told, 1)
        os.close(full)

    async def test_calls_back_after_what_came_before(self) -> None:
        called: Deferred[bytes] = Deferred()
        self.disk.append(self.fd, self.file, [b"before"], False, False, None)
        self.disk.after(lambda: called.callback(self.path.read_bytes()))
        self.assertEqual(await called, b"before")

    async def test_what_is_discarded_is_written_over(self) -> None:
        gone = Path(self.mktemp())
        gone.touch()
        self.disk.append(self.fd, self.file, [b"much longer"], False, True, None)
        done: Deferred[None] = Deferred()
        self.disk.discard(self.fd, self.path, [gone])
        self.disk.after(lambda: done.callback(None))
        await done
        self.assertFalse(gone.exists())
        self.assertEqual(self.spares.size, 11)
        self.assertEqual(self.spares.take(), (self.path, self.fd))
        other = File()
        self.disk.append(self.fd, other, [b"short"], True, True, None)
        await other.told
        self.assertEqual(self.path.read_bytes(), b"short")

    async def test_what_takes_too_much_is_removed(self) -> None:
        self.disk.append(self.fd, self.file, [b"x" * 1001], False, True, None)
        done: Deferred[None] = Deferred()
        self.disk.discard(self.fd, self.path, [])
        self.disk.after(lambda: done.callback(None))
        await done
        self.assertIsNone(self.spares.take())
        self.assertFalse(self.path.exists())

    async def test_stops_when_all_is_written(self) -> None:
        self.disk.append(self.fd, self.file, [b"x" * 100_000] * 50, False, True, None)
        await self.disk.stop()
        self.assertEqual(self.path.stat().st_size, 5_000_000)
