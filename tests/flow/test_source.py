"""`apptuner_relay.flow.source`: who holds a source, for how long, and when it has stalled."""

from apptuner_relay.flow.source import BRIEFLY_S
from tests.flow.cases import PIECE, FlowTest, text
from tests.flow.parts import WINDOW, messages


class BackPressure(FlowTest):
    def test_who_follows_a_log_that_is_kept_holds_nobody(self) -> None:
        cli, phone = self.connect(), self.connect(room=0)
        message = self.open(cli, phone, kept=True)
        for _ in range(100):
            message.send(PIECE)
            self.clock.advance(BRIEFLY_S)
            self.assertFalse(cli.paused)
        self.assertEqual(phone.sink.waiting, 0)

    def test_source_waits_a_moment_for_who_was_at_the_head(self) -> None:
        cli, phone = self.connect(), self.connect(room=10)
        message = self.open(cli, phone, kept=True)
        message.send(PIECE)
        self.assertTrue(cli.paused)
        self.assertEqual(phone.sink.holding, set())
        phone.make_room()
        self.assertFalse(cli.paused)
        phone.wire.room = 10
        message.send(PIECE)
        self.assertTrue(cli.paused)
        self.clock.advance(BRIEFLY_S)
        self.assertFalse(cli.paused)
        message.send(PIECE)
        self.assertFalse(cli.paused)

    def test_source_does_not_wait_for_who_has_gone(self) -> None:
        cli, phone = self.connect(), self.connect(room=10)
        self.open(cli, phone, kept=True).send(PIECE)
        phone.sink.stopProducing()
        self.assertFalse(cli.paused)

    def test_source_is_held_while_more_than_its_window_is_kept_in_memory(self) -> None:
        cli, phone, quick = self.connect(), self.connect(room=1), self.connect()
        message = self.open(cli, phone, quick)
        message.send(PIECE)
        self.assertTrue(cli.paused)
        self.assertEqual(phone.sink.holding, {cli.source})
        self.assertEqual(quick.sink.holding, set())
        phone.make_room(len(PIECE))
        self.assertTrue(cli.paused)
        phone.make_room(100)
        self.assertFalse(cli.paused)
        self.assertEqual(phone.sink.holding, set())

    def test_log_that_has_not_begun_holds_its_source_too(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        first = self.open(dashboard, phone)
        first.send(PIECE)
        second = self.open(cli, phone)
        second.send(PIECE)
        self.assertTrue(cli.paused)
        self.assertEqual(phone.sink.holding, {cli.source})
        first.send(b"end", end=True)
        self.assertFalse(cli.paused)

    def test_source_is_held_while_many_of_its_logs_wait(self) -> None:
        cli, phone = self.connect(), self.connect(room=0)
        count = 0
        while not cli.paused and count < 20:
            self.open(cli, phone, kept=True).send(PIECE, end=True)
            self.clock.advance(BRIEFLY_S)
            count += 1
        self.assertTrue(4 < count < 12, count)
        phone.make_room()
        self.assertFalse(cli.paused)
        self.assertEqual(len(messages(phone.got)[0]), count)
        self.assertEqual(phone.sink.waiting, 0)

    def test_source_is_held_while_much_of_it_waits_behind_another_message(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        message = self.open(cli, phone)
        message.send(PIECE)
        phone.sink.send(text(b"b" * (WINDOW // 2)), dashboard.source)
        self.assertFalse(dashboard.paused)
        phone.sink.send(text(b"b" * (WINDOW // 2)), dashboard.source)
        self.assertTrue(dashboard.paused)
        self.assertFalse(cli.paused)
        message.send(b"A", end=True)
        self.assertFalse(dashboard.paused)
        self.assertEqual(len(messages(phone.got)[0]), 3)

    def test_source_is_held_while_any_sink_is_over_its_window(self) -> None:
        cli = self.connect()
        phones = [self.connect(room=0), self.connect(room=0), self.connect()]
        for phone in phones:
            phone.sink.send(b"x" * (WINDOW + 1), cli.source)
        cli.source.flush()
        self.assertEqual(len(phones[2].got), WINDOW + 1)
        self.assertTrue(cli.paused)
        phones[0].make_room()
        self.assertTrue(cli.paused)
        phones[1].make_room()
        self.assertFalse(cli.paused)

    def test_closed_sink_lets_go(self) -> None:
        for what in ("small", "log"):
            cli, phone = self.connect(), self.connect(room=0)
            if what == "small":
                phone.sink.send(b"x" * (WINDOW + 1), cli.source)
                cli.source.flush()
            else:
                self.open(cli, phone).send(PIECE)
            self.assertTrue(cli.paused)
            phone.sink.stopProducing()
            self.assertFalse(cli.paused, what)

    def test_empty_frames_fill_the_window_too(self) -> None:
        cli, dashboard, phone = self.connect(), self.connect(), self.connect()
        self.open(cli, phone).send(PIECE)
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

    def test_disk_that_is_behind_holds_the_source(self) -> None:
        cli, phone = self.connect(), self.connect()
        message = self.open(cli, phone, kept=True)
        assert message.file is not None
        message.file._most_waiting = 0
        message.send(PIECE)
        self.assertTrue(cli.paused)
        self.assertEqual(phone.sink.holding, set())
        message.file.work()
        self.assertFalse(cli.paused)


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
