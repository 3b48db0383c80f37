"""Writes the spool's files in a thread of its own, and reads them in the reactor's pool of threads.

The reactor never waits for a disk. What is to be written may be views of buffers that the
connections receive into: they are lent until they are written.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from apptuner_relay.flow import Frame

_MOST_SPARES = 4
_STOP_S = 5.0
_MOST_PARTS = 512
"""How much one call writes at once; Linux takes 1024 parts."""


class Written(Protocol):
    """Whose parts are written."""

    written: int
    """Bytes in the file; counted by the thread that writes."""

    def progressed(self) -> None:
        """Called in the reactor's thread, where that was asked for, after something was written."""

    def failed(self, error: OSError) -> None:
        """Called in the reactor's thread: nothing more can be written."""


class Disk(Protocol):
    """Where the spool's files are."""

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be written."""

    def append(
        self,
        fd: int,
        file: Written,
        parts: Sequence[Frame],
        wake: bool,
        last: bool,
        done: Callable[[], None] | None,
    ) -> None:
        """Write ``parts`` behind what was written to a file before. ``wake`` asks for
        `Written.progressed`; ``last`` says that nothing else comes; ``done`` is called, in any
        thread, when the parts are needed no more."""

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        """Up to ``length`` bytes from ``offset`` on. Fails with OSError."""

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        """The file at ``path``, open as ``fd`` or not, and some other files are needed no more,
        once all that was appended before has been written."""

    def after(self, call: Callable[[], None]) -> None:
        """Call back in the reactor's thread when all that was appended before is written."""


class _Job(NamedTuple):
    fd: int
    file: Written
    parts: Sequence[Frame]
    size: int
    wake: bool
    last: bool
    done: Callable[[], None] | None

    def run(self, reactor: IReactorFromThreads) -> None:
        try:
            written = self.file.written + self.size
            if self.parts:
                _write(self.fd, self.parts)
            if self.last:
                # It may have been longer, with another bundle. Not after it is said to be written:
                # from then on the reactor's thread may close it.
                os.ftruncate(self.fd, written)
            self.file.written = written
            if self.wake:
                reactor.callFromThread(self.file.progressed)
        except OSError as error:
            reactor.callFromThread(self.file.failed, error)
        if self.done is not None:
            self.done()


class _Discard(NamedTuple):
    fd: int | None
    path: Path
    others: Sequence[Path]
    spares: "Spares"
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC) if self.fd is None else self.fd
            self.spares.put(self.path, fd)
        except OSError:
            # There may be no descriptor left to keep it with.
            with contextlib.suppress(OSError):
                self.path.unlink()
        for path in self.others:
            with contextlib.suppress(OSError):
                path.unlink()


class _Call(NamedTuple):
    call: Callable[[], None]
    size: int = 0

    def run(self, reactor: IReactorFromThreads) -> None:
        reactor.callFromThread(self.call)


class Spares:
    """Files that are needed no more and may be written over, which costs a fifth of writing new
    ones: their pages are in memory. For any thread.

    :param most_bytes: what they may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._files: deque[tuple[Path, int]] = deque()

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(os.fstat(fd).st_size for _, fd in tuple(self._files))

    def put(self, path: Path, fd: int) -> None:
        """Keep a file, or remove it."""
        fits = self.size + os.fstat(fd).st_size <= self.most_bytes
        if fits and len(self._files) < _MOST_SPARES:
            os.lseek(fd, 0, os.SEEK_SET)
            self._files.append((path, fd))
        else:
            _remove(path, fd)

    def take(self) -> tuple[Path, int] | None:
        """One of them, to be written from its start."""
        return self._files.popleft() if self._files else None

    def drop(self) -> None:
        """Remove them all."""
        while file := self.take():
            _remove(*file)


def _remove(path: Path, fd: int) -> None:
    os.close(fd)
    with contextlib.suppress(OSError):
        path.unlink()


class ThreadedDisk:
    """A `Disk` that works beside the reactor.

    :param pool: where reading is done.
    """

    def __init__(self, reactor: IReactorFromThreads, pool: ThreadPool, spares: Spares) -> None:
        self._reactor = reactor
        self._pool = pool
        self._jobs: SimpleQueue[_Job | _Discard | _Call | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._put_bytes = 0
        self._done_bytes = 0
        self._since_s: float | None = None
        self.spares = spares

    @property
    def backlog_bytes(self) -> int:
        """See `Disk`."""
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
        self,
        fd: int,
        file: Written,
        parts: Sequence[Frame],
        wake: bool,
        last: bool,
        done: Callable[[], None] | None,
    ) -> None:
        """See `Disk`."""
        size = sum(map(len, parts))
        self._put_bytes += size
        self._jobs.put(_Job(fd, file, parts, size, wake, last, done))

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        """See `Disk`."""
        return deferToThreadPool(self._reactor, self._pool, os.pread, fd, length, offset)

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        """See `Disk`."""
        self._jobs.put(_Discard(fd, path, others, self.spares))

    def after(self, call: Callable[[], None]) -> None:
        """See `Disk`."""
        self._jobs.put(_Call(call))

    def busy_s(self) -> float:
        """For how many seconds the same thing has been written."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._since_s = time.monotonic()
            job.run(self._reactor)
            self._since_s = None
            self._done_bytes += job.size
            del job


def _write(fd: int, parts: Sequence[Frame]) -> None:
    for at in range(0, len(parts), _MOST_PARTS):
        some = parts[at : at + _MOST_PARTS]
        left = sum(map(len, some)) - os.writev(fd, some)
        if left:
            rest = memoryview(b"".join(some))[-left:]
            while rest:
                rest = rest[os.write(fd, rest) :]
