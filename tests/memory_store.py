"""A spool without threads or processes: a disk that writes at once, digests made when asked."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock

from apptuner_relay.config.settings import Settings
from apptuner_relay.flow.log_block import Block
from apptuner_relay.spool.bundle import CodeFile, Digest, NoCode, NotNow
from apptuner_relay.spool.code.dictionary_coding import DictionaryEncoder
from apptuner_relay.spool.code.extraction import Extraction, Unreadable
from apptuner_relay.spool.code.patch_jobs import patching, writing
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.spool.disk import Written, open_file, release
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.store import Store
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault, build_patch

T = TypeVar("T")


class InlineDisk:
    """Writes at once. What is read comes when `give` is called, if ``patient``: then nothing is in
    memory."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.patient = False
        self.stuck_s = 0.0
        self.late_s = 0.0
        self.backlog_bytes = 0
        self.spares = Spares(0, most_files=0)
        self.reads: list[Callable[[], None]] = []
        self.calls: list[Callable[[], None]] = []

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def busy_s(self) -> float:
        return self.stuck_s

    def behind_s(self) -> float:
        return self.late_s

    def append(
        self, fd: int, file: Written, blocks: Sequence[Block], wake: bool, last: bool
    ) -> None:
        if file.given_up:
            pass
        elif self.error is not None:
            file.has_failed = True
            file.failed(self.error)
        else:
            for block in blocks:
                file.written += os.pwritev(fd, list(block.parts), file.written)
            if last:
                os.ftruncate(fd, file.written)
                file.is_cut_off = True
            if wake:
                file.progressed()
        release(blocks)

    def read_now(self, fd: int, offset: int, length: int) -> memoryview | None:
        return None if self.patient else memoryview(os.pread(fd, length, offset)) or None

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        if not self.patient:
            return succeed(os.pread(fd, length, offset))
        data: Deferred[bytes] = Deferred()
        self.reads.append(lambda: data.callback(os.pread(fd, length, offset)))
        return data

    def open(self, path: Path) -> Deferred[int]:
        return execute(open_file, path)

    def give(self) -> None:
        """Let what has been asked for come."""
        reads, self.reads = self.reads, []
        for read in reads:
            read()

    def close(self, fd: int) -> None:
        os.close(fd)

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        with contextlib.suppress(OSError):
            self.spares.put(path, fd)
        for one in others:
            one.unlink(missing_ok=True)

    def after(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return execute(work) if self.error is None else fail(self.error)


class InlineDigestion:
    """Reads the whole file when it is complete; says so at once, or when `InlineOffload.digest` is
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
            self.result.callback(address_of(code))


class InlineOffload:
    def __init__(self, limit: int = 50 * 1024 * 1024) -> None:
        self.limit = limit
        self.patient = False
        self.waiting: list[Callable[[], None]] = []
        self.written = 0
        """How often messages were written."""

    def digest(self, path: Path) -> InlineDigestion:
        return InlineDigestion(self, path)

    def make(self, path: Path, coding: str, output: Path, is_code: bool = False) -> Deferred[int]:
        try:
            return succeed(output.write_bytes(path.read_bytes() if is_code else code_of(path)))
        except Unreadable as why:
            return fail(NoCode(str(why)))

    def make_from(
        self, base: CodeFile, path: Path, size: int, output: Path, is_code: bool = False
    ) -> Deferred[int]:
        code = path.read_bytes() if is_code else code_of(path)
        encoder = DictionaryEncoder(base.path.read_bytes(), base.sha256, size)
        return succeed(output.write_bytes(encoder.feed(code) + encoder.finish()))

    def diff(self, base: CodeFile, new: CodeFile, now_ms: int) -> Deferred[bytes]:
        texts = (one.path.read_bytes() for one in (base, new))
        try:
            made = make_patch(next(texts), base.sha256, next(texts), new.sha256, lambda: 0.0)
        except TooDifferent:
            return fail(NoCode("too different"))
        return succeed(build_patch(made, now_ms))

    def patch(self, base: CodeFile, message: bytes, output: Path) -> Deferred[Digest]:
        def cancel(patched: Deferred[Digest]) -> None:
            self.waiting.remove(answer)
            patched.errback(NotNow("cancelled"))

        patched: Deferred[Digest] = Deferred(cancel)
        request = {
            "path": str(base.path),
            "base_sha256": base.sha256,
            "message": message.decode(),
            "limit": self.limit,
            "part": f"{output}.part",
            "output": str(output),
        }

        def answer() -> None:
            said = next(filter(None, patching(request)))
            if "fault" in said:
                patched.errback(BadPatch(PatchFault(said["fault"])))
            else:
                patched.callback(Digest(**said))

        if self.patient:
            self.waiting.append(answer)
        else:
            answer()
        return patched

    def write(self, code: Path, output: Path, now_ms: int) -> Deferred[int]:
        self.written += 1
        about = {"path": str(code), "part": f"{output}.part", "output": str(output)}
        try:
            steps = writing({**about, "now_ms": now_ms, "limit": self.limit})
            made: int = next(filter(None, steps))["size"]
        except OSError as error:
            return fail(NoCode(str(error)))
        return succeed(made)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()


def address_of(code: bytes) -> Digest:
    """The content address of code."""
    return Digest(hashlib.sha256(code).hexdigest(), len(code), utf16_length(code.decode()))


def code_of(path: Path) -> bytes:
    """The code of a bundle, from its file."""
    extraction = Extraction()
    return b"".join(extraction.feed(path.read_bytes())) + extraction.finish()


class MemoryStore(Store):
    """A store on an `InlineDisk`."""

    disk: InlineDisk

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self.parent_folder = Path(tempfile.mkdtemp(prefix="spool-", dir=os.getcwd()))
        self.offload = InlineOffload(settings.limits.max_message)
        super().__init__(
            settings.bundles,
            settings.limits.max_message,
            self.parent_folder,
            clock,
            InlineDisk(),
            self.offload,
        )

    def files(self) -> list[Path]:
        """What is on the disk."""
        return sorted(self.parent_folder.glob("*/*.*"))
