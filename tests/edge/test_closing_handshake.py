"""`apptuner_relay.edge.closing_handshake`: who is dropped, and when."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.closing_handshake import ClosingHandshake
from apptuner_relay.edge.closing_states import TAKES_MESSAGES, ClosingEvent, ClosingState

TIMEOUT_S = 5.0


class Handshake(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.closing = ClosingHandshake()
        self.dropped_s: list[float] = []
        self.read = 0
        self.is_held = False

    def drop(self) -> None:
        self.dropped_s.append(self.clock.seconds())

    def drop_later(self) -> None:
        self.closing.drop_later(self.clock, TIMEOUT_S, self.drop)

    def drop_when_idle(self) -> None:
        self.closing.drop_when_idle(
            self.clock, TIMEOUT_S, lambda: self.read, lambda: self.is_held, self.drop
        )

    def test_a_connection_that_has_just_been_made(self) -> None:
        self.assertEqual(
            (self.closing.state, self.closing.code, self.closing.reason),
            (ClosingState.CONNECTING, 1006, "the connection was lost"),
        )

    def test_a_peer_that_does_not_finish_is_dropped_in_time(self) -> None:
        self.drop_later()
        self.clock.advance(TIMEOUT_S - 1)
        self.read += 1
        self.clock.advance(1)
        self.assertEqual(self.dropped_s, [TIMEOUT_S], "whatever it does meanwhile")

    def test_a_dismissed_peer_has_time_while_it_sends_or_reads(self) -> None:
        self.drop_when_idle()
        for _ in range(4):
            self.read += 1
            self.clock.advance(TIMEOUT_S)
        self.assertEqual(self.dropped_s, [])
        self.clock.advance(TIMEOUT_S)
        self.assertEqual(self.dropped_s, [5 * TIMEOUT_S])

    def test_a_dismissed_peer_that_is_held_has_time(self) -> None:
        self.is_held = True
        self.drop_when_idle()
        self.clock.pump([TIMEOUT_S] * 3)
        self.is_held = False
        self.assertEqual(self.dropped_s, [])
        self.clock.advance(TIMEOUT_S)
        self.assertEqual(self.dropped_s, [4 * TIMEOUT_S])

    def test_a_dismissed_peer_that_is_closed_has_its_time_from_then_on(self) -> None:
        self.drop_when_idle()
        self.clock.advance(TIMEOUT_S - 1)
        self.drop_later()
        self.clock.advance(TIMEOUT_S - 1)
        self.assertEqual(self.dropped_s, [])
        self.clock.advance(1)
        self.assertEqual(self.dropped_s, [2 * TIMEOUT_S - 1])

    def test_nobody_is_dropped_after_the_end(self) -> None:
        for begin in (self.drop_later, self.drop_when_idle):
            begin()
            self.closing.stop()
            self.closing.stop()
        self.clock.advance(10 * TIMEOUT_S)
        self.assertEqual((self.dropped_s, self.clock.getDelayedCalls()), ([], []))

    @given(st.lists(st.sampled_from(ClosingEvent)))
    def test_whatever_happens(self, events: list[ClosingEvent]) -> None:
        closing = ClosingHandshake()
        for event in events:
            before = closing.state
            self.assertEqual(closing.advance(event), closing.state is not before)
            self.assertEqual(closing.takes_messages, closing.state in TAKES_MESSAGES)
        ends = {ClosingEvent.DROP, ClosingEvent.LOST}
        self.assertEqual(closing.state is ClosingState.GONE, bool(ends & set(events)))
