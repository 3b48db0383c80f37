"""`apptuner_relay.spool.bundle_file`: its states, edge by edge; files that are written late, are
lost, or hold what nobody keeps."""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import Settings
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.series import Series
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.disk import ThreadedDisk, Written
from apptuner_relay.spool.file_states import TRANSITIONS, Cut, FileEvent, FileState
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.wire.frames import CONTINUATION, TEXT, frame
from tests.memory import Client, Relay, masked
from tests.memory_store import InlineDisk, MemoryStore
from tests.spool import test_bundle_log
from tests.spool.cases import SlowCase, Spooled, sha256, some_code
from tests.spool.storing import MIB, StoreCase
from tests.tables import check_every_pair

NOBODY = "0" * 64


def update(code: bytes) -> bytes:
    return b'{"type":"bundle_update","payload":{"code":"%b"}}' % code


class LateDisk(InlineDisk):
    """Writes when it is asked to, with `work`, once it is ``late``."""

    def __init__(self) -> None:
        super().__init__()
        self.late = False
        self.wrong: list[str] = []
        self._jobs: list[Callable[[], None]] = []

    def append(
        self, fd: int, file: Written, blocks: Sequence[Block], wake: bool, last: bool
    ) -> None:
        inode = os.fstat(fd).st_ino

        def write() -> None:
            try:
                same = os.fstat(fd).st_ino == inode
            except OSError:
                same = False
            if same:
                super(LateDisk, self).append(fd, file, blocks, wake, last)
            else:
                self.wrong.append(f"{fd} was closed, or another file, when it was to be written")

        self._do(write)

    def discard(self, fd: int | None, path: Path, others: Sequence[Path]) -> None:
        self._do(lambda: super(LateDisk, self).discard(fd, path, others))

    def work(self) -> None:
        """Do what waits."""
        while self._jobs:
            self._jobs.pop(0)()

    def _do(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        if not self.late:
            self.work()


class LateStore(MemoryStore):
    def __init__(self, clock: Clock, settings: Settings) -> None:
        super().__init__(clock, settings)
        self.disk = LateDisk()


class LateWriting(Spooled):
    def setUp(self) -> None:
        self.relay = Relay(LateStore, **self.settings)
        store = self.relay.store
        assert isinstance(store, LateStore) and isinstance(store.disk, LateDisk)
        self.store = store
        self.late = self.disk = store.disk

    def test_a_file_stays_open_until_all_is_written(self) -> None:
        cli = self.connect("cli")
        text = update(some_code(600_000).encode().hex().encode())
        cli.send_raw(masked(TEXT, text[:200_000], fin=False))
        self.connect("mobile", "replay=1")
        self.late.late = True
        cli.send_raw(masked(CONTINUATION, text[200_000:400_000], fin=False))
        cli.lose()
        self.late.work()
        self.assertEqual(self.late.wrong, [])
        self.assertIsNone(self.store.off)

    def test_a_block_is_lent_until_all_of_it_is_written(self) -> None:
        cli, other = self.connect("cli"), self.relay.connect("/cli/OTHER1")
        self.late.late = True
        text = update(b"a" * 100_000)
        # One block: a whole bundle, and one that begins and is given up at once.
        cli.send_raw(
            masked(TEXT, text)
            + masked(TEXT, b'{"type":"bundle_start","totalChunks":2}')
            + masked(TEXT, b'{"type":"bundle_start","totalChunks":-1}')
        )
        for _ in range(3):
            other.send_raw(masked(TEXT, update(b"Z" * 200_000)))
        self.late.work()
        [mine] = [one for one in self.store._latest.values() if one.size < 150_000]
        kept = mine.path.read_bytes()
        self.assertEqual(kept.count(b"Z"), 0, "another session's code")
        self.assertTrue(kept == frame(TEXT, text))

    def test_a_bundle_that_is_not_yet_written_when_the_next_is_cut_short(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={NOBODY}")
        self.bundle(cli, "older")
        self.store.offload.patient = self.late.late = True
        text = self.bundle(cli, "not yet written")
        self.start_chunks(cli, "abc", 3)
        late = self.connect("mobile", "replay=1")
        self.start_chunks(cli, "", 0)
        self.late.work()
        self.store.offload.answer()
        self.assertIn(text, self.texts(late))
        self.assertIn(text, self.texts(phone))


TOLD = ("grew", "finishing", "completed", "used", "closed", "start_digest", "make_code")
"""What a keeper is told, and asked for."""


class ThreadedOrder(SynchronousTestCase):
    def test_a_file_is_truncated_before_it_is_complete(self) -> None:
        calls: list[Callable[[], None]] = []
        failures: list[OSError] = []

        class Reactor:
            def callFromThread(self, function: Callable[..., None], *args: Any) -> None:
                calls.append(lambda: function(*args))

        def run_reactor() -> None:
            while calls:
                calls.pop(0)()

        reactor: Any = Reactor()
        pool: Any = None
        disk = ThreadedDisk(reactor, pool, Spares(0))
        keeper: Any = type(
            "Keeper",
            (),
            {
                "disk": disk,
                "failed": lambda self, bundle, error: failures.append(error),
                **dict.fromkeys(TOLD, lambda self, bundle: None),
            },
        )()
        path = Path(self.mktemp())
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        bundle = BundleFile(keeper, NOBODY, path, fd, StoredForm(Series(None), None, 0))
        bundle.watch(lambda: None)
        bundle.append(Block(0, 10, [bytes(10)]))
        bundle.append(Block(10, 20, [bytes(10)]))
        bundle.finish()
        bundle.watch(lambda: None)
        truncate = os.ftruncate

        def truncate_late(*args: int) -> None:
            run_reactor()
            truncate(*args)

        self.patch(os, "ftruncate", truncate_late)
        disk._jobs.put(None)
        disk._write_all()
        run_reactor()
        self.assertEqual(failures, [])
        self.assertIs(bundle.state, FileState.COMPLETE)

    def test_is_not_whole_while_another_bundle_may_be_behind_it(self) -> None:
        calls: list[Callable[[], object]] = []
        reactor: Any = type(
            "Reactor",
            (),
            {"callFromThread": lambda self, call, *a: calls.append(partial(call, *a))},
        )()
        pool: Any = None
        disk = ThreadedDisk(reactor, pool, Spares(0))
        nothing = dict.fromkeys(TOLD, lambda self, bundle: None)
        keeper: Any = type("Keeper", (), {"disk": disk, **nothing})()
        path = Path(self.mktemp())
        path.write_bytes(b"other" * 10)
        bundle = BundleFile(
            keeper,
            NOBODY,
            path,
            os.open(path, os.O_RDWR),
            StoredForm(Series(None), None, 0),
            size=50,
        )
        bundle.watch(lambda: None)
        bundle.append(Block(0, 10, [bytes(10)]))
        job = disk._jobs.get_nowait()
        assert job is not None
        disk._do(job)
        bundle.finish()
        for call in calls:
            call()
        self.assertIs(bundle.state, FileState.FINISHING)
        calls.clear()
        disk._jobs.put(None)
        disk._write_all()
        for call in calls:
            call()
        self.assertIs(bundle.state, FileState.COMPLETE)
        self.assertEqual(path.read_bytes(), bytes(10))


class FileLost(SlowCase):
    """There is no room, or no disk any more, for what is on its way."""

    settings: ClassVar[dict[str, Any]] = {"max_message": 50_000_000, "window": 2_000_000}
    text = test_bundle_log.SlowPhone.text

    def lose_file(self) -> None:
        [bundle] = self.store._growing.values()
        bundle.cut(Cut.STORE)

    def send(self, slow: Client) -> None:
        """A bundle whose file is lost when two thirds of it have come."""
        for number, _ in enumerate(self.send_in_frames(self.text)):
            if number == 3:
                self.sip(slow)
            if number == 8:
                self.lose_file()

    def test_phones_that_follow_it_get_all_of_it(self) -> None:
        slow = self.join_slow()
        self.send(slow)
        self.assertTexts(self.texts(self.quick), [self.text])
        self.assertTexts(self.drink(slow), [self.text])
        self.assertIsNone(slow.closed)
        self.assertEqual(self.store.files(), [])

    def test_in_other_forms_too(self) -> None:
        self.connect("mobile", deflate=True)
        for query, deflate in (("", True), ("platform=ios&chunks=1", False)):
            slow = self.join_slow(query, deflate=deflate)
            self.send(slow)
            got = [json.loads(text) for text in self.drink(slow)]
            code = "".join(one.get("data") or one.get("payload", {}).get("code", "") for one in got)
            self.assertTrue(code == json.loads(self.text)["payload"]["code"])

    def test_who_comes_later_gets_what_there_was_before(self) -> None:
        kept = self.bundle(self.cli, "kept")
        self.send(self.join_slow())
        self.assertTexts(self.texts(self.connect("mobile", "replay=1")), [kept])

    def test_who_waits_for_its_digest_gets_it(self) -> None:
        for query in ("announce=1", f"have={sha256('other')}"):
            phone = self.connect("mobile", query)
            self.send(self.join_slow())
            self.assertTexts(self.texts(phone), [self.text])


class Scratch(StoreCase):
    """Files of logs that aren't kept."""

    def scratch(self, data: bytes = b"data") -> BundleFile:
        file = self.store.scratch("a")
        assert file is not None
        file.retain()
        file.append(Block(7, 7 + len(data), [data]))
        return file

    def test_goes_with_its_last_reader(self) -> None:
        file = self.scratch()
        file.retain()
        file.finish()
        self.assertEqual(file.read(0, 10), b"data")
        file.release()
        self.assertEqual(len(self.store.files()), 1)
        file.release()
        self.assertEqual(self.store.files(), [])
        self.assertEqual(self.store.used_bytes, 0)

    def test_goes_when_nobody_wants_it_any_more(self) -> None:
        file = self.scratch()
        lost: list[int] = []
        file.on_lost = lambda: lost.append(1)
        file.release()
        self.assertEqual((self.store.files(), lost), ([], []))
        released: list[int] = []
        share = type("Share", (), {"release": lambda self: released.append(1)})()
        file.append(Block(0, 1, [b"x"], share))
        self.assertEqual(released, [1])

    def test_is_nobodys_last_bundle(self) -> None:
        kept = self.put("a")
        file = self.scratch()
        self.assertIsNone(self.store.growing("a"))
        self.assertIs(self.store.last("a"), kept)
        file.finish()
        self.assertIs(file.state, FileState.COMPLETE)
        self.assertIs(self.store.latest("a"), kept)
        self.assertIs(self.store.last("a"), kept)
        file.release()

    def test_counts_against_the_budget(self) -> None:
        self.put("a", MIB)
        file = self.scratch(bytes(9 * MIB))
        self.assertIs(file.state, FileState.GROWING)
        self.assertEqual(self.store.evicted, 1)
        lost: list[int] = []
        file.on_lost = lambda: lost.append(file.written)
        file.append(Block(0, MIB + 1, [bytes(MIB + 1)]))
        self.assertEqual(lost, [9 * MIB])
        self.assertEqual(file.read(9 * MIB - 1, 5), b"\0")
        file.release()
        self.assertEqual(self.store.used_bytes, 0)


class Table(StoreCase):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> BundleFile:
            bundle = self.store.scratch("a")
            assert bundle is not None
            return bundle

        check_every_pair(self, TRANSITIONS, FileState, FileEvent, make)

    def test_what_has_ended_stays_so(self) -> None:
        for state in (FileState.COMPLETE, FileState.CUT):
            self.assertFalse([event for event in FileEvent if (state, event) in TRANSITIONS])
