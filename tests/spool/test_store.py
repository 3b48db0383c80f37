"""`apptuner_relay.spool.store`: which bundles are kept, for how long, and within what budget."""

from collections.abc import Callable

from apptuner_relay.flow.log_block import Block
from apptuner_relay.spool.bundle import NoCode
from apptuner_relay.spool.file_states import FileState
from apptuner_relay.wire.frames import TEXT, frame
from tests.spool.storing import MIB, TTL_S, StoreCase


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
        bundle.append(Block(0, 2, [frame(TEXT, b"")]))
        bundle.finish()
        for asked in (bundle.digest(), bundle.code("gzip"), bundle.digest(), bundle.code("gzip")):
            self.failureResultOf(asked, NoCode)
        self.assertFalse(bundle.in_use)

    def test_the_last_but_one_stays_where_phones_take_patches(self) -> None:
        self.store.keep_previous("a", True)
        self.store.keep_previous("a", True)
        for number in range(3):
            self.put("a", 100 + number)
            self.put("b")
        self.assertEqual(len(self.store.files()), 3)
        self.store.keep_previous("a", False)
        self.put("a")
        self.assertEqual(len(self.store.files()), 3)
        self.store.keep_previous("a", False)
        self.put("a")
        self.assertEqual(len(self.store.files()), 2)

    def test_the_last_but_one_goes_when_it_was_not_used_for_so_long(self) -> None:
        self.store.keep_previous("a", True)
        self.put("a")
        self.clock.advance(TTL_S / 2)
        last = self.put("a")
        self.clock.advance(TTL_S / 2)
        self.assertEqual(self.store.files(), [last.path])
        self.put("a")
        self.clock.advance(2 * TTL_S)
        self.assertEqual((self.store.files(), self.store.used_bytes), ([], 0))

    def test_a_session_that_has_moved_leaves_nothing(self) -> None:
        self.store.keep_previous("a", True)
        for _ in range(2):
            self.put("a")
        appended: list[Callable[[], None]] = []
        append = self.store.disk.append
        self.patch(self.store.disk, "append", lambda *all: appended.append(lambda: append(*all)))
        finishing = self.put("a")
        self.assertIs(self.store.latest("a"), finishing)
        self.store.forget("a")
        self.assertIsNone(self.store.latest("a"))
        for late in appended:
            late()
        self.assertIsNone(self.store.latest("a"))
        self.assertEqual((self.store.files(), self.store.used_bytes), ([], 0))

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
        self.assertIs(bundle.state, FileState.CUT)
        self.assertIsNone(self.store.latest("b"))
        self.assertNotEqual(before.size, 0)
        self.assertLessEqual(self.store.used_bytes, self.limit)
        self.assertIs(self.put("b").state, FileState.COMPLETE)
