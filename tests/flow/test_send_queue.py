"""`apptuner_relay.flow.send_queue`: in which order what waits in a sink is sent."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.interleaved import Waiting
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.send_queue import SendQueue
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.source import Source
from tests.flow.parts import Wire

WINDOW = 10_000


class QueueCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = SendQueue()
        self.lane = Sink(Wire(), lambda *_: None, WINDOW, SlowConsumers(1, 1, lambda: 0.0))

    def source(self) -> Source:
        return Source(lambda: None, lambda: None)

    def log(self, source: Source, begun: bool = True, size: int = 10) -> Log:
        """A log of ``source``, with a message that has begun."""
        log = Log(source, WINDOW)
        if begun:
            log.begin_message()
            log.add((bytes(size),), size, False)
        return log

    def follower(self, log: Log, is_ready: bool = True) -> Follower:
        follower = Follower(self.lane, log, is_ready=is_ready)
        self.queue.append(follower)
        return follower

    def frame(self, data: bytes, source: Source | None = None) -> Waiting:
        waiting = Waiting(data, source)
        self.queue.append(waiting)
        return waiting


class Place(QueueCase):
    """Where a small message goes."""

    def test_between_the_messages_of_its_senders_log(self) -> None:
        cli, other = self.source(), self.source()
        follower = self.follower(self.log(cli))
        self.follower(self.log(other))
        self.assertIs(self.queue.follower_for(cli), follower)

    def test_at_the_end_behind_a_log_that_is_over(self) -> None:
        cli = self.source()
        log = self.log(cli)
        self.follower(log)
        self.frame(b"behind")
        log.cut("gone")
        self.assertIsNone(self.queue.follower_for(cli))

    def test_at_the_end_behind_another_of_its_own(self) -> None:
        cli = self.source()
        self.follower(self.log(cli))
        self.frame(b"small", cli)
        self.assertIsNone(self.queue.follower_for(cli))

    def test_between_those_of_another_senders_log_where_that_is_last(self) -> None:
        cli, other = self.source(), self.source()
        follower = self.follower(self.log(other))
        self.assertIs(self.queue.follower_for(cli), follower)
        self.frame(b"small", other)
        self.assertIsNone(self.queue.follower_for(cli))

    def test_of_an_empty_queue(self) -> None:
        self.assertIsNone(self.queue.follower_for(self.source()))


class Notice(QueueCase):
    def test_goes_before_logs_that_have_not_begun(self) -> None:
        first = self.frame(b"first")
        follower = self.follower(self.log(self.source()))
        notice = Waiting(b"notice", None)
        self.queue.add_notice(notice)
        self.assertEqual(list(self.queue), [first, notice, follower])

    def test_goes_behind_the_message_that_is_on_its_way(self) -> None:
        log = self.log(self.source())
        follower = self.follower(log)
        log.flush(None)
        follower.offset = 3
        self.queue.add_notice(Waiting(b"notice", None))
        self.assertEqual(list(self.queue), [follower])

    def test_goes_to_the_end_where_there_is_no_log(self) -> None:
        first, notice = self.frame(b"first"), Waiting(b"notice", None)
        self.queue.add_notice(notice)
        self.assertEqual(list(self.queue), [first, notice])


class Taking(QueueCase):
    def test_frames_up_to_the_first_log(self) -> None:
        frames = [self.frame(b"one"), self.frame(b"two")]
        follower = self.follower(self.log(self.source()))
        self.frame(b"three")
        self.assertEqual(self.queue.take_frames(), frames)
        self.assertIs(self.queue.front, follower)
        self.assertEqual(self.queue.take_frames(), [])

    def test_not_many_bytes_at_once(self) -> None:
        for _ in range(10):
            self.frame(bytes(70_000))
        self.assertEqual(len(self.queue.take_frames()), 1)

    def test_followers_and_nothing_is_left(self) -> None:
        self.frame(b"one")
        followers = [self.follower(self.log(self.source())) for _ in range(2)]
        self.assertEqual(self.queue.take_followers(), followers)
        self.assertEqual((self.queue.front, self.queue.is_busy), (None, False))


class Turns(QueueCase):
    def test_others_that_have_something_go_first(self) -> None:
        follower = self.follower(self.log(self.source()))
        frame = self.frame(b"one")
        self.assertTrue(self.queue.move_to_end(follower))
        self.assertEqual(list(self.queue), [frame, follower])

    def test_others_that_have_nothing_or_are_held_do_not(self) -> None:
        follower = self.follower(self.log(self.source()))
        self.follower(self.log(self.source(), begun=False))
        self.follower(self.log(self.source()), is_ready=False)
        self.assertFalse(self.queue.move_to_end(follower))
        self.assertIs(self.queue.front, follower)

    def test_what_is_left_takes_the_place_of_a_follower(self) -> None:
        first = self.frame(b"first")
        follower = self.follower(self.log(self.source()))
        last = self.frame(b"last")
        left = [Waiting(b"a", None), Waiting(b"b", None)]
        self.assertTrue(self.queue.replace(follower, left))
        self.assertEqual(list(self.queue), [first, *left, last])
        self.assertFalse(self.queue.replace(follower, left))
        self.assertEqual(len(self.queue), 4)
