"""Writes and reads the spool's files. The reactor never waits for a disk.

Files are written in a thread of their own. What the kernel has in memory is read at once, and the
rest in the reactor's thread pool. The bytes that are written may be views of buffers that the
connections receive into: a buffer is lent until its bytes are written.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from apptuner_relay.flow.log_block import Block
from apptuner_relay.spool.page_cache import PageCache
from apptuner_relay.spool.spare_files import Spares, remove
from apptuner_relay.wire.frames import Frame

MOST_BACKLOG_BYTES = 2 * 1024 * 1024
"""Senders are held while more bytes than this wait to be written, of all of them together."""

T = TypeVar("T")

_STOP_S = 5.0
_MOST_PARTS = 512
"""How many parts one call writes; Linux takes up to 1024."""


class Written(Protocol):
    """A file that is being written: `bundle_file.BundleFile`."""

    written: int
    """How many bytes have been written; set by the thread that writes."""
    given_up: bool
    """Whether the rest is not to be written; set in the reactor's thread."""
    has_failed: bool
    """Whether a write has failed; set by the thread that writes."""
    is_cut_off: bool
    """Whether the file ends behind what is `written`; set by the thread that writes."""

    def progressed(self) -> None:
        """Called in the reactor's thread after a write, where that was asked for."""

    def failed(self, error: OSError) -> None:
        """Called once, in the reactor's thread: nothing more can be written. The blocks that
        weren't written are released when this has returned."""


class _Job(NamedTuple):
    fd: int
    file: Written
    blocks: Sequence[Block]
    size: int
    wake: bool
    last: bool

    def with_more(self, more: "_Job") -> "_Job":
        """One job for this one and ``more``, the next one for the same file."""
        return _Job(
            self.fd,
            self.file,
            [*self.blocks, *more.blocks],
            self.size + more.size,
            self.wake or more.wake,
            self.last or more.last,
        )

    def run(self, reactor: IReactorFromThreads) -> None:
        file = self.file
        if file.given_up:
            release(self.blocks)
            return
        if file.has_failed:
            # `failed` may need them, and is called first.
            reactor.callFromThread(release, self.blocks)
            return
        try:
            written = file.written + self.size
            if self.size:
                parts = list(chain.from_iterable(block.parts for block in self.blocks))
                _write(self.fd, parts, file.written)
            if self.last:
                # An earlier bundle may be behind it. Before it is said to be written: from then on
                # the reactor's thread may close it.
                os.ftruncate(self.fd, written)
                file.is_cut_off = True
        except OSError as error:
            file.has_failed = True
            reactor.callFromThread(file.failed, error)
            reactor.callFromThread(release, self.blocks)
            return
        file.written = written
        release(self.blocks)
        if self.wake:
            reactor.callFromThread(file.progressed)


class _Discard(NamedTuple):
    fd: int | None
    path: Path
    others: Sequence[Path]
    spares: Spares
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        try:
            self.spares.put(self.path, self.fd)
        except OSError:
            remove(self.path)
        for path in self.others:
            remove(path)


class _Close(NamedTuple):
    fd: int
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)


class _Call(NamedTuple):
    call: Callable[[], None]
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        reactor.callFromThread(self.call)


class _Work(NamedTuple):
    work: Callable[[], Any]
    done: Deferred[Any]
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        try:
            result = self.work()
        except Exception:
            result = Failure()
        reactor.callFromThread(self.done.callback, result)


_AnyJob = _Job | _Discard | _Close | _Call | _Work


class ThreadedDisk:
    """Where the spool's files are. It works in threads.

    :param pool: the threads that read.
    :param seconds: a clock that any thread may read.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        pool: ThreadPool,
        spares: Spares,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._reactor = reactor
        self._pool = pool
        self._jobs: SimpleQueue[_AnyJob | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._put_bytes = 0
        self._done_bytes = 0
        self._since_s: float | None = None
        self._behind_since_s: float | None = None
        self._page_cache = PageCache()
        self.spares = spares
        """Files to be written over."""

    @property
    def backlog_bytes(self) -> int:
        """How many bytes wait to be written."""
        return self._put_bytes - self._done_bytes

    def start(self) -> None:
        """Begin to write."""
        self._thread = Thread(target=self._write_all, name="spool", daemon=True)
        self._thread.start()

    def stop(self) -> Deferred[None]:
        """Fires when everything has been written, or after a while if the disk is stuck. Nothing
        more is taken."""
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        if thread is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return deferToThreadPool(self._reactor, self._pool, thread.join, _STOP_S)

    def append(
        self, fd: int, file: Written, blocks: Sequence[Block], wake: bool, last: bool
    ) -> None:
        """Write ``blocks`` behind what was written to a file before, and release them.

        :param wake: whether `Written.progressed` is to be called then.
        :param last: whether the file ends there, as far as is known.
        """
        size = sum(block.size for block in blocks)
        self._put_bytes += size
        if self._behind_since_s is None and self.backlog_bytes > MOST_BACKLOG_BYTES:
            self._behind_since_s = self._seconds()
        self._jobs.put(_Job(fd, file, blocks, size, wake, last))

    def read_now(self, fd: int, offset: int, length: int) -> memoryview | None:
        """Up to ``length`` bytes from ``offset`` on, good until the next call. None where the disk
        would have to be waited for."""
        return self._page_cache.read(fd, offset, length)

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        """Up to ``length`` bytes from ``offset`` on, in a thread. Fails with OSError."""
        return deferToThreadPool(self._reactor, self._pool, os.pread, fd, length, offset)

    def open(self, path: Path) -> Deferred[int]:
        """A descriptor of the file at ``path``. Fails with OSError."""
        return deferToThreadPool(self._reactor, self._pool, open_file, path)

    def close(self, fd: int) -> None:
        """Close a file, which stays. That may take a while on some file systems."""
        self._jobs.put(_Close(fd))

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        """Make a spare of the file at ``path``, and remove ``others``, behind all that was appended
        before. The file is closed where it is open as ``fd``."""
        self._jobs.put(_Discard(fd, path, others, self.spares))

    def after(self, call: Callable[[], None]) -> None:
        """Call back in the reactor's thread when all that was appended before has been written."""
        self._jobs.put(_Call(call))

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Call ``work`` in the thread that writes, behind all that was appended before. Fails with
        what it raises."""
        done: Deferred[T] = Deferred()
        self._jobs.put(_Work(work, done))
        return done

    def busy_s(self) -> float:
        """For how many seconds it has been at the same job."""
        since_s = self._since_s
        return 0.0 if since_s is None else self._seconds() - since_s

    def behind_s(self) -> float:
        """For how many seconds more than `MOST_BACKLOG_BYTES` have waited, without a pause."""
        since_s = self._behind_since_s
        return 0.0 if since_s is None else self._seconds() - since_s

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            # What is in the queue is written together. Waiting for more would wake the thread less
            # often, but cost more: the blocks' buffers would leave the processor's cache.
            jobs: list[_AnyJob | None] = [job]
            with contextlib.suppress(Empty):
                while True:
                    jobs.append(self._jobs.get_nowait())
            for one in _merged(jobs):
                if one is None:
                    return
                self._do(one)
            del job, jobs

    def _do(self, job: _AnyJob) -> None:
        self._since_s = self._seconds()
        job.run(self._reactor)
        self._since_s = None
        self._done_bytes += job.size
        if self.backlog_bytes <= MOST_BACKLOG_BYTES:
            self._behind_since_s = None


def _merged(jobs: Iterable[_AnyJob | None]) -> Iterator[_AnyJob | None]:
    """``jobs``, where those for one file that follow each other have become one."""
    writing: dict[Written, _Job] = {}
    for job in jobs:
        if isinstance(job, _Job):
            before = writing.get(job.file)
            writing[job.file] = job if before is None else before.with_more(job)
            continue
        yield from writing.values()
        writing.clear()
        yield job
    yield from writing.values()


def release(blocks: Iterable[Block]) -> None:
    """Release ``blocks``."""
    for block in blocks:
        block.release()


def open_file(path: Path) -> int:
    """A descriptor to read and write the file at ``path``.

    :raises OSError: it can't be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _write(fd: int, parts: Sequence[Frame], offset: int) -> None:
    for at in range(0, len(parts), _MOST_PARTS):
        some = parts[at : at + _MOST_PARTS]
        size = sum(map(len, some))
        done = os.pwritev(fd, some, offset)
        if done < size:
            rest = memoryview(b"".join(some))
            while done < size:
                done += os.pwrite(fd, rest[done:], offset + done)
        offset += size
