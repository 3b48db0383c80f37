"""A spool without threads or processes: a disk that writes at once, digests made when asked."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from apptuner_relay.bundles.bundle import Digest, NoCode
from apptuner_relay.bundles.disk import Spares, Written
from apptuner_relay.bundles.extraction import Extraction, Unreadable
from apptuner_relay.bundles.store import Store
from apptuner_relay.flow import Frame
from apptuner_relay.options import Settings


class InlineDisk:
    """Writes at once. What is read comes when `give` is called, if ``patient``."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.patient = False
        self.stuck_s = 0.0
        self.backlog_bytes = 0
        self.spares = Spares(0)
        self.reads: list[Callable[[], None]] = []
        self.calls: list[Callable[[], None]] = []

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def busy_s(self) -> float:
        return self.stuck_s

    def append(
        self,
        fd: int,
        file: Written,
        parts: Sequence[Frame],
        wake: bool,
        last: bool,
        done: Callable[[], None] | None,
    ) -> None:
        if self.error is not None:
            file.failed(self.error)
        else:
            file.written += os.writev(fd, list(parts)) if parts else 0
            if wake:
                file.progressed()
        if done is not None:
            done()

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        if not self.patient:
            return succeed(os.pread(fd, length, offset))
        data: Deferred[bytes] = Deferred()
        self.reads.append(lambda: data.callback(os.pread(fd, length, offset)))
        return data

    def give(self) -> None:
        """Let what has been asked for come."""
        reads, self.reads = self.reads, []
        for read in reads:
            read()

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        if fd is not None:
            os.close(fd)
        for one in (path, *others):
            one.unlink(missing_ok=True)

    def after(self, call: Callable[[], None]) -> None:
        self.calls.append(call)


class InlineDigestion:
    """Reads the whole file when it is complete; says so at once, or when `Spool.digest` is
    called."""

    def __init__(self, spool: "InlineOffload", path: Path) -> None:
        self.result: Deferred[Digest] = Deferred()
        self._spool = spool
        self._path = path

    def written(self, size: int) -> None: ...

    def finish(self) -> None:
        if self._spool.patient:
            self._spool.waiting.append(self.answer)
        else:
            self.answer()

    def cancel(self) -> None: ...

    def answer(self) -> None:
        try:
            code = code_of(self._path)
        except Unreadable as why:
            self.result.errback(NoCode(str(why)))
        else:
            self.result.callback(Digest(hashlib.sha256(code).hexdigest(), len(code)))


class InlineOffload:
    def __init__(self) -> None:
        self.patient = False
        self.waiting: list[Callable[[], None]] = []

    def digest(self, path: Path) -> InlineDigestion:
        return InlineDigestion(self, path)

    def make(self, path: Path, coding: str, output: Path) -> Deferred[int]:
        try:
            return succeed(output.write_bytes(code_of(path)))
        except Unreadable as why:
            return fail(NoCode(str(why)))

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()


def code_of(path: Path) -> bytes:
    """The code of a bundle, from its file."""
    extraction = Extraction()
    return b"".join(extraction.feed(path.read_bytes())) + extraction.finish()


class MemoryStore(Store):
    """A store on an `InlineDisk`."""

    disk: InlineDisk

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self.parent_folder = Path(tempfile.mkdtemp(prefix="spool-", dir=os.getcwd()))
        self.offload = InlineOffload()
        super().__init__(settings, self.parent_folder, clock, InlineDisk(), self.offload)

    def files(self) -> list[Path]:
        """What is on the disk."""
        return sorted(self.parent_folder.glob("*/*.*"))
