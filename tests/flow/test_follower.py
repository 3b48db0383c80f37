"""`apptuner_relay.flow.follower`: its states, edge by edge, and each edge as it comes about."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.follower_states import (
    TRANSITIONS,
    FollowerEnd,
    FollowerEvent,
    FollowerState,
)
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.wire.frames import PING, TEXT, frame
from tests.flow.parts import PLENTY, LateFile, Wire, messages
from tests.flow.writing import Writing
from tests.tables import check_every_pair

BLOCK = b"x" * 1000
CUT_SHORT = "a message was cut short: "


class Case(SynchronousTestCase):
    """A phone that follows a log, which is kept in a file."""

    def setUp(self) -> None:
        self.file = LateFile()
        self.writing = Writing(self.file)
        self.log = self.writing.log
        self.wire = Wire()
        self.closed: tuple[int, str] | None = None
        self.sink = Sink(self.wire, self.close, 10_000, SlowConsumers(1, 1, lambda: 0.0))
        self.wire.sink = self.sink
        self.ends: list[FollowerEnd] = []

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def follow(self, room: int = PLENTY, is_ready: bool = True) -> Follower:
        self.wire.room = room
        follower = Follower(self.sink, self.log, lambda _one, how: self.ends.append(how), is_ready)
        self.sink.follow(follower)
        return follower

    def make_room(self, room: int = PLENTY) -> None:
        self.wire.room = room
        self.wire.is_full = False
        self.sink.resumeProducing()


class Table(Case):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> Follower:
            return Follower(self.sink, self.log)

        check_every_pair(self, TRANSITIONS, FollowerState, FollowerEvent, make)

    def test_what_has_ended_stays_so(self) -> None:
        for event in FollowerEvent:
            self.assertNotIn((FollowerState.OVER, event), TRANSITIONS)

    def test_all_of_them_end(self) -> None:
        for state in set(FollowerState) - {FollowerState.OVER}:
            self.assertIs(TRANSITIONS[state, FollowerEvent.ENDED], FollowerState.OVER)


class Queued(Case):
    def test_is_sent_when_it_is_its_turn(self) -> None:
        first = Writing()
        earlier = Follower(self.sink, first.log)
        self.sink.follow(earlier)
        first.write(BLOCK, end=False)
        follower = self.follow()
        self.writing.write(BLOCK)
        self.assertIs(follower.state, FollowerState.QUEUED)
        first.write(BLOCK, begins=False)
        self.log.complete()
        first.log.complete()
        self.assertEqual(self.wire.got, first.wire + self.writing.wire)
        self.assertEqual((self.ends, follower.state), ([FollowerEnd.WHOLE], FollowerState.OVER))
        self.assertEqual(self.file.users, 0)

    def test_waits_until_it_may_begin(self) -> None:
        follower = self.follow(is_ready=False)
        self.writing.write(BLOCK)
        self.sink.send(b"\x81\x01!", None)
        self.assertEqual((follower.state, self.wire.got), (FollowerState.HELD, b""))
        follower.release()
        self.assertEqual(
            (follower.state, self.wire.got), (FollowerState.HEAD, self.writing.wire + b"\x81\x01!")
        )

    def test_pong_does_not_wait_until_it_may_begin(self) -> None:
        self.wire.room = 1
        self.sink.say(b"\x81\x01?")
        follower = self.follow(room=0, is_ready=False)
        self.sink.control(frame(PING, b"p"), None)
        self.make_room()
        self.assertEqual(
            (follower.state, self.wire.got), (FollowerState.HELD, b"\x81\x01?\x89\x01p")
        )

    def test_gives_its_place_to_something_else(self) -> None:
        follower = self.follow(is_ready=False)
        self.sink.send(b"\x81\x01!", None)
        follower.send_instead(b"\x81\x01=")
        self.assertEqual((self.wire.got, self.ends), (b"\x81\x01=\x81\x01!", [FollowerEnd.WHOLE]))
        follower.send_instead(b"\x81\x01=")
        self.assertEqual((self.sink.waiting, self.wire.got), (0, b"\x81\x01=\x81\x01!"))

    def test_superseded_before_it_has_begun(self) -> None:
        follower = self.follow(room=0)
        self.writing.write(BLOCK)
        follower.supersede()
        self.assertEqual((self.ends, self.file.users), ([FollowerEnd.SUPERSEDED], 0))
        self.assertFalse(self.sink.expects_more)

    def test_cut_before_it_has_begun(self) -> None:
        self.follow(room=0)
        self.sink.pauseProducing()
        self.sink.send(frame(TEXT, b"after"), None)
        self.writing.write(BLOCK, end=False)
        self.log.cut("gone")
        self.make_room()
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))
        self.assertEqual(self.wire.got, frame(TEXT, b"after"))
        self.assertEqual(self.sink.waiting, 0)


class Head(Case):
    def test_is_given_each_block_as_it_comes(self) -> None:
        follower = self.follow()
        for _ in range(3):
            self.assertIs(follower.state, FollowerState.HEAD)
            self.writing.write(BLOCK)
            self.assertEqual(self.wire.got, self.writing.wire)

    def test_block_that_is_not_all_taken(self) -> None:
        follower = self.follow(room=100)
        self.writing.write(BLOCK)
        self.assertEqual((follower.state, follower.offset), (FollowerState.FULL, 100))

    def test_nothing_is_offered_to_a_connection_that_is_full(self) -> None:
        follower = self.follow(room=2)
        self.sink.control(frame(PING, b"ping"), None)
        self.wire.room = PLENTY
        self.writing.write(BLOCK)
        self.assertEqual((follower.state, follower.offset), (FollowerState.FULL, 0))
        self.make_room()
        self.assertEqual(self.wire.got, frame(PING, b"ping") + self.writing.wire)

    def test_has_all_of_it(self) -> None:
        follower = self.follow()
        self.writing.write(BLOCK)
        self.log.complete()
        self.assertEqual((follower.state, self.ends), (FollowerState.OVER, [FollowerEnd.WHOLE]))

    def test_lets_others_go_between_messages(self) -> None:
        follower = self.follow()
        self.writing.write(BLOCK)
        other = Writing()
        self.sink.follow(Follower(self.sink, other.log))
        other.write(BLOCK, end=False)
        self.assertIs(follower.state, FollowerState.QUEUED)
        self.writing.write(BLOCK)
        other.write(BLOCK, begins=False)
        other.log.complete()
        self.assertIs(follower.state, FollowerState.HEAD)
        got, _, _ = messages(self.wire.got)
        self.assertEqual(got, [BLOCK, 2 * BLOCK, BLOCK])

    def test_others_wait_for_a_message_that_has_begun(self) -> None:
        self.follow()
        self.writing.write(BLOCK, end=False)
        other = Writing()
        self.sink.follow(Follower(self.sink, other.log))
        other.write(b"other")
        other.log.complete()
        self.writing.write(BLOCK, begins=False)
        self.writing.write(b"more")
        self.assertEqual(messages(self.wire.got)[0], [2 * BLOCK, b"other", b"more"])

    def test_two_that_have_nothing_to_send_do_not_change_places_for_ever(self) -> None:
        first, other = self.follow(), Writing()
        second = Follower(self.sink, other.log)
        self.sink.follow(second)
        for number in range(4):
            writing = (self.writing, other)[number % 2]
            writing.write(b"%d" % number)
        self.assertEqual(messages(self.wire.got)[0], [b"0", b"1", b"2", b"3"])
        self.assertEqual({first.state, second.state}, {FollowerState.HEAD, FollowerState.QUEUED})

    def test_superseded_between_messages(self) -> None:
        follower = self.follow()
        self.writing.write(BLOCK)
        follower.supersede()
        self.assertEqual(
            (follower.state, self.ends), (FollowerState.OVER, [FollowerEnd.SUPERSEDED])
        )

    def test_superseded_in_a_message(self) -> None:
        follower = self.follow()
        self.writing.write(BLOCK, end=False)
        follower.supersede()
        self.assertIs(follower.state, FollowerState.HEAD)
        self.writing.add(BLOCK, begins=False)
        self.writing.write(BLOCK)
        self.assertEqual(
            (follower.state, self.ends), (FollowerState.OVER, [FollowerEnd.SUPERSEDED])
        )
        self.assertEqual(messages(self.wire.got), ([2 * BLOCK], [], b""))

    def test_cut_between_messages(self) -> None:
        self.follow()
        self.writing.write(BLOCK)
        self.log.cut("gone")
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))

    def test_cut_in_a_message(self) -> None:
        self.follow()
        self.writing.write(BLOCK, end=False)
        self.log.cut("gone")
        self.assertEqual(
            (self.ends, self.closed), ([FollowerEnd.BROKEN], (1011, CUT_SHORT + "gone"))
        )

    def test_stop(self) -> None:
        follower = self.follow()
        follower.stop()
        follower.stop()
        self.writing.write(BLOCK)
        self.log.cut("gone")
        self.assertEqual((self.wire.got, self.ends, self.closed), (b"", [], None))
        self.assertEqual(self.file.users, 0)


class Full(Case):
    """It is behind, as the connection takes no more."""

    def setUp(self) -> None:
        super().setUp()
        self.follower = self.follow(room=100)
        self.writing.write(BLOCK)
        self.writing.write(BLOCK)

    def test_goes_on_where_it_was(self) -> None:
        self.make_room(1000)
        self.assertEqual((self.follower.state, self.follower.offset), (FollowerState.FULL, 1100))
        self.make_room()
        self.assertIs(self.follower.state, FollowerState.HEAD)
        self.writing.write(BLOCK)
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_file_that_gives_little_at_once(self) -> None:
        self.file.work()
        self.file.at_most = 7
        self.make_room()
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_superseded_in_a_message(self) -> None:
        self.follower.supersede()
        self.make_room()
        self.assertEqual(self.ends, [FollowerEnd.SUPERSEDED])
        self.assertEqual(messages(self.wire.got), ([BLOCK], [], b""))

    def test_cut_within_what_it_has_begun(self) -> None:
        other = Writing()
        late = Follower(self.sink, other.log)
        self.sink.follow(late)
        self.log.cut("gone")
        self.make_room()
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_cut_in_a_later_message(self) -> None:
        self.writing.write(BLOCK, end=False)
        self.log.cut("gone")
        self.make_room()
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))
        self.assertEqual(messages(self.wire.got), ([BLOCK, BLOCK], [], b""))

    def test_cut_in_mid_frame_gets_the_rest_of_the_frame(self) -> None:
        self.make_room(len(self.writing.wire) - 100)
        self.writing.write(BLOCK, end=False)
        self.make_room(500)
        self.log.cut("gone")
        self.assertEqual(
            (self.ends, self.closed), ([FollowerEnd.BROKEN], (1011, CUT_SHORT + "gone"))
        )
        self.assertEqual(self.wire.got, self.writing.wire)
        self.assertFalse(self.wire.is_aborted)

    def test_what_has_been_kept_of_it_is_let_go_of(self) -> None:
        self.sink.stopProducing()
        self.assertEqual((self.follower.state, self.file.users), (FollowerState.OVER, 0))

    def test_file_cannot_be_read(self) -> None:
        self.file.work()
        self.file.error = OSError(5, "Input/output error")
        self.make_room()
        self.assertEqual(self.ends, [FollowerEnd.BROKEN])
        self.assertEqual(
            self.closed, (1011, CUT_SHORT + "it can't be read any more: Input/output error")
        )
        # As the rest of the frame can't be had no Close can follow.
        self.assertTrue(self.wire.is_aborted)

    def test_file_that_has_less_than_it_should_ends_it(self) -> None:
        self.file.work()
        self.file.at_most = 0
        self.make_room()
        self.assertEqual(self.ends, [FollowerEnd.BROKEN])
        self.assertEqual((self.closed or (0,))[0], 1011)

    def test_file_is_lost(self) -> None:
        self.file.work(1)
        self.file.lose()
        self.make_room()
        self.assertEqual(self.wire.got, self.writing.wire)


class Reading(Case):
    """What is next has to be fetched by the disk."""

    def setUp(self) -> None:
        super().setUp()
        self.follower = self.follow(room=100)
        self.writing.write(BLOCK)
        self.writing.write(BLOCK)
        self.file.work()
        self.file.is_cold = True
        self.make_room()
        self.assertIs(self.follower.state, FollowerState.READING)

    def test_waits_for_the_disk(self) -> None:
        self.writing.write(BLOCK)
        self.make_room()
        self.assertEqual(len(self.file.reads), 1)
        self.file.is_cold = False
        self.file.answer()
        self.assertIs(self.follower.state, FollowerState.HEAD)
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_disk_answers_piece_by_piece(self) -> None:
        self.file.at_most = 999
        while self.file.reads:
            self.file.answer()
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_connection_is_full_when_the_disk_answers(self) -> None:
        self.sink.pauseProducing()
        self.file.answer()
        self.assertEqual((self.follower.state, self.follower.offset), (FollowerState.FULL, 100))
        self.file.is_cold = False
        self.make_room()
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_connection_takes_a_part_of_what_the_disk_answers(self) -> None:
        self.wire.room = 50
        self.file.answer()
        self.assertEqual((self.follower.state, self.follower.offset), (FollowerState.FULL, 150))

    def test_disk_fails(self) -> None:
        self.file.answer(OSError(5, "Input/output error"))
        self.assertEqual(self.ends, [FollowerEnd.BROKEN])
        self.assertIn("it can't be read any more", (self.closed or (0, ""))[1])

    def test_disk_has_nothing(self) -> None:
        self.file.data = self.file.data[:100]
        self.file.answer()
        self.assertEqual(self.ends, [FollowerEnd.BROKEN])
        self.assertEqual((self.closed or (0, ""))[0], 1011)

    def test_over_before_the_disk_answers(self) -> None:
        self.sink.stopProducing()
        self.file.answer()
        self.assertEqual((len(self.wire.got), self.ends), (100, []))

    def test_over_before_the_disk_fails(self) -> None:
        self.sink.stopProducing()
        self.file.answer(OSError(5, "Input/output error"))
        self.assertIsNone(self.closed)

    def test_cut_before_the_disk_answers(self) -> None:
        self.log.cut("gone")
        self.file.answer()
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))
        self.assertEqual(self.wire.got, self.writing.wire)

    def test_message_that_is_cut_is_not_begun(self) -> None:
        self.writing.write(BLOCK, end=False)
        self.file.work()
        self.sink.pauseProducing()
        self.file.answer()
        self.make_room()
        self.log.cut("gone")
        self.file.answer()
        self.assertEqual((self.ends, self.closed), ([FollowerEnd.CUT], None))
        self.assertEqual(messages(self.wire.got), ([BLOCK, BLOCK], [], b""))

    def test_control_frame_waits_in_mid_frame(self) -> None:
        self.sink.control(frame(PING, b"p"), None)
        self.assertEqual(len(self.wire.got), 100)
        self.file.is_cold = False
        self.file.answer()
        got, controls, _ = messages(self.wire.got)
        self.assertEqual((got, [data for _, data in controls]), ([BLOCK, BLOCK], [b"p"]))

    def test_control_frame_does_not_wait_for_the_disk_at_a_frame_boundary(self) -> None:
        self.file.at_most = self.log.index.next_frame_end(0) - 100
        self.sink.pauseProducing()
        self.file.answer()
        self.make_room()
        self.file.answer()
        self.assertEqual(self.follower.offset, self.log.index.next_frame_end(0))
        self.assertIs(self.follower.state, FollowerState.READING)
        self.sink.control(frame(PING, b"p"), None)
        self.assertTrue(self.wire.got.endswith(frame(PING, b"p")))

    def test_superseded_before_the_disk_answers(self) -> None:
        self.follower.supersede()
        self.file.is_cold = False
        self.file.answer()
        self.assertEqual(self.ends, [FollowerEnd.SUPERSEDED])
