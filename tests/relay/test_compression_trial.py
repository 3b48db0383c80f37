"""`apptuner_relay.relay.compression_trial`: which phones get bundles plain, in the end."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.compression_trial import CompressionTrial
from apptuner_relay.spool.inflating import InflatingRecord


class Trials(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.record = InflatingRecord()

    def connect(self, device_id: str = "phone") -> CompressionTrial:
        return CompressionTrial(self.record, "0" * 64, device_id, self.clock.seconds)

    def test_who_disconnects_inside_a_bundle_twice_gets_it_plain(self) -> None:
        for wants_plain in (False, True):
            self.connect().disconnected(True, None)
            self.assertIs(self.connect().wants_plain, wants_plain)
        self.assertFalse(self.connect("another").wants_plain)

    def test_who_got_all_of_it_and_says_nothing_more_may_have_failed_at_it(self) -> None:
        for _ in range(2):
            trial = self.connect()
            trial.sent()
            trial.disconnected(False, None)
        self.assertTrue(self.connect().wants_plain)

    def test_what_was_said_before_it_came_does_not_count(self) -> None:
        for _ in range(2):
            trial, said_s = self.connect(), self.clock.seconds()
            self.clock.advance(1)
            trial.sent()
            trial.disconnected(False, said_s)
        self.assertTrue(self.connect().wants_plain)

    def test_who_says_something_afterwards_has_coped(self) -> None:
        self.connect().disconnected(True, None)
        trial = self.connect()
        trial.sent()
        self.clock.advance(1)
        trial.disconnected(False, self.clock.seconds())
        self.connect().disconnected(True, None)
        self.assertFalse(self.connect().wants_plain)

    def test_who_got_none_shows_nothing(self) -> None:
        for _ in range(3):
            self.connect().disconnected(False, None)
        self.assertFalse(self.connect().wants_plain)
