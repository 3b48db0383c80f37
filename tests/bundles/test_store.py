"""`apptuner_relay.bundles.store`: lifetime, budget, and disks that fail."""

import errno
import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.bundles.bundle import NoCode
from apptuner_relay.bundles.spooled import Form, SpooledBundle, State
from apptuner_relay.options import Settings
from apptuner_relay.series import Series
from apptuner_relay.wire.frames import TEXT, frame
from tests.spool import MemoryStore

TTL_S = 100.0
MIB = 1024 * 1024


def wire_form(size: int) -> bytes:
    text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * size)
    return frame(TEXT, text)


class StoreCase(SynchronousTestCase):
    limit = 10 * MIB

    def setUp(self) -> None:
        self.clock = Clock()
        settings = Settings(bundle_ttl=TTL_S, spool_limit=self.limit)
        self.store = MemoryStore(self.clock, settings)
        self.store.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.store.running:
            self.successResultOf(self.store.stopService())

    def begin(self, session: str) -> SpooledBundle:
        bundle = self.store.record(session, Form(Series(None), None, 0))
        assert bundle is not None
        return bundle

    def put(self, session: str, size: int = 10, finish: bool = True) -> SpooledBundle:
        """Keep a bundle of about that size."""
        bundle = self.begin(session)
        data = wire_form(size)
        bundle.size += len(data)
        bundle.whole = bundle.size
        if finish:
            bundle.finish()
        bundle.append([data])
        return bundle


class Lifetime(StoreCase):
    def test_one_for_each_session(self) -> None:
        self.put("a")
        last = self.put("a")
        other = self.put("b")
        self.assertIs(self.store.latest("a"), last)
        self.assertIs(self.store.latest("b"), other)
        self.assertEqual(self.store.bundles, 2)
        self.assertEqual(len(self.store.files()), 2)

    def test_goes_when_it_was_not_used_for_so_long(self) -> None:
        bundle = self.put("a")
        self.clock.advance(TTL_S - 1)
        bundle.retain()
        bundle.release()
        self.clock.advance(TTL_S - 1)
        self.assertIs(self.store.latest("a"), bundle)
        self.clock.advance(2)
        self.assertIsNone(self.store.latest("a"))
        self.assertEqual(self.store.files(), [])
        self.assertEqual(self.store.used_bytes, 0)

    def test_stays_while_it_is_read(self) -> None:
        bundle = self.put("a")
        bundle.retain()
        self.clock.pump([1.0] * int(TTL_S + 5))
        self.assertIs(self.store.latest("a"), bundle)
        self.put("a")
        self.assertEqual(len(self.store.files()), 2)
        bundle.release()
        self.assertEqual(len(self.store.files()), 1)

    def test_its_code_goes_with_it(self) -> None:
        bundle = self.put("a")
        path = self.successResultOf(bundle.code("identity"))
        self.assertEqual(path.read_bytes(), b"x" * 10)
        self.assertEqual(self.successResultOf(bundle.code("identity")), path)
        self.assertEqual(self.store.used_bytes, bundle.size + 10)
        self.put("a")
        self.assertFalse(path.exists())

    def test_what_has_no_code_says_so_to_all_who_ask(self) -> None:
        bundle = self.begin("a")
        bundle.size = bundle.whole = 2
        bundle.finish()
        bundle.append([frame(TEXT, b"")])
        for asked in (bundle.digest(), bundle.code("gzip"), bundle.digest(), bundle.code("gzip")):
            self.failureResultOf(asked, NoCode)
        self.assertFalse(bundle.in_use)

    def test_nothing_is_left_at_the_end(self) -> None:
        self.put("a")
        self.put("b", finish=False)
        self.successResultOf(self.store.stopService())
        self.assertEqual(list(self.store.parent_folder.glob("relay-*")), [])


class Budget(StoreCase):
    limit = MIB

    def test_what_was_used_least_recently_goes_first(self) -> None:
        for name in "abc":
            self.put(name, 300_000)
            self.clock.advance(1)
        bundle = self.store.latest("a")
        assert bundle is not None
        bundle.retain()
        bundle.release()
        self.clock.advance(1)
        self.put("d", 300_000)
        self.assertEqual(
            [bool(self.store.latest(name)) for name in "abcd"], [True, False, True, True]
        )
        self.assertLessEqual(self.store.used_bytes, self.limit)
        self.assertEqual(self.store.evicted, 1)

    def test_what_is_too_big_alone_is_not_kept(self) -> None:
        before = self.put("a", 300_000)
        bundle = self.put("a", 2 * MIB)
        self.assertIs(bundle.state, State.CUT)
        self.assertIsNone(self.store.latest("b"))
        self.assertNotEqual(before.size, 0)
        self.assertLessEqual(self.store.used_bytes, self.limit)
        self.assertIs(self.put("b").state, State.COMPLETE)


class Failing(StoreCase):
    def turned_off(self) -> None:
        """The store is off, has let everything go, and has said so once."""
        self.assertIsNotNone(self.store.off)
        self.assertIsNone(self.store.record("c", Form(Series(None), None, 0)))
        self.assertEqual(self.store.files(), [])
        self.assertEqual(self.store.failures, 1)

    def test_full(self) -> None:
        self.put("a")
        self.store.disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        bundle = self.put("b")
        self.put_no_more()
        self.assertIs(bundle.state, State.CUT)
        self.turned_off()
        self.assertEqual(self.store.off, "No space left on device")

    def put_no_more(self) -> None:
        self.assertIsNone(self.store.latest("a"))
        self.assertIsNone(self.store.latest("b"))

    def test_no_file_can_be_made(self) -> None:
        directory = self.store._directory
        assert directory is not None
        directory.path = Path("/nowhere")
        self.assertIsNone(self.store.record("a", Form(Series(None), None, 0)))
        self.turned_off()

    def test_stuck(self) -> None:
        called = []
        bundle = self.begin("a")
        self.store.when_written(lambda: called.append(1))
        self.store.disk.stuck_s = 11.0
        self.clock.advance(1)
        self.assertIs(bundle.state, State.CUT)
        self.assertEqual(called, [1])
        self.turned_off()

    def test_what_is_being_read_stays_for_its_readers(self) -> None:
        bundle = self.put("a")
        bundle.retain()
        self.store.disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.put("b")
        self.assertEqual(len(self.store.files()), 1)
        self.assertEqual(os.pread(bundle.fd, 10, 0), wire_form(10)[:10])
        bundle.release()
        self.turned_off()


class NoPlace(SynchronousTestCase):
    def test_a_folder_that_can_not_be(self) -> None:
        clock = Clock()
        store = MemoryStore(clock, Settings())
        store._parent = Path("/proc/nothing/here")
        store.startService()
        self.assertIsNone(store.record("a", Form(Series(None), None, 0)))
        self.assertEqual(store.failures, 1)
        self.successResultOf(store.stopService())
