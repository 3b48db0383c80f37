"""`apptuner_relay.flow`, `passage` and `slow`: order, windows, slow and dying members."""

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow import Frame, Sink, Source
from apptuner_relay.passage import Passage
from apptuner_relay.slow import SlowSinks

WINDOW = 10_000


class Wire:
    """An outlet with room for so many bytes at a time, and what arrived through it."""

    def __init__(self, room: int = 1 << 60) -> None:
        self.room = room
        self.got = b""
        self.held = 0

    def offer(self, parts: Sequence[Frame]) -> int:
        data = b"".join(parts)[: self.room]
        self.room -= len(data)
        self.got += data
        return len(data)

    def write(self, data: bytes) -> None:
        self.got += data

    def unsent(self) -> int:
        return self.held


class Connection:
    """One member's ends of the flow, and a switch on its source."""

    def __init__(self, slow: SlowSinks, room: int = 1 << 60) -> None:
        self.wire = Wire(room)
        self.sink = Sink(self.wire, self.cut, WINDOW, slow)
        self.paused = False
        self.source = Source(self.pause, self.resume)
        self.closed: tuple[int, str] | None = None

    @property
    def got(self) -> bytes:
        return self.wire.got

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False

    def cut(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def make_room(self, room: int = 1 << 60) -> None:
        self.wire.room = room
        self.sink.resumeProducing()


class FlowTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slow = SlowSinks(slow_rate=100, slow_s=10, seconds=self.clock.seconds)

    def connect(self, room: int = 1 << 60) -> Connection:
        return Connection(self.slow, room)

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.slow.check()


class Forwarding(FlowTest):
    def test_straight_through(self) -> None:
        cli, phone = self.connect(), self.connect()
        phone.sink.send(b"one", cli.source)
        phone.sink.send(b"two", cli.source)
        self.assertEqual(phone.got, b"")
        cli.source.flush()
        self.assertEqual(phone.got, b"onetwo")

    def test_first_piece_leaves_before_the_last_has_come(self) -> None:
        cli, phone = self.connect(), self.connect()
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"first ", 0, False)
        cli.source.flush()
        self.assertEqual(phone.got, b"first ")
        passage.send(b"last", 0, True)
        cli.source.flush()
        self.assertEqual(phone.got, b"first last")

    def test_views_are_good_until_flush_only(self) -> None:
        cli, full, free = self.connect(), self.connect(room=2), self.connect()
        buffer = bytearray(b"abcdef")
        passage = Passage(cli.source, [full.sink, free.sink])
        passage.send(memoryview(buffer), 0, False)
        cli.source.flush()
        buffer[:] = b"ghijkl"
        passage.send(memoryview(buffer), 0, True)
        cli.source.flush()
        buffer[:] = b"xxxxxx"
        full.make_room()
        self.assertEqual(full.got, b"abcdefghijkl")
        self.assertEqual(free.got, b"abcdefghijkl")

    def test_messages_of_two_sources_never_interleave(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = Passage(cli.source, [phone.sink])
        first.send(b"A1 ", 0, False)
        cli.source.flush()
        second = Passage(dashboard.source, [phone.sink])
        second.send(b"B1 ", 0, False)
        dashboard.source.flush()
        phone.sink.send(b"C ", dashboard.source)
        second.send(b"B2 ", 0, True)
        dashboard.source.flush()
        first.send(b"A2 ", 0, True)
        cli.source.flush()
        self.assertEqual(phone.got, b"A1 A2 B1 B2 C ")

    def test_notices_wait_for_the_end_of_a_message_and_are_not_lost(self) -> None:
        cli, phone = self.connect(), self.connect()
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"A1 ", 0, False)
        cli.source.flush()
        phone.sink.say(b"notice ")
        self.assertEqual(phone.got, b"A1 ")
        passage.send(b"A2 ", 0, True)
        cli.source.flush()
        self.assertEqual(phone.got, b"A1 A2 notice ")

    def test_control_frames_do_not_wait_for_messages(self) -> None:
        cli, phone = self.connect(), self.connect()
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"A1 ", 0, False)
        cli.source.flush()
        phone.sink.control(b"pong ", phone.source)
        self.assertEqual(phone.got, b"A1 pong ")

    def test_control_frames_never_cut_into_a_frame(self) -> None:
        cli, phone = self.connect(), self.connect(room=3)
        phone.sink.send(b"whole frame ", cli.source)
        cli.source.flush()
        phone.sink.control(b"pong ", phone.source)
        self.assertEqual(phone.got, b"who")
        phone.make_room()
        self.assertEqual(phone.got, b"whole frame pong ")


class BackPressure(FlowTest):
    def test_source_is_held_while_its_sink_is_full(self) -> None:
        cli, phone = self.connect(), self.connect(room=300)
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"x" * 200, 0, False)
        cli.source.flush()
        self.assertFalse(cli.paused)
        passage.send(b"x" * 200, 0, False)
        cli.source.flush()
        self.assertTrue(cli.paused)
        phone.make_room(50)
        self.assertTrue(cli.paused)
        phone.make_room(51)
        self.assertFalse(cli.paused)
        self.assertEqual(len(phone.got), 400)

    def test_source_is_held_while_much_of_it_waits_behind_another_message(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = Passage(cli.source, [phone.sink])
        first.send(b"A", 0, False)
        second = Passage(dashboard.source, [phone.sink])
        second.send(b"b" * (WINDOW // 2), 0, False)
        self.assertFalse(dashboard.paused)
        second.send(b"b" * (WINDOW // 2), 0, False)
        self.assertTrue(dashboard.paused)
        first.send(b"A", 0, True)
        self.assertFalse(dashboard.paused)
        self.assertEqual(phone.got, b"AA" + b"b" * WINDOW)

    def test_front_message_is_not_held_for_what_waits_behind_it(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect(room=1)
        first = Passage(cli.source, [phone.sink])
        first.send(b"AAA", 0, False)
        cli.source.flush()
        phone.sink.send(b"b" * 2 * WINDOW, dashboard.source)
        self.assertTrue(cli.paused and dashboard.paused)
        phone.make_room()
        self.assertFalse(cli.paused)
        self.assertTrue(dashboard.paused)
        first.send(b"A", 0, True)
        self.assertFalse(dashboard.paused)
        self.assertEqual(phone.got, b"AAAA" + b"b" * 2 * WINDOW)

    def test_source_is_held_while_any_sink_is_over_its_window(self) -> None:
        cli = self.connect()
        phones = [self.connect(room=0), self.connect(room=0), self.connect()]
        passage = Passage(cli.source, [phone.sink for phone in phones])
        passage.send(b"x" * (WINDOW + 1), 0, True)
        cli.source.flush()
        self.assertEqual(len(phones[2].got), WINDOW + 1)
        self.assertTrue(cli.paused)
        phones[0].make_room()
        self.assertTrue(cli.paused)
        phones[1].make_room()
        self.assertFalse(cli.paused)

    def test_closed_sink_lets_go(self) -> None:
        cli, phone = self.connect(), self.connect(room=0)
        phone.sink.send(b"x" * (WINDOW + 1), cli.source)
        cli.source.flush()
        self.assertTrue(cli.paused)
        phone.sink.stopProducing()
        self.assertFalse(cli.paused)

    def test_empty_frames_fill_the_window_too(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = Passage(cli.source, [phone.sink])
        first.send(b"A", 0, False)
        for _ in range(100):
            phone.sink.send(b"\x81\x00", dashboard.source)
        self.assertTrue(dashboard.paused)

    def test_who_asks_and_does_not_read_is_held(self) -> None:
        phone = self.connect(room=0)
        for answer in (phone.sink.say, phone.sink.control):
            with self.subTest(answer):
                for _ in range(200):
                    answer(b"pong" * 20, phone.source)
                    phone.source.flush()
                    if phone.paused:
                        break
                self.assertTrue(phone.paused)
                self.assertLess(phone.sink.waiting, 2 * WINDOW)
                phone.make_room()
                self.assertFalse(phone.paused)
                phone.wire.room = 0

    def test_notices_that_pile_up_end_the_member(self) -> None:
        phone = self.connect(room=0)
        for _ in range(200):
            phone.sink.say(b"n" * 100)
        self.assertEqual((phone.closed or (0, ""))[0], 1013)
        self.assertEqual(phone.sink.waiting, 0)

    def test_notices_that_are_read_may_be_many(self) -> None:
        cli, phone = self.connect(), self.connect()
        for _ in range(10):
            passage = Passage(cli.source, [phone.sink])
            passage.send(b"-", 0, False)
            for _ in range(20):
                phone.sink.say(b"n" * 100)
            passage.send(b"-", 0, True)
            cli.source.flush()
        self.assertIsNone(phone.closed)
        self.assertEqual(len(phone.got), 10 * (2 + 2000))


class Slow(FlowTest):
    def test_slow_phone_that_holds_up_others_is_cut(self) -> None:
        cli, slow, quick = self.connect(), self.connect(room=0), self.connect()
        passage = Passage(cli.source, [slow.sink, quick.sink])
        passage.send(b"x" * 20 * WINDOW, 0, False)
        cli.source.flush()
        for _ in range(9):
            slow.make_room(50)
            self.wait(1)
        self.assertIsNone(slow.closed)
        self.wait(1)
        self.assertEqual((slow.closed or (0, ""))[0], 1013)
        self.assertFalse(cli.paused)
        passage.send(b"end", 0, True)
        cli.source.flush()
        self.assertTrue(quick.got.endswith(b"end"))

    def test_slow_phone_that_is_alone_is_left_alone(self) -> None:
        cli, slow = self.connect(), self.connect(room=0)
        slow.sink.send(b"x" * 20 * WINDOW, cli.source)
        cli.source.flush()
        for _ in range(60):
            slow.make_room(50)
            self.wait(1)
        self.assertIsNone(slow.closed)

    def test_phone_that_reads_nothing_is_cut_even_if_alone(self) -> None:
        cli, stuck = self.connect(), self.connect(room=0)
        stuck.sink.send(b"x" * 20 * WINDOW, cli.source)
        cli.source.flush()
        self.wait(11)
        self.assertEqual((stuck.closed or (0, ""))[0], 1013)
        self.assertFalse(cli.paused)

    def test_full_phone_that_holds_nobody_is_left_alone(self) -> None:
        asleep = self.connect(room=0)
        asleep.sink.say(b"notice")
        self.wait(60)
        self.assertIsNone(asleep.closed)
        asleep.make_room()
        self.assertEqual(asleep.got, b"notice")

    def test_phone_that_keeps_up_is_not_slow(self) -> None:
        cli, phone, other = self.connect(), self.connect(room=0), self.connect()
        for _ in range(60):
            for one in (phone, other):
                one.sink.send(b"x" * 2 * WINDOW, cli.source)
            cli.source.flush()
            self.assertTrue(cli.paused)
            self.wait(1)
            phone.make_room()
            phone.wire.room = 0
            self.assertFalse(cli.paused)
        self.assertIsNone(phone.closed)


class SlowOnlyWhileOthersWait(FlowTest):
    def full(self, sender: Connection, *others: Connection, held: int = 0) -> Connection:
        slow = self.connect(room=0)
        slow.wire.held = held
        sinks = [slow.sink, *(other.sink for other in others)]
        sender.source.feeds = sinks
        for sink in sinks:
            sink.send(b"x" * 20 * WINDOW, sender.source)
        sender.source.flush()
        return slow

    def trickle(self, slow: Connection) -> None:
        for _ in range(30):
            slow.make_room(50)
            self.wait(1)

    def test_one_that_has_gone_does_not_wait(self) -> None:
        cli, quick = self.connect(), self.connect()
        slow = self.full(cli, quick)
        quick.sink.close()
        self.trickle(slow)
        self.assertIsNone(slow.closed)

    def test_sender_that_has_gone_does_not_wait(self) -> None:
        cli, quick = self.connect(), self.connect()
        slow = self.full(cli, quick)
        cli.source.gone = True
        self.wait(60)
        self.assertIsNone(slow.closed)

    def test_what_the_system_still_holds_is_not_delivered(self) -> None:
        cli = self.connect()
        slow = self.full(cli, held=3000)
        self.wait(5)
        slow.wire.held = 0
        self.wait(6)
        self.assertIsNone(slow.closed)


class Dying(FlowTest):
    def test_source_dies_in_mid_message(self) -> None:
        cli, phone = self.connect(), self.connect()
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"half", 0, False)
        cli.source.flush()
        passage.cut("cut short")
        self.assertEqual(phone.closed, (1011, "cut short"))

    def test_rest_of_a_frame_goes_out_before_the_close(self) -> None:
        cli, phone = self.connect(), self.connect(room=2)
        passage = Passage(cli.source, [phone.sink])
        passage.send(b"frame", 0, False)
        cli.source.flush()
        passage.send(b"never", 0, False)
        cli.source.flush()
        passage.cut("cut short")
        self.assertEqual(phone.got, b"frame")
        self.assertEqual(phone.closed, (1011, "cut short"))

    def test_message_that_had_not_begun_just_vanishes(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = Passage(cli.source, [phone.sink])
        first.send(b"A1 ", 0, False)
        second = Passage(dashboard.source, [phone.sink])
        second.send(b"B1 ", 0, False)
        phone.sink.say(b"notice ")
        second.cut("cut short")
        first.send(b"A2 ", 0, True)
        cli.source.flush()
        self.assertIsNone(phone.closed)
        self.assertEqual(phone.got, b"A1 A2 notice ")
        self.assertEqual(phone.sink.waiting, 0)

    def test_vanished_message_lets_those_behind_it_go(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        stalled = Passage(cli.source, [phone.sink])
        phone.sink.send(b"after", dashboard.source)
        dashboard.source.flush()
        self.assertEqual(phone.got, b"")
        stalled.cut("cut short")
        self.assertEqual(phone.got, b"after")

    def test_sink_dies_in_mid_message(self) -> None:
        cli, dying, living = self.connect(), self.connect(room=0), self.connect()
        passage = Passage(cli.source, [dying.sink, living.sink])
        passage.send(b"A1 ", 0, False)
        cli.source.flush()
        dying.sink.stopProducing()
        passage.send(b"A2", 0, True)
        cli.source.flush()
        self.assertEqual(living.got, b"A1 A2")
        self.assertEqual(dying.got, b"")

    def test_dead_sink_takes_nothing(self) -> None:
        cli, phone = self.connect(), self.connect()
        phone.sink.close()
        phone.sink.close()
        phone.sink.send(b"x", cli.source)
        phone.sink.say(b"x")
        phone.sink.control(b"x", cli.source)
        phone.sink.resumeProducing()
        phone.sink.pauseProducing()
        cli.source.flush()
        self.assertEqual((phone.got, phone.closed), (b"", None))


class Stalling(FlowTest):
    def test_time_counts_from_the_last_block_but_not_while_held(self) -> None:
        cli, phone = self.connect(), self.connect(room=0)
        cli.source.flush()
        self.assertEqual(cli.source.stalled(5), 0)
        self.assertEqual(cli.source.stalled(8), 3)
        cli.source.flush()
        self.assertEqual(cli.source.stalled(20), 0)
        phone.sink.send(b"x" * 2 * WINDOW, cli.source)
        cli.source.flush()
        self.assertEqual(cli.source.stalled(99), 0)


class FlowMachine(RuleBasedStateMachine):
    """Two sources, three sinks, any order of events: every sink gets whole messages in the order
    in which they began, and nothing is held or kept without need."""

    def __init__(self) -> None:
        super().__init__()
        slow = SlowSinks(1, 1e9, lambda: 0.0)
        self.sources = [Connection(slow) for _ in range(2)]
        self.sinks = [Connection(slow, room=100) for _ in range(3)]
        self.passages: dict[int, tuple[Passage, int, list[int]]] = {}
        self.expected: list[list[bytes]] = [[] for _ in self.sinks]
        self.serial = 0

    def targets(self, mask: int) -> list[int]:
        return [i for i in range(3) if mask >> i & 1]

    @rule(source=st.integers(0, 1), mask=st.integers(1, 7), size=st.integers(1, 3000))
    def whole_message(self, source: int, mask: int, size: int) -> None:
        if source in self.passages or self.sources[source].paused:
            return
        self.serial += 1
        data = b"<%d %s>" % (self.serial, b"." * size)
        for i in self.targets(mask):
            self.sinks[i].sink.send(data, self.sources[source].source)
            self.expected[i].append(data)
        self.sources[source].source.flush()

    @rule(source=st.integers(0, 1), mask=st.integers(1, 7))
    def begin(self, source: int, mask: int) -> None:
        if source in self.passages or self.sources[source].paused:
            return
        self.serial += 1
        targets = self.targets(mask)
        passage = Passage(self.sources[source].source, [self.sinks[i].sink for i in targets])
        self.passages[source] = passage, self.serial, targets
        for i in targets:
            self.expected[i].append(b"")
        self.piece(source, b"<%d " % self.serial, False)

    def piece(self, source: int, data: bytes, end: bool) -> None:
        passage, serial, targets = self.passages[source]
        passage.send(data, 0, end)
        for i in targets:
            at = next(
                n
                for n, text in enumerate(self.expected[i])
                if text == b"" or text.startswith(b"<%d " % serial)
            )
            self.expected[i][at] += data
        self.sources[source].source.flush()
        if end:
            del self.passages[source]

    @precondition(lambda self: self.passages)
    @rule(size=st.integers(0, 4000), end=st.booleans(), which=st.integers(0, 1))
    def go_on(self, size: int, end: bool, which: int) -> None:
        source = which if which in self.passages else 1 - which
        if not self.sources[source].paused:
            self.piece(source, b"." * size + (b">" if end else b""), end)

    @rule(sink=st.integers(0, 2), room=st.integers(1, 9000))
    def make_room(self, sink: int, room: int) -> None:
        if self.sinks[sink].sink.full:
            self.sinks[sink].make_room(room)
        else:
            self.sinks[sink].wire.room = room

    @rule(sink=st.integers(0, 2))
    def notice(self, sink: int) -> None:
        self.sinks[sink].sink.say(b"<n>")
        self.expected[sink].append(b"<n>")

    @invariant()
    def in_order(self) -> None:
        for connection, expected in zip(self.sinks, self.expected, strict=True):
            got = connection.got
            assert b"".join(expected).startswith(got)
            assert connection.closed is None

    @invariant()
    def bounded(self) -> None:
        for connection in self.sinks:
            assert connection.sink.waiting < 4 * WINDOW

    def teardown(self) -> None:
        for connection in self.sinks:
            connection.make_room()
        for source in list(self.passages):
            # With room everywhere, a source waits at most for the message before its own.
            if self.sources[source].paused:
                self.piece(1 - source, b">", True)
            if source in self.passages:
                assert not self.sources[source].paused
                self.piece(source, b">", True)
        for connection, expected in zip(self.sinks, self.expected, strict=True):
            assert connection.got == b"".join(expected)
            assert connection.sink.waiting == 0
        assert not any(connection.paused for connection in self.sources)


class AnyOrder(SynchronousTestCase):
    def test_machine(self) -> None:
        run_state_machine_as_test(
            FlowMachine, settings=settings(deadline=None, max_examples=100, stateful_step_count=40)
        )
