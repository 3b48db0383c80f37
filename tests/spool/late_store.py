"""A store whose disk and worker do what they are asked to when they are told."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from apptuner_relay.config.settings import Settings
from apptuner_relay.spool.bundle import Digest, NoCode
from apptuner_relay.spool.code.extraction import Extraction, Unreadable
from apptuner_relay.spool.disk import ThreadedDisk, open_file
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.store import Store

SPARE_BYTES = 1024 * 1024


class Reactor:
    """Keeps what a thread wants to be called, until `run`."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self.calls.append(lambda: function(*args))

    def run(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class LateDisk(ThreadedDisk):
    """The real thing without its thread: it works when it is told to."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        super().__init__(self.reactor, None, Spares(SPARE_BYTES))  # type: ignore[arg-type]
        self.reads: list[Callable[[], None]] = []

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        while self.work():
            pass
        return succeed(None)

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        data: Deferred[bytes] = Deferred()
        self.reads.append(lambda: data.callback(os.pread(fd, length, offset)))
        return data

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.reads.append(lambda: done.callback(work()))
        return done

    def open(self, path: Path) -> Deferred[int]:
        fd: Deferred[int] = Deferred()
        self.reads.append(lambda: fd.callback(open_file(path)))
        return fd

    def write_one(self) -> bool:
        """Do one job, as the thread would. Its calls come later."""
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return False
        if job is not None:
            job.run(self.reactor)  # type: ignore[arg-type]
            self._done_bytes += job.size
        return True

    def work(self) -> bool:
        """Do all there is now; whether that was anything."""
        worked = False
        while self.write_one():
            worked = True
        worked = worked or bool(self.reads or self.reactor.calls)
        self.reactor.run()
        reads, self.reads = self.reads, []
        for read in reads:
            read()
        return worked


class LateDigestion:
    def __init__(self, offload: "LateOffload", path: Path) -> None:
        self.result: Deferred[Digest] = Deferred()
        self._offload = offload
        self._path = path
        self._over = False

    def written(self, size: int) -> None: ...

    def finish(self) -> None:
        extraction = Extraction()
        try:
            code = b"".join(extraction.feed(self._path.read_bytes())) + extraction.finish()
        except Unreadable as why:
            error = NoCode(str(why))
            self._offload.waiting.append(lambda: self.tell(self.result.errback, error))
        else:
            digest = Digest(hashlib.sha256(code).hexdigest(), len(code), 0)
            self._offload.waiting.append(lambda: self.tell(self.result.callback, digest))

    def cancel(self) -> None:
        self._over = True

    def tell(self, call: Callable[[Any], None], what: object) -> None:
        if not self._over:
            call(what)


class LateOffload:
    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def digest(self, path: Path) -> LateDigestion:
        return LateDigestion(self, path)

    def make(self, path: Path, coding: str, output: Path) -> Deferred[int]:
        raise NotImplementedError

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def answer(self) -> bool:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()
        return bool(waiting)


class LateStore(Store):
    disk: LateDisk

    def __init__(self, clock: Clock, options: Settings) -> None:
        self.parent_folder = Path(tempfile.mkdtemp(prefix="spool-", dir=os.getcwd()))
        self.offload = LateOffload()
        super().__init__(
            options.bundles,
            options.limits.max_message,
            self.parent_folder,
            clock,
            LateDisk(),
            self.offload,
        )
