"""`apptuner_relay.flow.log`: its states, edge by edge, and how a log ends."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_states import TRANSITIONS, LogEvent, LogState
from tests.flow.parts import LateFile
from tests.flow.writing import Reading, Root, Writing
from tests.tables import check_every_pair

BLOCK = b"x" * 1000


class Ending(SynchronousTestCase):
    def setUp(self) -> None:
        self.writing = Writing(LateFile())
        self.log = self.writing.log
        self.reader = Reading(self.log)

    def test_complete_with_a_block_that_has_yet_to_go(self) -> None:
        self.writing.add(BLOCK)
        self.log.complete()
        self.assertIs(self.log.state, LogState.ENDING)
        self.writing.flush()
        self.assertIs(self.log.state, LogState.COMPLETE)
        self.assertEqual(self.reader.got, self.writing.wire)
        self.assertEqual(self.reader.ends, [LogState.COMPLETE])

    def test_cut_with_a_block_that_has_yet_to_go(self) -> None:
        self.writing.write(BLOCK)
        whole = self.writing.wire
        self.writing.add(BLOCK, end=False)
        self.log.cut("its sender has gone")
        self.assertIs(self.log.state, LogState.CUT)
        self.writing.flush()
        self.assertEqual((self.reader.got, self.log.whole), (whole, len(whole)))
        self.assertEqual((self.reader.ends, self.log.why), ([LogState.CUT], "its sender has gone"))
        self.assertEqual(self.log.size, len(whole))

    def test_what_ends_first_counts(self) -> None:
        self.writing.add(BLOCK)
        self.log.complete()
        self.log.cut("too late")
        self.writing.flush()
        self.assertIs(self.log.state, LogState.COMPLETE)
        self.log.cut("too late")
        self.assertIs(self.log.state, LogState.COMPLETE)

    def test_what_comes_after_the_end_goes_to_nobody(self) -> None:
        self.writing.write(BLOCK)
        self.log.cut("gone")
        self.writing.write(BLOCK)
        self.assertEqual(len(self.reader.got), self.log.size)


class Table(SynchronousTestCase):
    def test_every_pair_of_state_and_event(self) -> None:
        check_every_pair(self, TRANSITIONS, LogState, LogEvent, lambda: Log(Root(), 1000))

    def test_what_has_ended_stays_so(self) -> None:
        for state in (LogState.COMPLETE, LogState.CUT):
            self.assertFalse([event for event in LogEvent if (state, event) in TRANSITIONS])


class Edges(SynchronousTestCase):
    """Each edge of the table as it comes about."""

    def setUp(self) -> None:
        self.writing = Writing()
        self.log = self.writing.log
        self.reader = Reading(self.log)

    def test_completed_and_flushed(self) -> None:
        self.writing.add(b"x")
        self.log.complete()
        self.assertEqual((self.log.state, self.log.has_ended), (LogState.ENDING, False))
        self.writing.flush()
        self.assertEqual((self.log.state, self.log.has_ended), (LogState.COMPLETE, True))
        self.assertEqual(self.reader.got, self.writing.wire)

    def test_completed_when_all_was_flushed(self) -> None:
        self.writing.write(b"x")
        self.log.complete()
        self.assertIs(self.log.state, LogState.COMPLETE)

    def test_cut_while_it_grows(self) -> None:
        self.writing.write(b"x")
        self.log.cut("gone")
        self.assertEqual((self.log.state, self.log.why), (LogState.CUT, "gone"))

    def test_cut_while_it_ends(self) -> None:
        self.writing.add(b"x")
        self.log.complete()
        self.log.cut("gone")
        self.assertEqual((self.log.state, self.log.why), (LogState.ENDING, ""))
        self.writing.flush()
        self.assertEqual(self.reader.ends, [LogState.COMPLETE])


class RestOfAFrame(SynchronousTestCase):
    def test_up_to_its_end(self) -> None:
        writing = Writing()
        reader = Reading(writing.log, most=3)
        writing.write(b"a" * 8)
        writing.write(b"b" * 8)
        self.assertEqual(writing.log.rest_of_frame(reader.offset), writing.wire[3:10])
        self.assertEqual(writing.log.rest_of_frame(10), b"")

    def test_not_where_the_disk_has_to_be_waited_for(self) -> None:
        file = LateFile()
        writing = Writing(file)
        Reading(writing.log)
        writing.write(b"a" * 8)
        file.work()
        file.is_cold = True
        self.assertIsNone(writing.log.rest_of_frame(3))
