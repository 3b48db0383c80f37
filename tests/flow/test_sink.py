"""`apptuner_relay.flow.sink`: order, control frames, notices, members that die."""

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.framing import FRAME_BYTES
from apptuner_relay.flow.intake import LogIntake
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.sink_states import TRANSITIONS, SinkEvent, SinkState
from apptuner_relay.flow.source import PAUSE_S
from apptuner_relay.wire.frames import TEXT
from tests.flow.cases import LIMIT, PIECE, PONG_FRAME, FlowTest, text
from tests.flow.parts import WINDOW, Buffer, LateFile, Wire, messages
from tests.tables import check_every_pair


class Forwarding(FlowTest):
    def test_straight_through(self) -> None:
        cli, phone = self.connect(), self.connect()
        phone.sink.send(b"one", cli.source)
        phone.sink.send(b"two", cli.source)
        self.assertEqual(phone.got, b"")
        cli.source.flush()
        self.assertEqual(phone.got, b"onetwo")

    def test_several_at_once(self) -> None:
        cli, phone = self.connect(), self.connect(room=4)
        phone.sink.send_all([b"one", b"two"], cli.source)
        cli.source.flush()
        phone.sink.send_all([b"three", b"four"], cli.source)
        cli.source.flush()
        self.assertEqual(phone.got, b"onet")
        phone.make_room()
        self.assertEqual(phone.got, b"onetwothreefour")

    def test_one_that_does_not_wait_for_the_end_of_its_block(self) -> None:
        cli, phone = self.connect(), self.connect(room=10)
        phone.sink.send(b"one", cli.source)
        phone.sink.send_now(b"two", cli.source)
        self.assertEqual(phone.got, b"onetwo")
        phone.sink.send_now(b"three", cli.source)
        phone.sink.send_now(b"four", cli.source)
        cli.source.flush()
        self.assertEqual(phone.got, b"onetwothre")
        phone.make_room()
        self.assertEqual(phone.got, b"onetwothreefour")

    def test_one_that_comes_behind_a_log(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        phone.sink.send_now(text(b"behind"), dashboard.source)
        message.send(b"last", end=True)
        self.assertEqual(messages(phone.got)[0], [PIECE + b"last", b"behind"])

    def test_first_piece_leaves_before_the_last_has_come(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        self.assertIn(PIECE, phone.got)
        message.send(b"last", end=True)
        self.assertEqual(messages(phone.got), ([PIECE + b"last"], [], b""))
        self.assertFalse(phone.sink.busy)

    def test_little_leaves_when_its_sender_pauses(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(b"little")
        self.clock.advance(PAUSE_S / 2)
        self.assertEqual(phone.got, b"")
        self.clock.advance(PAUSE_S / 2)
        self.assertIn(b"little", phone.got)
        message.send(b" more", end=True)
        self.assertEqual(messages(phone.got)[0], [b"little more"])

    def test_views_are_good_until_flush_only(self) -> None:
        self.buffer = Buffer(most=0)
        cli, full, free = self.connect(), self.connect(room=2), self.connect()
        buffer = bytearray(PIECE)
        message = self.open(cli, full, free)
        for data in (b"abc", b"def"):
            buffer[:] = data + PIECE[3:]
            message.send(memoryview(buffer), end=data == b"def")  # type: ignore[arg-type]
        buffer[:] = b"x" * len(PIECE)
        full.make_room()
        expected = b"abc" + PIECE[3:] + b"def" + PIECE[3:]
        for phone in (full, free):
            self.assertEqual(messages(phone.got)[0], [expected])

    def test_views_are_good_until_they_are_written(self) -> None:
        self.buffer = Buffer()
        cli, full, free = self.connect(), self.connect(room=2), self.connect()
        message = self.open(cli, full, free, kept=True)
        expected = b""
        for number in range(4):
            data = b"%d" % number * 70_000
            expected += data
            message.send(self.buffer.receive(data), end=number == 3)  # type: ignore[arg-type]
            self.buffer.over()
        full.make_room(100_000)
        assert message.file is not None
        message.file.work()
        self.assertTrue(self.buffer.is_back)
        full.make_room()
        for phone in (full, free):
            self.assertEqual(messages(phone.got)[0], [expected])

    def test_small_message_before_and_behind_a_long_one_in_one_block(self) -> None:
        cli, phone = self.connect(), self.connect()
        phone.sink.send(text(b"before"), cli.source)
        message = self.open(cli, phone)
        message.write(PIECE, end=True)
        phone.sink.send(text(b"after"), cli.source)
        cli.source.flush()
        self.assertEqual(messages(phone.got)[0], [b"before", PIECE, b"after"])

    def test_messages_of_two_sources_never_interleave(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = self.open(cli, phone)
        first.send(b"A" + PIECE)
        second = self.open(dashboard, phone)
        second.send(b"B" + PIECE)
        phone.sink.send(text(b"C"), dashboard.source)
        second.send(b"B", end=True)
        first.send(b"A", end=True)
        expected = [b"A" + PIECE + b"A", b"B" + PIECE + b"B", b"C"]
        self.assertEqual(messages(phone.got)[0], expected)

    def test_small_message_stays_between_those_of_its_senders_log(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect(room=100)
        log = Log(cli.source, WINDOW, LateFile())
        phone.sink.follow(Follower(phone.sink, log))
        LogIntake(cli.source, log, TEXT, LIMIT).write(b"one" + PIECE, True)
        cli.source.flush()
        self.open(dashboard, phone).send(PIECE)
        phone.sink.send(text(b"small"), cli.source)
        LogIntake(cli.source, log, TEXT, LIMIT).write(b"two" + PIECE, True)
        cli.source.flush()
        phone.make_room()
        self.assertEqual(messages(phone.got)[0], [b"one" + PIECE, b"small", b"two" + PIECE])

    def test_small_message_stays_in_order_when_an_earlier_log_ends_late(self) -> None:
        cli, phone = self.connect(), self.connect(room=0)
        logs = [Log(cli.source, WINDOW) for _ in range(2)]

        def write(log: Log, data: bytes) -> None:
            LogIntake(cli.source, log, TEXT, LIMIT).write(data, True)
            cli.source.flush()

        for log, data in zip(logs, (b"first", b"second"), strict=True):
            phone.sink.follow(Follower(phone.sink, log))
            write(log, data)
        phone.make_room()
        # As one does that is made of another one.
        logs[0].complete()
        phone.sink.pauseProducing()
        phone.sink.send(text(b"small"), cli.source)
        write(logs[1], b"third")
        phone.make_room()
        self.assertEqual(messages(phone.got)[0], [b"first", b"second", b"small", b"third"])

    def test_outlet_that_takes_all(self) -> None:
        cli, phone = self.connect(), self.connect(room=50_000, takes_parts=False)
        message = self.open(cli, phone, kept=True)
        message.send(PIECE)
        message.send(PIECE)
        self.assertTrue(phone.sink.full)
        size = len(phone.got)
        message.send(PIECE, end=True)
        self.assertEqual(len(phone.got), size)
        phone.make_room()
        self.assertEqual(messages(phone.got)[0], [3 * PIECE])

    def test_says_when_it_is_idle(self) -> None:
        cli, phone = self.connect(), self.connect(room=10)
        idle: list[int] = []
        message = self.open(cli, phone)
        phone.sink.when_idle(lambda: idle.append(len(phone.got)))
        message.send(PIECE, end=True)
        self.assertEqual(idle, [])
        phone.make_room()
        self.assertEqual(idle, [len(phone.got)])
        phone.sink.when_idle(lambda: idle.append(0))
        self.assertEqual(idle[1:], [0])


class ControlFrames(FlowTest):
    def test_do_not_wait_for_messages(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        phone.sink.control(PONG_FRAME, phone.source)
        self.assertTrue(phone.got.endswith(PONG_FRAME))
        message.send(PIECE, end=True)
        self.assertEqual(messages(phone.got)[:2], ([2 * PIECE], [(len(PIECE), b"pong")]))

    def test_never_cut_into_a_small_message(self) -> None:
        cli, phone = self.connect(), self.connect(room=3)
        phone.sink.send(b"whole frame ", cli.source)
        cli.source.flush()
        phone.sink.control(b"pong ", phone.source)
        self.assertEqual(phone.got, b"who")
        phone.make_room()
        self.assertEqual(phone.got, b"whole frame pong ")

    def test_go_at_the_next_frame_boundary_of_a_long_message(self) -> None:
        for kept in (False, True):
            cli, phone = self.connect(), self.connect(room=1000)
            message = self.open(cli, phone, kept=kept)
            message.send(10 * PIECE, end=True)
            phone.sink.control(PONG_FRAME, phone.source)
            phone.sink.control(PONG_FRAME, phone.source)
            phone.make_room()
            got, controls, _ = messages(phone.got)
            self.assertEqual(got, [10 * PIECE])
            self.assertEqual([data for _, data in controls], [b"pong", b"pong"])
            self.assertTrue(all(0 < at <= FRAME_BYTES for at, _ in controls), controls)

    def test_go_before_small_messages_that_wait(self) -> None:
        cli, phone = self.connect(), self.connect(room=1)
        for data in (b"one", b"two"):
            phone.sink.send(text(data), cli.source)
            cli.source.flush()
        phone.sink.control(PONG_FRAME, phone.source)
        phone.make_room()
        self.assertEqual(phone.got, text(b"one") + PONG_FRAME + text(b"two"))


class Notices(FlowTest):
    def test_wait_for_the_end_of_a_message_and_are_not_lost(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        phone.sink.say(text(b"notice"))
        message.send(b"end", end=True)
        self.assertEqual(messages(phone.got)[0], [PIECE + b"end", b"notice"])

    def test_go_between_two_messages(self) -> None:
        cli, phone = self.connect(), self.connect(room=1)
        first, second = self.open(cli, phone), self.open(cli, phone)
        first.send(PIECE, end=True)
        second.send(PIECE, end=True)
        phone.sink.say(text(b"notice"))
        phone.make_room()
        self.assertEqual(messages(phone.got)[0], [PIECE, b"notice", PIECE])

    def test_that_pile_up_end_the_member(self) -> None:
        phone = self.connect(room=0)
        for _ in range(200):
            phone.sink.say(b"n" * 100)
        self.assertEqual((phone.closed or (0, ""))[0], 1013)
        self.assertEqual(phone.sink.waiting, 0)

    def test_that_are_read_may_be_many(self) -> None:
        cli, phone = self.connect(), self.connect()
        for _ in range(10):
            message = self.open(cli, phone)
            message.send(PIECE)
            for _ in range(20):
                phone.sink.say(text(b"n" * 100))
            message.send(b"-", end=True)
        self.assertIsNone(phone.closed)
        self.assertEqual(len(messages(phone.got)[0]), 210)

    def test_what_others_sent_is_not_counted_as_such(self) -> None:
        cli, phone = self.connect(), self.connect(room=1)
        for _ in range(30):
            phone.sink.send(text(b"x" * 1000), cli.source)
        # A part of it is taken, for somebody else's sake.
        phone.sink.flush(None)
        phone.sink.say(text(b"notice"))
        self.assertIsNone(phone.closed)
        phone.make_room(100)
        phone.sink.say(text(b"notice"))
        self.assertIsNone(phone.closed)
        phone.make_room()
        self.assertEqual(messages(phone.got)[0][-2:], [b"notice", b"notice"])
        self.assertEqual(phone.sink.waiting, 0)


class Dying(FlowTest):
    def test_source_dies_in_mid_message(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        message.cut("cut here")
        self.assertEqual(phone.closed, (1011, "a message was cut short: cut here"))

    def test_rest_of_a_frame_goes_out_before_the_close(self) -> None:
        for kept in (False, True):
            cli, phone = self.connect(), self.connect(room=2)
            message = self.open(cli, phone, kept=kept)
            message.send(PIECE)
            message.send(b"never" + PIECE)
            message.cut()
            got, _, part = messages(phone.got)
            self.assertEqual((got, part), ([], PIECE))
            self.assertEqual((phone.closed or (0,))[0], 1011)
            self.assertFalse(phone.wire.is_aborted)

    def test_rest_of_a_frame_that_cannot_be_had_ends_the_connection(self) -> None:
        cli, phone = self.connect(), self.connect(room=2)
        message = self.open(cli, phone, kept=True)
        message.send(PIECE)
        assert message.file is not None
        message.file.work()
        message.file.is_cold = True
        message.cut()
        self.assertTrue(phone.wire.is_aborted)
        self.assertEqual(len(phone.got), 2)

    def test_rest_of_a_small_message_goes_out_before_the_close(self) -> None:
        cli, phone = self.connect(), self.connect(room=2)
        phone.sink.send(b"frame", cli.source)
        cli.source.flush()
        phone.sink.send(b"never", cli.source)
        phone.sink.cut(1013, "too slow")
        self.assertEqual((phone.got, phone.closed), (b"frame", (1013, "too slow")))

    def test_message_that_had_not_begun_just_vanishes(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first, second = self.open(cli, phone), self.open(dashboard, phone)
        first.send(PIECE)
        second.send(PIECE)
        phone.sink.say(text(b"notice"))
        second.cut()
        first.send(b"end", end=True)
        self.assertIsNone(phone.closed)
        self.assertEqual(messages(phone.got)[0], [PIECE + b"end", b"notice"])
        self.assertEqual(phone.sink.waiting, 0)

    def test_vanished_message_lets_those_behind_it_go(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = self.open(cli, phone)
        self.open(dashboard, phone).send(PIECE, end=True)
        phone.sink.send(text(b"small"), dashboard.source)
        first.cut()
        self.assertEqual(messages(phone.got)[0], [PIECE, b"small"])

    def test_sink_that_dies_leaves_the_others(self) -> None:
        cli, dying, living = self.connect(), self.connect(), self.connect()
        message = self.open(cli, dying, living)
        message.send(PIECE)
        dying.sink.stopProducing()
        size = len(dying.got)
        message.send(PIECE, end=True)
        self.assertEqual(messages(living.got)[0], [2 * PIECE])
        self.assertEqual(len(dying.got), size)

    def test_dead_sink_takes_nothing(self) -> None:
        cli, phone = self.connect(), self.connect()
        phone.sink.close()
        phone.sink.close()
        phone.sink.send(b"x", cli.source)
        phone.sink.send_all([b"x"], cli.source)
        phone.sink.say(b"x")
        phone.sink.control(b"x", cli.source)
        message = self.open(cli, phone)
        message.send(PIECE, end=True)
        phone.sink.resumeProducing()
        phone.sink.pauseProducing()
        cli.source.flush()
        self.assertEqual((phone.got, phone.closed, cli.paused), (b"", None, False))


class Table(FlowTest):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> Sink:
            return Sink(Wire(), lambda code, reason: None, WINDOW, self.slow)

        check_every_pair(self, TRANSITIONS, SinkState, SinkEvent, make)

    def test_edges(self) -> None:
        phone = self.connect(room=1)
        sink = phone.sink
        states = [sink.state]
        sink.say(text(b"one"))
        states.append(sink.state)
        phone.make_room()
        states.append(sink.state)
        sink.cut(1013, "enough")
        states.append(sink.state)
        sink.resumeProducing()
        sink.pauseProducing()
        states.append(sink.state)
        self.assertEqual(
            states,
            [
                SinkState.READY,
                SinkState.FULL,
                SinkState.READY,
                SinkState.CLOSED,
                SinkState.CLOSED,
            ],
        )

    def test_closed_while_it_is_full(self) -> None:
        phone = self.connect(room=1)
        phone.sink.say(text(b"one"))
        phone.sink.close()
        self.assertEqual((phone.sink.state, phone.sink.busy), (SinkState.CLOSED, False))
        called: list[bool] = []
        phone.sink.when_idle(lambda: called.append(True))
        self.assertEqual(called, [True])
