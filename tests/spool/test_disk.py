"""`apptuner_relay.spool.disk`: the thread that writes, and the pool that reads."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from apptuner_relay.spool.disk import MOST_BACKLOG_BYTES, ThreadedDisk
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.wire.frames import Frame

reactor: Any = global_reactor


class File:
    """What is being written."""

    def __init__(self) -> None:
        self.written = 0
        self.given_up = False
        self.has_failed = False
        self.is_cut_off = False
        self.told: Deferred[int] = Deferred()
        self.error: Deferred[OSError] = Deferred()

    def progressed(self) -> None:
        self.told.callback(self.written)

    def failed(self, error: OSError) -> None:
        self.error.callback(error)


class Counted:
    """A share, and what has become of it."""

    def __init__(self) -> None:
        self.is_released = False

    def release(self) -> None:
        self.is_released = True


def block(parts: Sequence[Frame], share: Counted | None = None) -> Block:
    return Block(0, sum(map(len, parts)), parts, share)


class ByHand(ThreadedDisk):
    """Without its thread."""

    def __init__(self, clock: Clock) -> None:
        reactor: Any = type("Reactor", (), {"callFromThread": lambda self, call, *a: call(*a)})()
        pool: Any = None
        super().__init__(reactor, pool, Spares(0), clock.seconds)

    def work(self, most: int = 100) -> None:
        """Do the first jobs that wait."""
        for _ in range(min(most, self._jobs.qsize())):
            job = self._jobs.get()
            assert job is not None
            self._do(job)


class ThreadedDiskTest(TestCase):
    def setUp(self) -> None:
        self.spares = Spares(1000)
        self.disk = ThreadedDisk(reactor, reactor.getThreadPool(), self.spares)
        self.disk.start()
        self.addCleanup(self.disk.stop)
        self.path = Path(self.mktemp())
        self.fd = os.open(self.path, os.O_CREAT | os.O_RDWR)
        self.file = File()

    def append(
        self, *blocks: Block, file: File | None = None, fd: int = -1, wake: bool = False
    ) -> None:
        fd = self.fd if fd < 0 else fd
        self.disk.append(fd, self.file if file is None else file, blocks, wake, wake)

    async def all_done(self) -> None:
        """What was asked for so far has been done."""
        done: Deferred[None] = Deferred()
        self.disk.after(lambda: done.callback(None))
        await done

    async def test_writes_in_order_and_gives_back(self) -> None:
        parts = [bytes([i % 256]) * i for i in range(1200)]
        lent = bytearray(b"lent")
        one, other = Counted(), Counted()
        self.append(block(parts, one))
        self.append(block([b"a", b"b"]), block([memoryview(lent)], other), wake=True)
        expected = b"".join(parts) + b"ablent"
        self.assertEqual(await self.file.told, len(expected))
        self.assertEqual(self.path.read_bytes(), expected)
        self.assertTrue(one.is_released and other.is_released)
        # The last one is counted out behind what tells of it.
        await self.all_done()
        self.assertEqual(self.disk.backlog_bytes, 0)
        self.assertEqual(await self.disk.read(self.fd, 5, 10), expected[5:15])

    async def test_lends_a_buffer_until_all_of_it_is_written(self) -> None:
        buffer = ReceiveBuffer()
        buffer.room[:6] = b"abcdef"
        first = buffer.data
        views = buffer.room[:3], buffer.room[3:6]
        loan = buffer.lend()
        assert loan is not None
        for view in views:
            self.append(Block(0, 3, [view], loan.share()))
        loan.seal()
        await self.all_done()
        self.assertEqual(self.path.read_bytes(), b"abcdef")
        again = buffer.lend()
        self.assertIsNotNone(again)
        self.assertIs(buffer.data, first)

    async def test_what_could_not_be_written_is_there_until_that_is_known(self) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, full)
        share, later = Counted(), Counted()
        then: list[bool] = []
        self.file.error.addCallback(lambda error: then.append(share.is_released) or error)
        self.append(block([b"x"], share), fd=full)
        self.append(block([b"y"], later), fd=full)
        await self.all_done()
        error = await self.file.error
        self.assertEqual(error.strerror, "No space left on device")
        self.assertEqual((then, self.file.written), ([False], 0))
        self.assertTrue(share.is_released and later.is_released)
        other = File()
        self.append(block([b"x"]), file=other, wake=True)
        self.assertEqual(await other.told, 1)

    async def test_what_nobody_needs_is_not_written(self) -> None:
        self.file.given_up = True
        share = Counted()
        self.append(block([b"x"], share), wake=True)
        await self.all_done()
        self.assertTrue(share.is_released)
        self.assertEqual((self.file.written, self.path.read_bytes()), (0, b""))
        self.assertEqual(self.disk.backlog_bytes, 0)

    async def test_reads_what_is_in_memory_at_once(self) -> None:
        self.append(block([b"x" * 100_000, b"y" * 300_000]))
        await self.all_done()
        data = self.disk.read_now(self.fd, 99_999, 2)
        self.assertEqual(data, b"xy")
        self.assertGreater(len(self.disk.read_now(self.fd, 0, 1_000_000) or b""), 2)
        self.assertIsNone(self.disk.read_now(self.fd, 400_000, 1))

    def test_tells_for_how_long_it_has_been_behind(self) -> None:
        clock = Clock()
        disk = ByHand(clock)
        disk.append(self.fd, self.file, [Block(0, MOST_BACKLOG_BYTES, [b""])], False, False)
        clock.advance(1)
        self.assertEqual(disk.behind_s(), 0)
        disk.append(self.fd, self.file, [Block(0, 1, [b""])], False, False)
        clock.advance(2)
        self.assertEqual(disk.behind_s(), 2)
        busy_s: list[float] = []
        disk.run(lambda: busy_s.append((clock.advance(3), disk.busy_s())[1]))
        disk.work(1)
        self.assertEqual(disk.behind_s(), 0)
        disk.work()
        self.assertEqual((busy_s, disk.busy_s(), disk.backlog_bytes), ([3], 0, 0))

    async def test_does_other_work_behind_what_is_to_be_written(self) -> None:
        self.append(block([b"before"]))
        self.assertEqual(await self.disk.run(self.path.read_bytes), b"before")
        with self.assertRaises(FileNotFoundError):
            await self.disk.run(Path("/nowhere").read_bytes)

    async def test_calls_back_after_what_came_before(self) -> None:
        called: Deferred[bytes] = Deferred()
        self.append(block([b"before"]))
        self.disk.after(lambda: called.callback(self.path.read_bytes()))
        self.assertEqual(await called, b"before")

    async def test_what_is_discarded_is_written_over(self) -> None:
        gone = Path(self.mktemp())
        gone.touch()
        self.append(block([b"much longer"]), wake=True)
        self.disk.discard(self.fd, self.path, [gone])
        await self.all_done()
        self.assertFalse(gone.exists())
        self.assertEqual(self.spares.size, 11)
        self.assertEqual(self.spares.take(), (self.path, 11))
        self.assertEqual(self.spares.size, 0)
        other = File()
        fd = os.open(self.path, os.O_RDWR)
        self.append(block([b"short"]), file=other, fd=fd, wake=True)
        await other.told
        self.disk.close(fd)
        self.assertEqual(self.path.read_bytes(), b"short")

    async def test_what_takes_too_much_is_removed(self) -> None:
        self.append(block([b"x" * 1001]))
        self.disk.discard(self.fd, self.path, [])
        await self.all_done()
        self.assertIsNone(self.spares.take())
        self.assertFalse(self.path.exists())

    async def test_stops_when_all_is_written(self) -> None:
        for _ in range(50):
            self.append(block([b"x" * 100_000]))
        await self.disk.stop()
        self.assertEqual(self.path.stat().st_size, 5_000_000)
