"""`managed.service.paced_sender`: the order and the rate of what is sent."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.service.paced_sender import (
    MOST_WAITING,
    MOST_WAITING_BYTES,
    SATURATED_S,
    PacedSender,
    SendRates,
    WaitingEvent,
)


class Outlet:
    """Notes what is sent, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sent: list[bytes] = []
        self.times: list[float] = []

    def send(self, message: bytes) -> None:
        self.sent.append(message)
        self.times.append(self._clock.seconds())


def most_in_a_second(times: list[float]) -> int:
    """The most that were sent within any second."""
    most, window = 0, deque[float]()
    for at_s in times:
        window.append(at_s)
        while at_s - window[0] >= 1:
            window.popleft()
        most = max(most, len(window))
    return most


class PacedSenderTest(SynchronousTestCase):
    def begin(self, events: float | None = None, messages: float | None = None) -> None:
        self.clock = Clock()
        self.outlet = Outlet(self.clock)
        self.sender = PacedSender(self.clock, SendRates(events, messages))
        self.sender.begin(self.outlet)
        self.sent = self.dropped = 0

    def send(self, message: bytes) -> bool:
        def sent() -> None:
            self.sent += 1

        def dropped() -> None:
            self.dropped += 1

        return self.sender.send_event(WaitingEvent(message, sent, dropped))

    def test_requests_go_in_front_of_events(self) -> None:
        self.begin()
        self.sender.pauseProducing()
        self.send(b"event")
        self.sender.request(lambda: b"request")
        self.sender.request(lambda: None)
        self.assertEqual(self.outlet.sent, [])
        self.sender.resumeProducing()
        self.assertEqual(self.outlet.sent, [b"request", b"event"])

    def test_a_rate_of_events_holds_no_request(self) -> None:
        self.begin(events=10)
        for _ in range(20):
            self.send(b"event")
        for _ in range(20):
            self.sender.request(lambda: b"request")
        self.clock.advance(0.001)
        self.clock.pump([0.01] * 20)
        self.assertEqual(self.outlet.sent.count(b"request"), 20)

    def test_no_more_than_the_rate_in_any_second(self) -> None:
        @given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 2)), max_size=12))
        def check(bursts: list[tuple[int, float]]) -> None:
            for rates in ((10.0, None), (50.0, 50.0), (None, 1.0)):
                self.begin(*rates)
                count = 0
                for size, pause_s in bursts:
                    for _ in range(size):
                        self.send(b"%d" % count)
                        count += 1
                    self.clock.advance(pause_s)
                self.clock.pump([0.05] * 20)
                most = min(rate for rate in rates if rate is not None)
                self.assertTrue(most_in_a_second(self.outlet.times) <= most)
                numbers = [int(message) for message in self.outlet.sent]
                self.assertEqual(numbers, list(range(len(numbers))))

        check()

    def test_what_waits_is_bounded_by_number_and_by_size(self) -> None:
        self.begin()
        self.sender.pauseProducing()
        self.assertEqual([self.send(b"") for _ in range(MOST_WAITING + 5)].count(True), 1000)
        self.sender.resumeProducing()
        self.clock.pump([0] * 100)
        self.sender.pauseProducing()
        half = b"x" * (MOST_WAITING_BYTES // 2)
        self.assertEqual([self.send(half) for _ in range(3)], [True, True, False])

    def test_what_waits_at_the_end_is_dropped(self) -> None:
        self.begin(events=10)
        for _ in range(10):
            self.send(b"event")
        self.sender.end()
        self.assertEqual(self.sent + self.dropped, 10)
        self.assertTrue(self.dropped >= 5)
        self.assertFalse(self.send(b"event"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sender.begin(self.outlet)
        self.assertFalse(self.sender.is_saturated)

    def test_saturated(self) -> None:
        self.begin(events=10)
        for _ in range(30):
            self.send(b"event")
        self.assertFalse(self.sender.is_saturated)
        self.clock.pump([0.1] * int(SATURATED_S * 10 + 1))
        self.assertTrue(self.sender.is_saturated)
        self.clock.pump([0.1] * 30)
        self.assertFalse(self.sender.is_saturated)
