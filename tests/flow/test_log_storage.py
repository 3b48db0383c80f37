"""`apptuner_relay.flow.log_storage`: what a log stores, for whom, and for how long."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.flow.log_storage import LEAST_LENT_BYTES, LogStorage
from apptuner_relay.flow.storage_states import TRANSITIONS, StorageEvent, StorageState
from apptuner_relay.wire.frames import TEXT, frame
from tests.flow.parts import Buffer, LateFile
from tests.flow.writing import Reading, Root, Writing
from tests.tables import check_every_pair

BLOCK = b"x" * 1000
LONG = b"y" * LEAST_LENT_BYTES


class Kept(SynchronousTestCase):
    """A log whose file is there from the start."""

    def setUp(self) -> None:
        self.file = LateFile()
        self.buffer = Buffer()
        self.writing = Writing(self.file, buffer=self.buffer)
        self.log = self.writing.log

    def test_all_of_it_is_in_the_file(self) -> None:
        for payload in (BLOCK, LONG, b"", b"z"):
            self.writing.write(payload)
        self.file.work()
        self.assertEqual(self.file.data, self.writing.wire)
        self.log.complete()
        self.assertTrue(self.file.is_finished)
        self.assertIs(self.log.state, LogState.COMPLETE)
        self.assertEqual((self.log.base, self.writing.root.kept_bytes), (0, 0))

    def test_a_big_block_lends_its_buffer_and_a_small_one_is_copied(self) -> None:
        self.writing.write(BLOCK)
        self.assertEqual(self.buffer.loans, [])
        self.writing.write(LONG)
        (loan,) = self.buffer.loans
        self.assertFalse(loan.shares[0].is_released)
        self.file.work()
        self.assertTrue(loan.shares[0].is_released)
        self.assertEqual(self.file.data, self.writing.wire)

    def test_where_nothing_is_lent_it_is_copied(self) -> None:
        buffer = Buffer(most=1)
        writing = Writing(self.file, buffer=buffer)
        for _ in range(3):
            writing.write(LONG)
        self.file.work()
        self.assertEqual(self.file.data, writing.wire)
        self.assertEqual(len(buffer.loans), 1)

    def test_is_read_from_blocks_under_way_and_from_the_file(self) -> None:
        reader = Reading(self.log, most=0)
        for payload in (LONG, BLOCK, LONG):
            self.writing.write(payload)
        reader.read(len(LONG) + 500)
        self.file.work(1)
        reader.read(100)
        self.file.work(2)
        reader.read()
        self.assertEqual(reader.got, self.writing.wire)
        self.assertTrue(self.buffer.is_back)

    def test_nothing_of_one_that_is_complete_is_in_memory(self) -> None:
        for _ in range(3):
            self.writing.write(BLOCK)
        self.log.complete()
        self.assertEqual(len(self.log._storage._recent), 3)
        self.file.work()
        self.assertEqual(len(self.log._storage._recent), 0)

    def test_file_is_held_by_readers(self) -> None:
        first, second = Reading(self.log), Reading(self.log)
        self.assertEqual(self.file.users, 1)
        self.log.detach(first)
        self.log.detach(first)
        self.assertEqual(self.file.users, 1)
        self.log.detach(second)
        self.assertEqual(self.file.users, 0)
        self.writing.write(BLOCK)
        self.file.work()
        late = Reading(self.log)
        late.read()
        self.assertEqual((late.got, self.file.users), (self.writing.wire, 1))

    def test_writer_is_held_while_the_disk_is_behind(self) -> None:
        file = LateFile(most_waiting=2)
        writing = Writing(file)
        for _ in range(3):
            writing.write(BLOCK)
        self.assertEqual(writing.root.holders, {file})
        file.work()
        self.assertEqual(writing.root.holders, set())

    def test_what_cannot_be_read_is_an_error(self) -> None:
        Reading(self.log)
        with self.assertRaises(ValueError):
            self.log.read(0, 1)


class LostFile(SynchronousTestCase):
    """The disk fails in the middle."""

    def setUp(self) -> None:
        self.file, self.scratch = LateFile(), LateFile()
        self.buffer = Buffer()
        self.writing = Writing(self.file, [self.scratch], buffer=self.buffer)
        self.log = self.writing.log
        self.reader = Reading(self.log, most=100)

    def test_goes_on_in_memory(self) -> None:
        for _ in range(3):
            self.writing.write(LONG)
        self.file.work(1)
        self.file.lose()
        self.assertTrue(self.buffer.is_back)
        self.assertGreater(self.writing.root.kept_bytes, 2 * len(LONG))
        self.writing.write(BLOCK)
        self.reader.read()
        self.assertEqual(self.reader.got, self.writing.wire)
        self.assertEqual(self.writing.root.kept_bytes, 0)

    def test_lost_while_it_is_written_to(self) -> None:
        append = self.file.append

        def lost(block: object) -> None:
            append(block)  # type: ignore[arg-type]
            self.file.lose()

        self.file.append = lost  # type: ignore[method-assign]
        self.writing.write(LONG)
        self.writing.write(BLOCK, begins=False)
        self.reader.read()
        self.assertEqual(self.reader.got, self.writing.wire)
        self.assertEqual(self.writing.root.kept_bytes, 0)

    def test_lost_as_the_last_of_it_is_to_be_written(self) -> None:
        for is_read in (True, False):
            self.setUp()
            self.writing.write(BLOCK)
            self.file.finish = self.file.lose  # type: ignore[method-assign]
            if not is_read:
                self.log.detach(self.reader)
            self.log.complete()
            self.file.work()
            self.assertIs(self.log.state, LogState.COMPLETE)
            if is_read:
                self.reader.read()
                self.assertEqual(self.reader.got, self.writing.wire)
                self.log.detach(self.reader)
            self.assertEqual((self.writing.root.kept_bytes, self.file.users), (0, 0))

    def test_reader_in_the_middle_of_the_lost_file_keeps_it(self) -> None:
        self.writing.write(BLOCK)
        self.file.work()
        self.file.lose()
        self.reader.most = 0
        self.writing.write(BLOCK)
        self.assertEqual(self.file.users, 1)
        self.reader.read()
        self.assertEqual(self.reader.got, self.writing.wire)

    def test_goes_on_in_another_file_when_all_have_passed_the_lost_one(self) -> None:
        self.writing.write(BLOCK)
        self.file.lose()
        self.reader.read()
        self.reader.most = 1
        self.writing.write(BLOCK)
        self.assertEqual((self.file.users, self.scratch.users), (0, 1))
        self.writing.write(BLOCK)
        self.scratch.work()
        self.reader.read()
        self.assertEqual(self.reader.got, self.writing.wire)
        self.log.detach(self.reader)
        self.assertEqual((self.file.users, self.scratch.users), (0, 0))
        self.assertEqual(self.writing.root.kept_bytes, 0)

    def test_where_nobody_reads_it_nothing_is_left(self) -> None:
        self.log.detach(self.reader)
        self.writing.write(BLOCK)
        self.file.work()
        self.file.lose()
        self.assertEqual(self.log.base, self.log.size)
        self.writing.write(BLOCK)
        self.assertEqual((self.log.base, self.writing.root.kept_bytes), (self.log.size, 0))

    def test_nothing_is_left_when_its_last_reader_goes(self) -> None:
        self.writing.write(BLOCK)
        self.file.work()
        self.file.lose()
        self.log.detach(self.reader)
        self.assertEqual((self.log.base, self.file.users), (self.log.size, 0))

    def test_disk_that_was_behind_lets_go(self) -> None:
        file = LateFile(most_waiting=0)
        writing = Writing(file)
        writing.write(BLOCK)
        self.assertTrue(writing.root.holders)
        file.lose()
        self.assertFalse(writing.root.holders)


class Lazy(SynchronousTestCase):
    """A log that isn't kept: it is stored from where somebody needs that."""

    def setUp(self) -> None:
        self.scratch = LateFile()
        self.buffer = Buffer()
        self.writing = Writing(files=[self.scratch], buffer=self.buffer)
        self.log = self.writing.log

    def test_nothing_is_stored_while_all_take_all(self) -> None:
        readers = [Reading(self.log) for _ in range(3)]
        for payload in (BLOCK, LONG, BLOCK):
            self.writing.write(payload)
        self.assertEqual([reader.got for reader in readers], [self.writing.wire] * 3)
        self.assertEqual((self.scratch.users, self.buffer.loans), (0, []))
        self.assertEqual((self.log.base, self.writing.root.kept_bytes), (self.log.size, 0))

    def test_nothing_is_stored_for_nobody(self) -> None:
        self.writing.write(LONG)
        self.assertEqual((self.log.base, self.writing.root.kept_bytes), (self.log.size, 0))

    def test_all_is_stored_from_the_first_miss_on(self) -> None:
        quick, slow = Reading(self.log), Reading(self.log)
        self.writing.write(BLOCK)
        slow.most = 10
        self.writing.write(LONG)
        slow.most = 0
        self.writing.write(BLOCK)
        self.writing.write(LONG)
        self.scratch.work()
        self.assertEqual(self.scratch.data, self.writing.wire[self.log.base :])
        slow.read()
        self.assertEqual([quick.got, slow.got], [self.writing.wire] * 2)
        self.assertEqual(self.writing.root.kept_bytes, 0)
        self.assertTrue(self.buffer.is_back)

    def test_scratch_file_goes_with_its_last_reader(self) -> None:
        slow = Reading(self.log, most=1)
        for _ in range(3):
            self.writing.write(LONG)
        self.scratch.work(1)
        self.log.detach(slow)
        self.assertEqual((self.scratch.users, self.writing.root.kept_bytes), (0, 0))
        self.writing.write(BLOCK)
        self.assertEqual((self.log.base, self.writing.root.kept_bytes), (self.log.size, 0))

    def test_scratch_file_that_is_lost_after_it_is_needed_no_more(self) -> None:
        slow = Reading(self.log, most=1)
        self.writing.write(LONG)
        self.log.detach(slow)
        self.scratch.lose()
        self.writing.write(LONG)
        self.assertEqual(self.writing.root.kept_bytes, 0)


class InMemory(SynchronousTestCase):
    """There is no file to be had."""

    def setUp(self) -> None:
        self.buffer = Buffer()
        self.writing = Writing(buffer=self.buffer)
        self.log = self.writing.log

    def test_what_not_all_have_taken_is_kept_and_no_more(self) -> None:
        quick, slow = Reading(self.log), Reading(self.log, most=400)
        self.writing.write(BLOCK)
        self.writing.write(BLOCK)
        size = len(self.writing.wire)
        self.assertEqual(self.writing.root.kept_bytes, size - 400)
        slow.read(size // 2)
        self.assertEqual(self.writing.root.kept_bytes, size // 2)
        slow.read()
        self.assertEqual((quick.got, slow.got), (self.writing.wire, self.writing.wire))
        self.assertEqual((self.writing.root.kept_bytes, self.log.base), (0, size))
        self.assertEqual(self.buffer.loans, [])

    def test_who_comes_later_knows_that_its_beginning_is_not_stored(self) -> None:
        slow = Reading(self.log, most=400)
        self.writing.write(BLOCK)
        self.assertEqual(self.log.base, 400)
        slow.read()
        self.assertEqual(self.log.base, len(self.writing.wire))

    def test_a_reader_that_goes_needs_nothing(self) -> None:
        quick, slow = Reading(self.log), Reading(self.log, most=0)
        self.writing.write(BLOCK)
        self.log.detach(slow)
        self.assertEqual(self.writing.root.kept_bytes, 0)
        self.log.detach(quick)

    def test_who_reads_it_holds_the_source_while_that_is_over_its_window(self) -> None:
        slow = Reading(self.log, most=0)
        self.writing.write(BLOCK)
        self.assertIsNone(self.log.holds)
        for _ in range(10):
            self.writing.write(BLOCK)
        self.assertIs(self.log.holds, self.writing.root)
        slow.read()
        self.assertIsNone(self.log.holds)

    def test_file_that_can_be_had_later_takes_what_is_in_memory(self) -> None:
        slow = Reading(self.log, most=100)
        for _ in range(3):
            self.writing.write(BLOCK)
        scratch = LateFile()
        self.writing.files.append(scratch)
        self.writing.write(BLOCK)
        self.assertEqual((scratch.users, self.writing.root.kept_bytes), (1, 0))
        slow.read(1500)
        scratch.work(2)
        slow.read(1500)
        scratch.work()
        slow.read()
        self.assertEqual(slow.got, self.writing.wire)

    def test_file_that_is_lost_as_soon_as_it_is_there(self) -> None:
        slow = Reading(self.log, most=100)
        for _ in range(3):
            self.writing.write(BLOCK)
        scratch = LateFile()

        def append(_block: object) -> None:
            scratch.is_lost = True
            scratch.on_lost()

        scratch.append = append  # type: ignore[method-assign, assignment]
        self.writing.files.append(scratch)
        self.writing.write(BLOCK)
        self.assertGreater(self.writing.root.kept_bytes, 3 * len(BLOCK))
        slow.read()
        self.assertEqual(slow.got, self.writing.wire)
        self.assertEqual(self.writing.root.kept_bytes, 0)


class Copied(SynchronousTestCase):
    """A log that is made of another one."""

    def setUp(self) -> None:
        self.root = Root()
        self.writer = Copying(self.root)
        self.files = [LateFile()]
        self.log = Log(self.writer, 5000, None, lambda: self.files.pop() if self.files else None)
        self.wire = b""

    def write(self) -> None:
        data = frame(TEXT, BLOCK)
        self.log.begin_message()
        self.log.add((data,), len(data), True)
        self.log.flush(None)
        self.wire += data

    def test_one_reader_has_it_in_memory_and_its_writer_waits(self) -> None:
        slow = Reading(self.log, most=0)
        for _ in range(6):
            self.write()
        self.assertEqual((len(self.files), self.root.kept_bytes), (1, 0))
        self.assertTrue(self.writer.holders)
        self.assertTrue(self.log.is_held_up)
        self.assertIsNone(self.log.holds)
        slow.read()
        self.assertFalse(self.writer.holders)
        self.assertEqual(slow.got, self.wire)

    def test_several_have_it_in_a_file(self) -> None:
        slow = Reading(self.log, most=0)
        self.write()
        quick = Reading(self.log)
        quick.read()
        for _ in range(10):
            self.write()
        self.assertEqual((len(self.files), self.writer.holders), (0, set()))
        slow.read()
        self.assertEqual((slow.got, quick.got), (self.wire, self.wire))

    def test_where_there_is_no_file_who_is_slow_holds_the_others(self) -> None:
        self.files.clear()
        slow, quick = Reading(self.log, most=0), Reading(self.log)
        for _ in range(6):
            self.write()
        self.assertEqual(quick.got, self.wire)
        self.assertTrue(self.writer.holders)
        self.assertIs(self.log.holds, self.root)
        self.log.detach(slow)
        self.assertFalse(self.writer.holders)


class Copying:
    """The writer of a log that is made of another one."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.holders: set[object] = set()

    def hold(self, holder: object) -> None:
        self.holders.add(holder)

    def let_go(self, holder: object) -> None:
        self.holders.discard(holder)

    def wait_briefly(self, log: Log) -> None: ...

    def go_on(self, log: Log) -> None: ...


class Table(SynchronousTestCase):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> LogStorage:
            return LogStorage(Root(), [], 1000, None, lambda: None)

        check_every_pair(self, TRANSITIONS, StorageState, StorageEvent, make)


class Edges(SynchronousTestCase):
    """Each edge of the table as it comes about."""

    def state(self, writing: Writing) -> StorageState:
        return writing.log._storage.state

    def test_from_memory_to_a_file_and_back(self) -> None:
        writing = Writing(files=[LateFile()])
        self.assertIs(self.state(writing), StorageState.MEMORY)
        reader = Reading(writing.log, most=100)
        writing.write(BLOCK)
        self.assertIs(self.state(writing), StorageState.SPILLED)
        writing.log.detach(reader)
        self.assertIs(self.state(writing), StorageState.MEMORY)

    def test_stays_in_memory_where_no_file_can_be_opened(self) -> None:
        writing = Writing()
        Reading(writing.log, most=100)
        writing.write(BLOCK)
        self.assertIs(self.state(writing), StorageState.MEMORY)

    def test_kept_is_lost_for_its_readers(self) -> None:
        file = LateFile()
        writing = Writing(file)
        self.assertIs(self.state(writing), StorageState.KEPT)
        reader = Reading(writing.log, most=100)
        writing.write(BLOCK)
        file.lose()
        self.assertIs(self.state(writing), StorageState.LOST)
        writing.log.detach(reader)
        self.assertIs(self.state(writing), StorageState.MEMORY)

    def test_kept_is_lost_for_nobody(self) -> None:
        file = LateFile()
        writing = Writing(file)
        writing.write(BLOCK)
        file.lose()
        self.assertIs(self.state(writing), StorageState.MEMORY)
        self.assertEqual(writing.log.base, writing.log.size)

    def test_kept_stays_so_without_readers(self) -> None:
        writing = Writing(LateFile())
        writing.write(BLOCK)
        writing.log.detach(Reading(writing.log))
        self.assertIs(self.state(writing), StorageState.KEPT)

    def test_lost_spills_into_another_file(self) -> None:
        first, second = LateFile(), LateFile()
        writing = Writing(first, files=[second])
        reader = Reading(writing.log, most=100)
        writing.write(BLOCK)
        first.lose()
        reader.read()
        reader.most = 100
        writing.write(BLOCK)
        self.assertIs(self.state(writing), StorageState.SPILLED)
        reader.read()
        self.assertEqual((reader.got, first.users, second.users), (writing.wire, 0, 1))
