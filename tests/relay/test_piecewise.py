"""`apptuner_relay.relay.piecewise`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.piecewise import PIECE, PiecewiseRound


class RoundTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[int] = []
        self.count = 2 * PIECE + 5
        self.round = PiecewiseRound(self.clock, lambda: range(self.count), self.seen.append)

    def test_some_in_each_turn(self) -> None:
        self.round.begin()
        self.assertEqual(self.seen, list(range(PIECE)))
        turns = 0
        while self.clock.calls:
            turns += 1
            # One turn of the reactor: what is due by now, but not what that calls for.
            self.clock.calls.pop(0).func()
        self.assertEqual(turns, 2)
        self.assertEqual(self.seen, list(range(self.count)))

    def test_few_are_looked_at_at_once(self) -> None:
        self.count = 3
        self.round.begin()
        self.assertEqual(self.seen, [0, 1, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_two_rounds_side_by_side(self) -> None:
        self.round.begin()
        self.round.begin()
        self.clock.pump([0, 0])
        self.assertEqual(self.seen, list(range(self.count)))
        self.round.begin()
        self.assertEqual(len(self.seen), self.count + PIECE)

    def test_stop(self) -> None:
        self.round.stop()
        self.round.begin()
        self.round.stop()
        self.clock.advance(1)
        self.assertEqual(len(self.seen), PIECE)
        self.round.begin()
        self.assertEqual(self.seen[PIECE:], list(range(PIECE)))

    def test_one_that_fails_is_logged_and_the_others_are_looked_at(self) -> None:
        def look(one: int) -> None:
            if one in (3, PIECE + 1):
                raise ZeroDivisionError
            self.seen.append(one)

        PiecewiseRound(self.clock, lambda: range(self.count), look).begin()
        self.clock.pump([0, 0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(len(self.seen), self.count - 2)

    @given(st.integers(0, 5 * PIECE))
    def test_each_once(self, count: int) -> None:
        clock, seen = Clock(), []
        PiecewiseRound(clock, lambda: range(count), seen.append).begin()
        while clock.getDelayedCalls():
            clock.advance(0)
        self.assertEqual(seen, list(range(count)))
