"""`apptuner_relay.edge.round_trip_meter`: which Pongs measure something, and when to ask."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.round_trip_meter import FIRST_S, STALE_S, RoundTripMeter
from apptuner_relay.support.round_trip import RoundTrip
from apptuner_relay.wire.frames import PONG
from tests.memory import Client, Relay, masked


class Meter(SynchronousTestCase):
    def setUp(self) -> None:
        self.meter = RoundTripMeter(100.0)

    def test_an_answer(self) -> None:
        payload = self.meter.ping(101.0, True)
        self.assertTrue(self.meter.pong(payload, 101.25))
        self.assertEqual(self.meter.last, RoundTrip(0.25, 101.25))
        self.assertFalse(self.meter.pong(payload, 109.0), "it was answered before")

    def test_nobody_asked(self) -> None:
        self.assertFalse(self.meter.pong(b"", 101.0))
        self.assertFalse(self.meter.pong(b"1", 101.0))
        self.meter.ping(101.0, True)
        self.assertFalse(self.meter.pong(b"", 102.0))
        self.assertIsNone(self.meter.last)

    def test_the_answer_to_an_earlier_ping(self) -> None:
        first = self.meter.ping(101.0, True)
        self.meter.ping(130.0, True)
        self.assertFalse(self.meter.pong(first, 131.0))

    def test_one_that_has_to_wait_in_the_queue_is_not_timed(self) -> None:
        payload = self.meter.ping(101.0, False)
        self.assertFalse(self.meter.pong(payload, 140.0))

    def test_soon_after_the_start_and_once(self) -> None:
        self.assertFalse(self.meter.is_due(100.0 + FIRST_S / 2, 100.0))
        self.assertTrue(self.meter.is_due(100.0 + FIRST_S, 100.0))
        self.meter.ping(101.0, True)
        self.assertFalse(self.meter.is_due(9999.0, 9999.0), "it doesn't answer pings")

    def test_again_when_it_is_stale_and_the_peer_awake(self) -> None:
        self.meter.pong(self.meter.ping(101.0, True), 101.5)
        later_s = 101.5 + STALE_S
        self.assertFalse(self.meter.is_due(later_s - 1, later_s - 1))
        self.assertFalse(self.meter.is_due(later_s, later_s - 20), "it may be asleep")
        self.assertTrue(self.meter.is_due(later_s, later_s - 1))

    @given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 60)), max_size=40))
    def test_any_order(self, those: list[tuple[bool, bool, float]]) -> None:
        now_s, payload, asked_s = 100.0, b"", 0.0
        for is_ping, is_alone, later_s in those:
            now_s += later_s
            if is_ping:
                payload, asked_s = self.meter.ping(now_s, is_alone), now_s
            elif self.meter.pong(payload, now_s):
                assert self.meter.last is not None
                self.assertEqual(self.meter.last, RoundTrip(now_s - asked_s, now_s))


class Connections(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.phone = self.relay.connect("/mobile/ABC234")
        (self.member,) = self.relay.service.clients

    def answer(self, client: Client) -> None:
        client.read()
        pings = [payload for opcode, _, payload in client.frames if opcode == 9]
        client.send_raw(masked(PONG, pings[-1]))

    def test_a_figure_is_there_early(self) -> None:
        self.assertIsNone(self.member.round_trip_s)
        self.relay.wait(5)
        self.relay.wait(0.5)
        self.answer(self.phone)
        self.assertEqual(self.member.round_trip_s, 0.5)

    def test_unasked_pongs_measure_nothing(self) -> None:
        self.phone.send_raw(masked(PONG, b"") + masked(PONG, b"1"))
        self.relay.wait(10)
        self.phone.send_raw(masked(PONG, b"2"))
        self.assertIsNone(self.member.round_trip_s)
