"""What measured times mean."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor import judge_pace
from apptuner_relay.client.doctor.finding import CheckState
from apptuner_relay.client.doctor.judge_pace import Pong, Silence
from apptuner_relay.client.policy import Ending, How

NOW_S = 1_796_000_000.0


def pong(took_s: float, ahead_s: float | None = 0.0) -> Pong:
    """An answer of a relay whose clock is so far ahead."""
    # It says whole milliseconds, rounded down: half of one too little, on the average.
    relay_s = None if ahead_s is None else NOW_S + took_s / 2 + ahead_s - 0.0005
    return Pong(took_s, NOW_S, relay_s)


class RoundTripTest(SynchronousTestCase):
    def test_medians(self) -> None:
        pongs = [pong(0.010), pong(0.030), pong(0.020)]
        found = judge_pace.judge_round_trips(pongs, 3)
        self.assertEqual(found.text, "20 ms (10 ms to 30 ms, 3 pings)")
        self.assertEqual(found.state, CheckState.OK)
        self.assertEqual(judge_pace.judge_round_trips(pongs, 4).state, CheckState.WARNING)
        self.assertEqual(judge_pace.judge_round_trips([pong(0.6)], 1).state, CheckState.WARNING)
        self.assertEqual(judge_pace.judge_no_pong(2, 4).state, CheckState.FAILED)


class ClockTest(SynchronousTestCase):
    def test_differences(self) -> None:
        for ahead_s, state, words in (
            (0.0, CheckState.OK, "no difference"),
            (0.3, CheckState.OK, "300 ms ahead of"),
            (-0.3, CheckState.OK, "300 ms behind"),
            (1.9, CheckState.OK, "1.9 s ahead of"),
            (2.5, CheckState.WARNING, "2.5 s ahead of"),
            (-3600.0, CheckState.WARNING, "3600.0 s behind"),
        ):
            found = judge_pace.judge_clock([pong(0.5, 99.0), pong(0.02, ahead_s), pong(0.1, 9.0)])
            assert found is not None
            self.assertEqual(found.state, state, found)
            self.assertIn(words, found.text)

    def test_relays_that_say_no_time(self) -> None:
        self.assertIsNone(judge_pace.judge_clock([]))
        self.assertIsNone(judge_pace.judge_clock([pong(0.1, None)]))

    def test_dates(self) -> None:
        for date_s, state in (
            (NOW_S, CheckState.OK),
            (NOW_S - 1, CheckState.OK),
            (NOW_S - 2, CheckState.OK),
            (NOW_S - 4, CheckState.WARNING),
            (NOW_S + 4, CheckState.WARNING),
        ):
            self.assertEqual(judge_pace.judge_date(date_s, NOW_S + 0.01, 0.02).state, state)

    @given(st.floats(-1e6, 1e6), st.floats(0.0001, 2))
    def test_a_date_is_within_what_it_says(self, ahead_s: float, took_s: float) -> None:
        """A `Date` is the relay's second, at any moment of the round trip."""
        for share in (0.0, 0.5, 1.0):
            date_s = float(int(NOW_S + took_s * share + ahead_s))
            found = judge_pace.judge_date(date_s, NOW_S + took_s, took_s)
            told_s, slack_s = found.figures["relay_ahead_s"], found.figures["give_or_take_s"]
            self.assertLessEqual(abs(told_s - ahead_s), slack_s + 0.002)  # type: ignore[operator]


class TransferTest(SynchronousTestCase):
    def test_a_bundle(self) -> None:
        found = judge_pace.judge_transfer(100_000, 0.1, 0.2)
        self.assertEqual(
            found.text,
            "up and down in 100 ms (1.0 MB/s), byte for byte; the answer after 200 ms",
        )
        self.assertNotIn("answer", judge_pace.judge_transfer(100_000, 0.1, None).text)
        found = judge_pace.judge_transfer(100_000, 4, None)
        self.assertEqual(found.state, CheckState.WARNING)
        self.assertIn("6 minutes", found.hint)

    def test_none(self) -> None:
        for found in (
            judge_pace.judge_cut_transfer(100_000, 6, "odd"),
            judge_pace.judge_cut_transfer(100_000, 6),
            judge_pace.judge_damage(100_000, 99_999),
        ):
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertTrue(found.hint)


class SilenceTest(SynchronousTestCase):
    def test_silences(self) -> None:
        for pings, ending, state, words, hint in (
            ([9, 31, 50], None, CheckState.OK, "nothing passed for 22 s at most", ""),
            ([], None, CheckState.WARNING, "without a ping", "--ping-interval"),
            ([], Ending(How.LOST), CheckState.FAILED, "for 65 s, without", "proxy_read_timeout"),
            ([9], Ending(How.LOST, "reset"), CheckState.FAILED, "1 ping of", "less than 56 s"),
            (
                [9],
                Ending(How.CLOSED, "no answer to a ping", 1008),
                CheckState.FAILED,
                "with code 1008: no answer to a ping",
                "control frames",
            ),
            ([], Ending(How.CLOSED, "", 1001), CheckState.FAILED, "code 1001", "reload"),
            ([], Ending(How.CLOSED, "", None), CheckState.FAILED, "code 1005", "reload"),
        ):
            found = judge_pace.judge_silence_kept(Silence.of(65.0, pings, ending))
            self.assertEqual(found.state, state, found)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)
