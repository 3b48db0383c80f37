"""`apptuner_relay.spool.outage`: its states, edge by edge; what turns the spool off and on."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import Settings
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.series import Series
from apptuner_relay.spool import file_pool
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.file_states import FileState
from apptuner_relay.spool.outage import Outage
from apptuner_relay.spool.outage_states import TRANSITIONS, OutageEvent, OutageState
from apptuner_relay.spool.spare_files import Spares
from apptuner_relay.spool.spool_directory import SpoolDirectory
from tests.memory_store import MemoryStore
from tests.spool.storing import MIB, StoreCase, wire_form
from tests.tables import check_every_pair


class Failing(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def count(self, text: str) -> int:
        return sum(text in (formatEvent(event) or "") for event in self.logged)

    def fails(self, number: int | None) -> None:
        """The disk, from now on; None mends it."""
        self.store.disk.error = None if number is None else OSError(number, os.strerror(number))

    def turned_off(self, failures: int = 1) -> None:
        """The store is off, keeps nothing new, and has said so once."""
        self.assertIsNotNone(self.store.off)
        self.assertIsNone(self.store.record("c", StoredForm(Series(None), None, 0)))
        self.assertIsNone(self.store.scratch("c"))
        self.assertEqual((self.store.failures, self.count("THE SPOOL IS OFF")), (failures,) * 2)

    def turned_on(self) -> None:
        self.assertIsNone(self.store.off)
        self.assertIs(self.put("d").state, FileState.COMPLETE)
        self.assertEqual(self.count("the spool is on again"), self.store.failures)

    def test_full(self) -> None:
        kept = self.put("a")
        lost: list[str] = []
        others = [self.begin(name) for name in "ef"]
        for other in others:
            other.on_lost = lambda: lost.append("lost")
        self.fails(errno.ENOSPC)
        bundle = self.put("b")
        self.assertIs(bundle.state, FileState.CUT)
        self.assertEqual(lost, ["lost"] * 2)
        self.turned_off()
        self.assertEqual(self.store.off, "No space left on device")
        # What is complete is there as ever.
        self.assertIs(self.store.latest("a"), kept)
        code = self.successResultOf(kept.code("identity"))
        self.assertEqual(code.read_bytes(), b"x" * 10)

    def test_is_on_again_when_it_is_mended(self) -> None:
        self.put("a")
        self.fails(errno.EIO)
        self.put("b")
        self.clock.pump([1.0] * 30)
        self.turned_off()
        self.fails(None)
        self.clock.pump([1.0] * 10)
        self.turned_on()
        self.assertIsNotNone(self.store.latest("a"))

    def test_makes_room_first_where_it_was_full(self) -> None:
        for name in "abc":
            self.put(name, MIB)
            self.clock.advance(1)
        directory = self.directory()
        free_bytes = [0]
        self.patch(directory, "free_bytes", lambda: free_bytes[0])
        self.fails(errno.ENOSPC)
        self.put("d", 10)
        self.assertEqual(self.store.bundles, 3)
        self.fails(None)
        self.clock.pump([1.0] * 10)
        # It has to take what it did not, and a little more.
        self.assertEqual([bool(self.store.latest(name)) for name in "abc"], [False, False, True])
        self.turned_on()

    def test_takes_a_longer_rest_when_it_fails_again(self) -> None:
        for n, rest_s in enumerate((10, 20, 40, 80, 160, 300, 300), 1):
            self.fails(errno.ENOSPC)
            self.put("a")
            self.turned_off(n)
            self.fails(None)
            self.clock.pump([1.0] * (rest_s - 1))
            self.assertIsNotNone(self.store.off)
            self.clock.pump([1.0] * 2)
            self.assertIsNone(self.store.off)
        self.clock.pump([1.0] * 60)
        self.fails(errno.ENOSPC)
        self.put("a")
        self.fails(None)
        self.clock.pump([1.0] * 11)
        self.turned_on()

    def test_what_was_before_it_is_not_the_last_any_more(self) -> None:
        self.put("a")
        self.put("b")
        self.fails(errno.EIO)
        self.put("a")
        self.assertIsNone(self.store.latest("a"))
        self.store.record("b", StoredForm(Series(None), None, 0))
        self.assertIsNone(self.store.latest("b"))

    def test_one_that_has_all_is_not_lost(self) -> None:
        bundle = self.begin("a")
        bundle.append(Block(0, 4, [b"data"]))
        # The thread has written it, and what it says of that is on its way.
        told = self.patch(BundleFile, "progressed", lambda self: None)
        bundle.finish()
        self.assertIs(bundle.state, FileState.FINISHING)
        told.restore()
        self.store._outage.fail(OSError(errno.EIO, "broken"))
        self.assertIs(bundle.state, FileState.COMPLETE)
        self.assertIs(self.store.latest("a"), bundle)

    def test_a_file_that_is_too_big_for_the_system(self) -> None:
        self.fails(errno.EFBIG)
        self.assertIs(self.put("a").state, FileState.CUT)
        self.fails(None)
        self.assertIsNone(self.store.off)
        self.assertIs(self.put("b").state, FileState.COMPLETE)

    def test_no_file_can_be_made(self) -> None:
        directory = self.directory()
        before = directory.path
        directory.path = Path("/nowhere")
        self.assertIsNone(self.store.record("a", StoredForm(Series(None), None, 0)))
        self.turned_off()
        directory.path = before

    def test_no_descriptor_is_left(self) -> None:
        spares = self.store.disk.spares = Spares(MIB, most_files=1)
        spares.put(*self.directory().create())
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        patched = self.patch(file_pool, "open_file", Mock(side_effect=error))
        for _ in range(2):
            self.assertIsNone(self.store.record("a", StoredForm(Series(None), None, 0)))
        self.assertEqual(self.count("no file descriptors left"), 1)
        self.assertIsNone(self.store.off)
        patched.restore()
        # What was there to be written over still is.
        self.assertEqual(len(spares), 1)
        self.assertIs(self.put("a").state, FileState.COMPLETE)

    def test_its_folder_was_removed(self) -> None:
        kept = self.put("a")
        shutil.rmtree(self.store.parent_folder)
        self.assertIsNone(self.store.record("b", StoredForm(Series(None), None, 0)))
        self.turned_off()
        self.clock.pump([1.0] * 10)
        self.turned_on()
        kept.retain()
        self.failureResultOf(kept.fetch(0, 1), OSError)
        kept.unreadable()
        kept.release()

    def test_stuck(self) -> None:
        called: list[int] = []
        bundle = self.begin("a")
        self.store.when_written(lambda: called.append(1))
        self.store.disk.stuck_s = 2.1
        self.clock.advance(1)
        self.assertIs(bundle.state, FileState.CUT)
        self.assertEqual(called, [1])
        self.turned_off()
        self.assertEqual(self.store.off, "the disk is too slow")

    def test_too_much_to_write_for_too_long(self) -> None:
        kept, bundle = self.put("b"), self.begin("a")
        self.store.disk.late_s = 2.0
        self.clock.advance(1)
        self.assertIsNone(self.store.off)
        self.store.disk.late_s = 2.1
        self.clock.advance(1)
        self.assertIs(bundle.state, FileState.CUT)
        self.turned_off()
        self.store.disk.late_s = 0.0
        self.clock.pump([1.0] * 10)
        self.turned_on()
        self.assertIs(self.store.latest("b"), kept)

    def test_a_trial_that_takes_long_does_not_count(self) -> None:
        self.fails(errno.EIO)
        self.put("a")
        self.fails(None)
        directory = self.directory()
        self.patch(directory, "probe", lambda: self.clock.advance(2.5))
        self.clock.pump([1.0] * 10)
        self.turned_off()
        self.patch(directory, "probe", lambda: None)
        self.clock.pump([1.0] * 10)
        self.turned_on()

    def test_what_is_being_read_stays_for_its_readers(self) -> None:
        bundle = self.put("a")
        bundle.retain()
        self.fails(errno.EIO)
        self.put("a")
        self.assertEqual(len(self.store.files()), 1)
        # Of the many that are kept few are read: it is opened now.
        self.assertIsNone(bundle.read(0, 10))
        self.assertEqual(self.successResultOf(bundle.fetch(0, 10)), wire_form(10)[:10])
        self.assertEqual(bundle.read(0, 10), wire_form(10)[:10])
        bundle.release()
        self.assertEqual(self.store.files(), [])
        self.turned_off()

    def test_stops_while_it_is_off(self) -> None:
        self.put("a")
        self.fails(errno.EIO)
        self.put("b")
        self.successResultOf(self.store.stopService())
        self.assertEqual(list(self.store.parent_folder.glob("relay-*")), [])
        self.fails(None)
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.store.off, "The relay is stopping")

    def test_its_end_does_not_wait_for_a_disk_that_stands_still(self) -> None:
        self.put("a")
        self.store.disk.stuck_s = 5.0
        self.successResultOf(self.store.stopService())
        # The next relay clears it.
        self.assertEqual(len(list(self.store.parent_folder.glob("relay-*"))), 1)

    def directory(self) -> SpoolDirectory:
        directory = self.store._outage.directory
        assert directory is not None
        return directory


class NoPlace(SynchronousTestCase):
    def test_a_folder_that_can_not_be_until_it_can(self) -> None:
        clock = Clock()
        store = MemoryStore(clock, Settings())
        store.parent_folder.chmod(0o777)
        store.startService()
        self.assertIsNone(store.record("a", StoredForm(Series(None), None, 0)))
        self.assertEqual(store.failures, 1)
        store.parent_folder.chmod(0o700)
        clock.pump([1.0] * 10)
        self.assertIsNotNone(store.record("a", StoredForm(Series(None), None, 0)))
        self.successResultOf(store.stopService())


class Table(StoreCase):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> Outage:
            disk = self.store.disk
            return Outage(Path("unused"), self.clock, disk, lambda: None, lambda size: None)

        check_every_pair(self, TRANSITIONS, OutageState, OutageEvent, make)

    def test_what_has_stopped_stays_so(self) -> None:
        for event in OutageEvent:
            self.assertNotIn((OutageState.STOPPED, event), TRANSITIONS)
