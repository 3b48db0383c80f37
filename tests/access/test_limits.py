"""`apptuner_relay.access.limits`: who is counted as whom, and what is refused when."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.limits import (
    GUESS_WINDOW_S,
    ConnectRate,
    FailedJoins,
    Limited,
    SessionCount,
    customer,
)

OFFICE = "192.0.2.1"


class Customers(SynchronousTestCase):
    def test_addresses(self) -> None:
        self.assertEqual(customer("192.0.2.7"), "192.0.2.7")
        self.assertEqual(customer("2001:db8:1:2:3::4"), "2001:db8:1:2::/64")
        self.assertEqual(customer("2001:db8:1:2:ffff::"), "2001:db8:1:2::/64")
        for nobody in (None, "127.0.0.1", "127.8.8.8", "::1"):
            self.assertIsNone(customer(nobody))


class Connects(SynchronousTestCase):
    def test_too_many_in_a_minute(self) -> None:
        rate = ConnectRate(60)
        for _ in range(60):
            rate.take(OFFICE, 0)
        with self.assertRaises(Limited) as caught:
            rate.take(OFFICE, 0)
        self.assertEqual(caught.exception.status, 429)
        self.assertEqual(caught.exception.headers, (("Retry-After", "1"),))
        self.assertEqual(caught.exception.limit, "connect-rate")
        rate.take("192.0.2.2", 0)
        rate.take(OFFICE, 1)

    def test_no_limit(self) -> None:
        for rate, who in ((ConnectRate(0), OFFICE), (ConnectRate(1), None)):
            for _ in range(1000):
                rate.take(who, 0)


class Guessing(SynchronousTestCase):
    def guess(self, guesses: FailedJoins, who: str | None, what: str, now_s: float = 0) -> bool:
        """Whether it was let try something that is not there."""
        try:
            guesses.check(who, what, now_s)
        except Limited:
            return False
        guesses.failed(who, what, now_s)
        return True

    def test_waiting_is_no_guess(self) -> None:
        guesses = FailedJoins(3, 0, 0)
        for _ in range(100):
            self.assertTrue(self.guess(guesses, OFFICE, "mine"))
        self.assertTrue(self.guess(guesses, OFFICE, "another"))

    def test_who_guessed_too_much_is_not_told_what_is_there(self) -> None:
        guesses = FailedJoins(3, 0, 0)
        for n in range(3):
            self.assertTrue(self.guess(guesses, OFFICE, f"no {n}"))
        with self.assertRaises(Limited) as caught:
            guesses.check(OFFICE, "there", 0)
        self.assertEqual(caught.exception.headers, (("Retry-After", "200"),))
        self.assertTrue(self.guess(guesses, OFFICE, "no 1"), "it goes on waiting for that")
        self.assertTrue(self.guess(guesses, "192.0.2.2", "no 1"))
        self.assertTrue(self.guess(guesses, OFFICE, "no 4", GUESS_WINDOW_S / 3))
        self.assertFalse(self.guess(guesses, OFFICE, "no 5", GUESS_WINDOW_S / 3))

    def test_what_was_there_once_stays_open(self) -> None:
        guesses = FailedJoins(3, 0, 0)
        guesses.succeeded(OFFICE, "there")
        for n in range(3):
            self.guess(guesses, OFFICE, f"no {n}")
        guesses.check(OFFICE, "there", 0)

    def test_too_many_over_all_leave_each_address_a_tenth(self) -> None:
        guesses = FailedJoins(100, 50, 0)
        for n in range(50):
            self.assertTrue(self.guess(guesses, f"198.51.100.{n}", "x"))
        got = sum(self.guess(guesses, OFFICE, f"no {n}") for n in range(100))
        self.assertIn(got, (10, 11))
        self.assertTrue(self.guess(guesses, "198.51.100.1", "y"), "who has hardly guessed may")
        got = sum(self.guess(guesses, OFFICE, f"later {n}", GUESS_WINDOW_S) for n in range(100))
        self.assertGreater(got, 40)

    def test_no_limit(self) -> None:
        for guesses, who in ((FailedJoins(0, 0, 0), OFFICE), (FailedJoins(1, 1, 0), None)):
            for n in range(100):
                self.assertTrue(self.guess(guesses, who, f"no {n}"))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 40), st.floats(0, 30))))
    def test_never_more_new_ones_than_allowed(
        self, most: int, tries: list[tuple[int, float]]
    ) -> None:
        guesses = FailedJoins(most, 0, 0)
        now_s, known = 0.0, set[int]()
        for what, past_s in tries:
            now_s += past_s
            if self.guess(guesses, OFFICE, str(what), now_s):
                known.add(what)
            self.assertLessEqual(len(known), most * (1 + now_s / GUESS_WINDOW_S) + 1e-6)
        for what in known:
            guesses.check(OFFICE, str(what), now_s)


class Sessions(SynchronousTestCase):
    def test_one_too_many(self) -> None:
        count = SessionCount(2)
        for session in ("a", "a", "b"):
            count.check(OFFICE, session)
            count.entered(OFFICE, session)
        count.check(OFFICE, "b")
        with self.assertRaises(Limited):
            count.check(OFFICE, "c")
        count.left(OFFICE, "a")
        with self.assertRaises(Limited):
            count.check(OFFICE, "c")
        count.left(OFFICE, "a")
        count.check(OFFICE, "c")

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("xyz"))))
    def test_nothing_is_left_when_all_have(self, events: list[tuple[bool, str, str]]) -> None:
        count = SessionCount(2)
        there: Counter[tuple[str, str]] = Counter()
        for comes, who, session in events:
            if comes:
                count.entered(who, session)
                there[who, session] += 1
            elif there[who, session]:
                count.left(who, session)
                there[who, session] -= 1
            for one in "ab":
                many = len({at for (at_who, at), n in there.items() if at_who == one and n}) >= 2
                if many:
                    with self.assertRaises(Limited):
                        count.check(one, "new")
                else:
                    count.check(one, "new")
        for (who, session), clients in there.items():
            for _ in range(clients):
                count.left(who, session)
        self.assertEqual(count._sessions, {})
