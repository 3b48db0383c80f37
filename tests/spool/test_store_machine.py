"""A hypothesis machine for `store`, `bundle_file`, `disk` and `outage` together, on real files.

Logs grow, end, are read and are let go of, while the disk fails, is late and is mended.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import make_settings
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.receive_buffer import MOST_BUFFERS, ReceiveBuffer
from apptuner_relay.flow.series import Series
from apptuner_relay.spool import disk as disk_module
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.disk import ThreadedDisk, open_file
from apptuner_relay.spool.file_states import Cut, FileState
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.spool_directory import SpoolDirectory
from apptuner_relay.spool.store import Store
from apptuner_relay.wire.frames import Frame
from tests.memory_store import InlineOffload

LIMIT_BYTES = 1024 * 1024
SPARE_BYTES = 128 * 1024
BLOCK_BYTES = 300_000
SELDOM = st.integers(0, 2).map(lambda n: n == 2)


BLOCKS = st.tuples(st.integers(1, BLOCK_BYTES) | st.integers(1, 5000), st.booleans())


class LateDisk(ThreadedDisk):
    """The real thing without its thread and its pool: it works when it is told to."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.calls: list[Callable[[], object]] = []
        reactor: Any = type("Reactor", (), {"callFromThread": self._call_from_thread})()
        pool: Any = None
        super().__init__(reactor, pool, Spares(SPARE_BYTES, 3), seconds)

    def _call_from_thread(self, function: Callable[..., object], *args: object) -> None:
        self.calls.append(lambda: function(*args))

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        while self.work() or self.turn():
            pass
        return succeed(None)

    def work(self) -> bool:
        """Do one job, as the thread would; whether there was any."""
        if self._jobs.empty():
            return False
        job = self._jobs.get()
        assert job is not None
        self._do(job)
        return True

    def turn(self) -> bool:
        """Make the calls that the thread has asked for; whether there were any."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        return bool(calls)

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        return execute(os.pread, fd, length, offset)

    def open(self, path: Path) -> Deferred[int]:
        return execute(open_file, path)


class Model:
    """What a file should hold, and who needs it."""

    def __init__(self, file: BundleFile) -> None:
        self.file = file
        self.data = b""
        self.blocks: list[tuple[Block, bytes]] = []
        self.users = 0
        self.lost = 0
        self.is_finished = False
        file.on_lost = self.lose

    def lose(self) -> None:
        self.lost += 1
        assert self.file.state is not FileState.COMPLETE
        self.check_blocks()

    def check_blocks(self) -> None:
        """What isn't written is still in memory."""
        for block, data in self.blocks:
            if block.stop > self.file.written:
                assert b"".join(block.parts) == data, "a buffer was taken before it was written"


class Spooling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.disk = LateDisk(self.clock.seconds)
        self.parent = Path(tempfile.mkdtemp(prefix="spool-", dir=os.getcwd()))
        settings = make_settings(spool_limit=LIMIT_BYTES, bundle_ttl=1000.0)
        self.store = Store(
            settings.bundles,
            settings.limits.max_message,
            self.parent,
            self.clock,
            self.disk,
            InlineOffload(),
        )
        self.buffer = ReceiveBuffer()
        self.models: list[Model] = []
        self.error: OSError | None = None
        self.count = 0
        write, probe = disk_module._write, SpoolDirectory.probe

        def write_or_fail(fd: int, parts: Sequence[Frame], offset: int) -> None:
            if self.error is not None:
                raise self.error
            write(fd, parts, offset)

        def probe_or_fail(directory: SpoolDirectory) -> None:
            if self.error is not None:
                raise self.error
            probe(directory)

        self.patches = [
            mock.patch.object(disk_module, "_write", write_or_fail),
            mock.patch.object(SpoolDirectory, "probe", probe_or_fail),
        ]
        for patch in self.patches:
            patch.start()

    @initialize()
    def starts(self) -> None:
        self.store.startService()

    def one(self, data: st.DataObject, wanted: Callable[[Model], bool]) -> Model | None:
        models = [model for model in self.models if wanted(model)]
        return data.draw(st.sampled_from(models)) if models else None

    @rule(session=st.sampled_from("abc"), is_kept=st.booleans())
    def begins(self, session: str, is_kept: bool) -> None:
        if is_kept:
            file = self.store.record(session, StoredForm(Series(None), None, 0))
        else:
            file = self.store.scratch(session)
        assert file is None or self.store.off is None
        if file is not None:
            self.models.append(Model(file))
            if not is_kept:
                self.models[-1].users += 1
                file.retain()

    @rule(data=st.data(), blocks=st.lists(BLOCKS, min_size=1, max_size=4))
    def grows(self, data: st.DataObject, blocks: list[tuple[int, bool]]) -> None:
        for size, is_lent in blocks:
            model = self.one(data, lambda one: not one.is_finished and not one.lost)
            if model is None or not model.file.is_open:
                self.begins("a", is_kept=True)
            else:
                self.grow(model, size, is_lent)

    def grow(self, model: Model, size: int, is_lent: bool) -> None:
        self.count += 1
        content = self.count.to_bytes(4, "big") * (size // 4 + 1)
        content = content[:size]
        self.buffer.room[:size] = content
        start = len(model.data)
        loan = self.buffer.lend() if is_lent else None
        if loan is None:
            block = Block(start, start + size, [content[: size // 2], content[size // 2 :]])
        else:
            view = memoryview(loan._data)[self.buffer.START :][:size]
            block = Block(start, start + size, [view[: size // 2], view[size // 2 :]], loan.share())
            loan.seal()
        model.data += content
        model.blocks.append((block, content))
        model.file.append(block)

    @rule(data=st.data(), seldom=SELDOM, is_whole=st.booleans())
    def ends(self, data: st.DataObject, seldom: bool, is_whole: bool) -> None:
        model = self.one(data, lambda one: not one.is_finished)
        if model is not None and seldom:
            model.is_finished = True
            if is_whole:
                model.file.finish()
            else:
                model.file.cut(Cut.SENDER)

    @rule(data=st.data())
    def is_wanted(self, data: st.DataObject) -> None:
        model = self.one(data, lambda one: not one.file.gone)
        if model is not None:
            model.users += 1
            model.file.retain()

    @rule(data=st.data())
    def is_let_go(self, data: st.DataObject) -> None:
        model = self.one(data, lambda one: bool(one.users))
        if model is not None:
            self.let_go(model)

    def let_go(self, model: Model) -> None:
        model.users -= 1
        model.file.release()

    @rule(data=st.data(), length=st.integers(1, 2 * BLOCK_BYTES))
    def is_read(self, data: st.DataObject, length: int) -> None:
        model = self.one(data, lambda one: bool(one.users and one.file.written))
        if model is None:
            return
        file = model.file
        offset = data.draw(st.integers(0, file.written - 1))
        length = min(length, file.written - offset)
        expected = model.data[offset : offset + length]
        got = file.read(offset, length)
        if got is None:
            fetched: list[bytes] = []
            file.fetch(offset, length).addCallback(fetched.append)
            [fetched_now] = fetched
            assert fetched_now == expected
        else:
            assert got == expected[: len(got)]

    @rule(jobs=st.integers(1, 6))
    def disk_works(self, jobs: int) -> None:
        for _ in range(jobs):
            self.disk.work()

    @rule(seldom=SELDOM)
    def reactor_turns(self, seldom: bool) -> None:
        if seldom:
            self.disk.turn()

    @rule(seconds=st.integers(1, 12))
    def time_goes_by(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    @precondition(lambda self: self.error is None)
    @rule(number=st.sampled_from((errno.EIO, errno.ENOSPC, errno.EFBIG)))
    def disk_fails(self, number: int) -> None:
        self.error = OSError(number, os.strerror(number))

    @precondition(lambda self: self.error is not None)
    @rule()
    def disk_is_mended(self) -> None:
        self.error = None

    @invariant()
    def memory_is_not_used_twice(self) -> None:
        for model in self.models:
            if (model.file.is_open or model.file.in_use) and not model.lost:
                model.check_blocks()
            assert model.lost <= 1
            assert model.lost == 1 or model.file.why_cut is not Cut.STORE

    @invariant()
    def the_budget_holds(self) -> None:
        assert self.disk.spares.size <= SPARE_BYTES
        # A block that is one too many is counted, and not written.
        over = [model for model in self.models if model.file.in_use]
        assert self.store.used_bytes <= LIMIT_BYTES + BLOCK_BYTES * (1 + len(over))

    def settle(self) -> None:
        while self.disk.work() or self.disk.turn():
            pass

    def teardown(self) -> None:
        try:
            if self.store.running:
                self.check_all()
        finally:
            for patch in self.patches:
                patch.stop()

    def check_all(self) -> None:
        self.error = None
        for model in self.models:
            if not model.is_finished:
                model.file.finish()
        self.settle()
        for model in self.models:
            assert not model.file.is_open
            if model.users and not model.lost and model.file.state is FileState.COMPLETE:
                assert os.pread(model.file.fd, len(model.data) + 1, 0) == model.data
            while model.users:
                self.let_go(model)
        for _ in range(40):
            self.clock.pump([1.0] * 10)
            self.settle()
        assert self.store.off is None, self.store.off
        kept = set(self.store._latest.values())
        assert set(self.store._counted) == kept
        assert all(not one.in_use and one.state is FileState.COMPLETE for one in kept)
        spares = {path for path, _ in self.disk.spares._files}
        assert set(self.parent.glob("*/*")) == {one.path for one in kept} | spares
        assert self.store.used_bytes == sum(path.stat().st_size for path in self.parent.glob("*/*"))
        for model in self.models:
            if model.file in kept:
                assert model.file.path.read_bytes() == model.data
        # All that was lent has come back.
        assert all(self.buffer.lend() is not None for _ in range(MOST_BUFFERS - 1))
        self.store.stopService()
        self.settle()
        assert list(self.parent.glob("*")) == []


class StoreMachine(SynchronousTestCase):
    def test_the_disk_fails_behind_one_that_was_cut_and_is_read(self) -> None:
        for is_known in (False, True):
            spooling = Spooling()
            spooling.starts()
            spooling.settle()
            spooling.begins("a", is_kept=True)
            [model] = spooling.models
            model.users += 1
            model.file.retain()
            for _ in range(3):
                spooling.grow(model, 1000, is_lent=True)
            model.is_finished = True
            model.file.cut(Cut.SENDER)
            if is_known:
                spooling.store._outage.fail(OSError(errno.EIO, "broken"))
            else:
                spooling.disk_fails(errno.EIO)
                while spooling.disk.work():
                    model.check_blocks()
                spooling.disk.turn()
            # It has looked at what isn't written while that was still there.
            self.assertEqual(model.lost, 1)
            spooling.teardown()

    def test_all_of_it(self) -> None:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Spooling,
            settings=settings(
                max_examples=100,
                stateful_step_count=60,
                deadline=None,
                report_multiple_bugs=False,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        self.flushLoggedErrors()
