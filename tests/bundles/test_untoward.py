"""The spool when things come together badly: senders that vanish, files that fail, two at once,
disks that are late."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.bundles.disk import Spares, ThreadedDisk, Written
from apptuner_relay.bundles.spooled import Cut, Form, SpooledBundle, State
from apptuner_relay.flow import Frame
from apptuner_relay.options import Settings
from apptuner_relay.series import Series
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, frame
from tests.bundles.cases import SlowCase, Spooled, brief, some_code
from tests.memory import Relay, deflated, masked
from tests.spool import InlineDisk, MemoryStore

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
        self,
        fd: int,
        file: Written,
        parts: Sequence[Frame],
        wake: bool,
        last: bool,
        done: Callable[[], None] | None,
    ) -> None:
        inode = os.fstat(fd).st_ino

        def write() -> None:
            try:
                same = os.fstat(fd).st_ino == inode
            except OSError:
                same = False
            if same:
                super(LateDisk, self).append(fd, file, parts, wake, last, done)
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
        calls_of_a_keeper = ("grew", "finishing", "completed", "used", "closed")
        keeper: Any = type(
            "Keeper",
            (),
            {
                "disk": disk,
                "failed": lambda self, bundle, error: failures.append(error),
                **dict.fromkeys(calls_of_a_keeper, lambda self, bundle: None),
            },
        )()
        path = Path(self.mktemp())
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        bundle = SpooledBundle(keeper, NOBODY, path, fd, Form(Series(None), None, 0))
        bundle.watch(lambda: None)
        bundle.size = 10
        bundle.append([bytes(10)])
        bundle.size = 20
        bundle.finish()
        bundle.append([bytes(10)])
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
        self.assertIs(bundle.state, State.COMPLETE)


class Unreadable(Spooled):
    def test_its_file_has_gone(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, some_code(300_000))
        for file in self.store.files():
            file.unlink()
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.texts(phone), [])
        self.assertEqual(self.store.bundles, 0)
        text = self.bundle(cli, "next")
        self.assertTexts(self.texts(phone), [text])

    def test_a_small_one_whose_type_is_not_first(self) -> None:
        cli = self.connect("cli")
        text = b'{"timestamp": 1, "type": "bundle_update", "payload": {"code": "%b"}}' % (
            b"x" * 999
        )
        cli.send_raw(masked(TEXT, text))
        self.assertTexts(self.texts(self.connect("mobile", "replay=1")), [text])

    def test_one_that_is_no_text(self) -> None:
        cli = self.connect("cli", deflate=True)
        cli.send_raw(masked(TEXT | COMPRESSED, deflated(update(b"\xff"))))
        phone = self.connect("mobile", "replay=1")
        text = self.bundle(cli, "next")
        self.assertTexts(self.texts(phone), [text])
        self.assertIsNone(phone.closed)


class Waiting(Spooled):
    """Nobody waits for ever."""

    def test_for_chunks_behind_another_message(self) -> None:
        cli = self.connect("cli")
        self.connect("mobile")
        code = some_code(300_000)
        self.start_chunks(cli, code, 3)
        self.chunk(cli, code, 3, 0)
        self.connect("mobile", "replay=1")
        cli.send(type="asset", data="x" * 300_000)
        self.relay.wait(300)
        self.assertEqual(cli.transport.producerState, "producing")

    def test_for_chunks_that_never_come(self) -> None:
        cli = self.connect("cli")
        kept = self.bundle(cli, "the last complete one")
        code = some_code(300_000)
        sent = self.start_chunks(cli, code, 3)
        sent.append(self.chunk(cli, code, 3, 0))
        phone = self.connect("mobile", "replay=1")
        status = cli.send(type="build_error")
        for _ in range(4):
            self.relay.wait(10)
            cli.send(type="ping")
        self.assertTexts(self.texts(phone), [*sent, status, kept])


class Doubled(SlowCase):
    """Nothing comes twice."""

    def test_a_phone_that_has_left_and_gets_a_message_between_chunks(self) -> None:
        slow = self.join_slow()
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        self.sip(slow)
        sent.append(self.chunk(self.cli, code, 6, 0))
        self.wait(slow)
        sent += [self.chunk(self.cli, code, 6, i) for i in (1, 2)]
        status = self.cli.send(type="status")
        self.wait(slow)
        self.assertEqual(self.cli.transport.producerState, "producing")
        sent += [self.chunk(self.cli, code, 6, i) for i in (3, 4, 5)]
        self.assertTexts(self.drink(slow), [*sent, status])

    def test_a_slow_phone_that_wants_announcements(self) -> None:
        slow = self.join_slow("announce=1")
        code = some_code(600_000)
        self.start_chunks(self.cli, code, 6)
        self.chunk(self.cli, code, 6, 0)
        self.sip(slow)
        self.cli.send(type="status")
        self.wait(slow)
        for i in range(1, 6):
            self.chunk(self.cli, code, 6, i)
        types = [json.loads(text)["type"] for text in self.drink(slow)]
        self.assertEqual(sorted(types), ["bundle_available", "status"])

    def test_a_slow_phone_whose_bundle_is_no_longer_kept(self) -> None:
        self.cli = self.connect("cli", deflate=True)
        slow = self.join_slow()
        dashboard = self.connect("dashboard")
        text = update(b"abc" * 600_000)
        self.cli.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        dashboard.send(type="bundle_update", payload={"code": "B"})
        self.wait(slow)
        got = self.drink(slow)
        self.assertTrue(slow.closed or list(map(brief, got)) == [brief(text)])
        self.assertEqual(len(self.store.files()), 1)


class Lost(Spooled):
    """A phone that misses something knows."""

    def test_the_store_fails_in_the_middle_of_chunks(self) -> None:
        cli = self.connect("cli")
        self.connect("mobile")
        code = some_code(600_000)
        sent = self.start_chunks(cli, code, 6)
        sent.append(self.chunk(cli, code, 6, 0))
        phone = self.connect("mobile", "replay=1")
        phone.transport.producer.pauseProducing()
        sent += [self.chunk(cli, code, 6, i) for i in (1, 2)]
        self.store._turn_off(OSError(28, "No space left on device"))
        sent += [self.chunk(cli, code, 6, i) for i in (3, 4, 5)]
        phone.transport.producer.resumeProducing()
        got = self.texts(phone)
        self.assertTrue(phone.closed or len(got) == len(sent))
        self.flushLoggedErrors()

    def test_the_store_has_no_room_for_what_a_phone_waits_for(self) -> None:
        for query in ("announce=1", f"have={NOBODY}"):
            cli = self.connect("cli")
            phone = self.connect("mobile", query)
            rest = self.half(cli, some_code(300_000))
            [bundle] = self.store._growing.values()
            bundle.cut(Cut.STORE)
            cli.send_raw(rest)
            phone.read()
            assert phone.closed is not None
            self.assertEqual(phone.closed[0], 1011, query)

    def test_an_announcement_when_the_next_bundle_is_cut_short(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", "announce=1")
        self.store.offload.patient = True
        self.bundle(cli, "A")
        self.half(cli, some_code(300_000))
        cli.lose()
        self.store.offload.answer()
        self.assertIn("bundle_available", phone.types())

    def test_a_bundle_when_the_next_is_cut_short(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={NOBODY}")
        self.store.offload.patient = True
        text = self.bundle(cli, "A")
        self.start_chunks(cli, "BB", 2)
        self.chunk(cli, "BB", 2, 0)
        cli.lose()
        self.store.offload.answer()
        self.assertIn(text, self.texts(phone))

    def test_a_bundle_whose_successor_is_cut_short_while_it_is_being_read(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "A")
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.start_chunks(cli, "BB", 2)
        self.start_chunks(cli, "", 0)
        while self.disk.reads:
            self.disk.give()
        self.assertIn(text, self.texts(phone))


class TwoSenders(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.cli, self.dashboard = self.connect("cli"), self.connect("dashboard")
        self.code = some_code(600_000)

    def test_chunks_go_to_nobody_who_did_not_get_those_before(self) -> None:
        self.start_chunks(self.cli, self.code, 6)
        self.chunk(self.cli, self.code, 6, 0)
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.chunk(self.cli, self.code, 6, 1)
        self.bundle(self.dashboard, "B")
        while self.disk.reads:
            self.disk.give()
        for i in range(2, 6):
            self.chunk(self.cli, self.code, 6, i)
        while self.disk.reads:
            self.disk.give()
        indexes = [message["index"] for message in phone.received() if "index" in message]
        self.assertEqual(indexes, list(range(len(indexes))))

    def test_who_wants_announcements_gets_nothing_else(self) -> None:
        early = self.connect("mobile", "announce=1")
        self.start_chunks(self.cli, self.code, 3)
        late = self.connect("mobile", "announce=1")
        self.bundle(self.dashboard, "B")
        for i in range(3):
            self.chunk(self.cli, self.code, 3, i)
        self.assertEqual(set(early.types()), {"bundle_available"})
        self.assertEqual(set(late.types()), {"bundle_available"})
