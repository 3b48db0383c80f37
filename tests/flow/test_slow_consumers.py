"""`apptuner_relay.flow.slow_consumers`: who is cut as others wait, and who isn't."""

from apptuner_relay.flow.slow_consumers import PATIENCE_S
from apptuner_relay.flow.source import BRIEFLY_S, PAUSE_S
from tests.flow.cases import PIECE, FlowTest, Message
from tests.flow.parts import WINDOW, Connection

NOTHING = "too slow: read nothing for"
LITTLE = "too slow: under 100 bytes/s while others wait"


class Case(FlowTest):
    """A sink is too slow below 100 bytes/s for 10 s."""

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.slow.check()

    def trickle(self, slow: Connection, seconds: int, size: int = 50) -> None:
        """Take a little each second."""
        for _ in range(seconds):
            slow.make_room(size)
            self.wait(1)

    def stuck(
        self, cli: Connection, *others: Connection, kept: bool = False, held: int = 0
    ) -> Connection:
        """One that takes nothing of a long message that goes on; the system holds ``held`` bytes
        for it."""
        one = self.connect(room=0)
        one.wire.held = held
        self.message = self.open(cli, one, *others, kept=kept)
        self.message.send(PIECE)
        return one

    def message_of(self, one: Connection) -> str:
        return (one.closed or (0, ""))[1]


class TakesNothing(Case):
    def test_is_cut_soon_while_another_could_take_more(self) -> None:
        cli, quick = self.connect(), self.connect()
        stuck = self.stuck(cli, quick)
        self.assertTrue(cli.paused)
        self.wait(PATIENCE_S - 1)
        self.assertIsNone(stuck.closed)
        self.wait(1)
        self.assertEqual(stuck.closed, (1013, f"{NOTHING} 2 s"))
        self.assertFalse(cli.paused)
        self.message.send(PIECE, end=True)
        self.assertFalse(cli.paused)
        self.assertFalse(quick.sink.busy)

    def test_is_cut_late_where_it_holds_up_nobody_but_its_sender(self) -> None:
        cli = self.connect()
        stuck = self.stuck(cli)
        self.wait(9)
        self.assertIsNone(stuck.closed)
        self.wait(1)
        self.assertEqual(stuck.closed, (1013, f"{NOTHING} 10 s"))
        self.assertFalse(cli.paused)

    def test_is_left_alone_while_it_holds_nobody(self) -> None:
        cli, quick = self.connect(), self.connect()
        stuck = self.stuck(cli, quick, kept=True)
        self.wait(100)
        self.assertIsNone(stuck.closed)

    def test_asleep_with_a_notice_is_left_alone(self) -> None:
        asleep = self.connect(room=0)
        asleep.sink.say(b"notice")
        self.wait(60)
        self.assertIsNone(asleep.closed)
        asleep.make_room()
        self.assertEqual(asleep.got, b"notice")

    def test_time_begins_when_somebody_is_held(self) -> None:
        cli, quick = self.connect(), self.connect()
        stuck = self.connect(room=0)
        message = self.open(cli, stuck, quick)
        message.send(PIECE[: WINDOW - 100])
        self.clock.advance(PAUSE_S)
        self.clock.advance(BRIEFLY_S)
        self.assertFalse(cli.paused)
        self.wait(60)
        message.send(PIECE)
        self.assertTrue(cli.paused)
        self.wait(1)
        self.assertIsNone(stuck.closed)
        self.wait(2)
        self.assertEqual((stuck.closed or (0,))[0], 1013)

    def test_lets_small_messages_pile_up(self) -> None:
        phone, page, stuck = self.connect(), self.connect(), self.connect(room=0)
        phone.source.feeds = [page.sink, stuck.sink]
        for one in (page, stuck):
            one.sink.send(b"x" * 2 * WINDOW, phone.source)
        phone.source.flush()
        self.assertTrue(phone.paused)
        self.wait(2)
        self.assertIsNotNone(stuck.closed)
        self.assertFalse(phone.paused)

    def test_others_that_take_nothing_either_do_not_wait(self) -> None:
        cli, other = self.connect(), self.connect(room=0)
        stuck = self.stuck(cli, other)
        self.wait(5)
        self.assertEqual((stuck.closed, other.closed), (None, None))
        other.make_room()
        self.wait(1)
        self.assertIsNone(other.closed)
        self.assertIsNotNone(stuck.closed)

    def test_one_that_has_gone_does_not_wait(self) -> None:
        cli, quick = self.connect(), self.connect()
        stuck = self.stuck(cli, quick)
        quick.sink.close()
        self.wait(5)
        self.assertIsNone(stuck.closed)

    def test_sender_that_has_gone_does_not_wait(self) -> None:
        cli, quick = self.connect(), self.connect()
        stuck = self.stuck(cli, quick)
        self.message.write(b"end", end=True)
        cli.source.flush()
        cli.source.gone = True
        self.wait(60)
        self.assertIsNone(stuck.closed)


class TakesLittle(Case):
    def test_is_cut_while_another_could_take_more(self) -> None:
        cli, quick = self.connect(), self.connect()
        slow = self.stuck(cli, quick)
        self.trickle(slow, 9)
        self.assertIsNone(slow.closed)
        self.trickle(slow, 2)
        self.assertEqual(slow.closed, (1013, LITTLE))
        self.assertFalse(cli.paused)

    def test_is_left_alone_where_it_holds_up_nobody_else(self) -> None:
        cli = self.connect()
        slow = self.stuck(cli)
        self.trickle(slow, 60)
        self.assertIsNone(slow.closed)

    def test_that_is_enough_is_left_alone(self) -> None:
        cli, quick = self.connect(), self.connect()
        slow = self.stuck(cli, quick)
        self.trickle(slow, 60, 150)
        self.assertTrue(cli.paused)
        self.assertIsNone(slow.closed)

    def test_what_the_system_still_holds_is_not_delivered(self) -> None:
        cli = self.connect()
        slow = self.stuck(cli, held=3000)
        self.wait(5)
        slow.wire.held = 0
        self.wait(6)
        self.assertIsNone(slow.closed)

    def test_one_that_keeps_up_is_not_slow(self) -> None:
        cli, phone, other = self.connect(), self.connect(room=0), self.connect()
        message = Message(cli, (phone, other))
        for _ in range(60):
            message.send(PIECE)
            self.assertTrue(cli.paused)
            self.wait(1)
            phone.make_room()
            phone.wire.room = 0
            self.assertFalse(cli.paused)
        self.assertIsNone(phone.closed)

    def test_how_long_it_has_waited(self) -> None:
        cli = self.connect()
        slow = self.stuck(cli)
        self.wait(5)
        self.assertEqual(self.slow.waits_s(slow.sink), 5)
        slow.make_room()
        self.assertEqual(self.slow.waits_s(slow.sink), 0)
        self.assertIn(slow.got[-1:], PIECE)
