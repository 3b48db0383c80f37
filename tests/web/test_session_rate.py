"""`apptuner_relay.web.session_rate`: what one session may have, and all of them together."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.session_rate import Rate, SessionRate


class Limits(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rate = SessionRate("Too much", Rate(0.5, 2), Rate(1, 5), self.clock.seconds)

    def taken(self, *sessions: str) -> list[int]:
        """0 for each that was let through, else for how many seconds to wait."""
        waits = []
        for session in sessions:
            try:
                self.rate.take(session)
                waits.append(0)
            except BadRequest as no:
                self.assertEqual(no.status, 429)
                ((name, value),) = no.headers
                self.assertEqual(name, "Retry-After")
                self.assertIn(f"Too much; try again in {value} s", str(no))
                waits.append(int(value))
        return waits

    def test_one_session_leaves_the_others_theirs(self) -> None:
        self.assertEqual(self.taken("a", "a", "a", "b", "b", "b"), [0, 0, 2, 0, 0, 2])
        self.clock.advance(2)
        self.assertEqual(self.taken("a", "a"), [0, 2])

    def test_all_sessions_together(self) -> None:
        self.assertEqual(self.taken(*"aabbcde"), [0, 0, 0, 0, 0, 1, 1])
        self.clock.advance(1)
        # Who was refused for the others has still all of its own.
        self.assertEqual(self.taken(*"ed"), [0, 1])

    def test_who_asks_too_often_waits_no_longer_for_it(self) -> None:
        self.taken(*"aaaaaaaa")
        self.clock.advance(2)
        self.assertEqual(self.taken("a"), [0])

    def test_what_counts_as_several(self) -> None:
        self.rate.take("a", 1.5)
        self.assertEqual(self.taken("a"), [1])
        self.clock.advance(10)
        self.rate.take("a", 1000)
        self.assertEqual(self.taken("a"), [2])
