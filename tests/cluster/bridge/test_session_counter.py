"""How many clients a session has in some state."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.session_counter import SessionCounter


class SessionCounterTest(SynchronousTestCase):
    @given(st.lists(st.sampled_from("abc")))
    def test_the_last_one_is_told(self, sessions: list[str]) -> None:
        ended: list[str] = []
        counter = SessionCounter(ended.append)
        for session in sessions:
            counter.add(session)
        for n, session in enumerate(sessions):
            self.assertIn(session, counter)
            counter.remove(session)
            left = session in sessions[n + 1 :]
            self.assertEqual(session in counter, left)
            self.assertEqual(ended.count(session), not left)

    def test_it_is_not_counted_any_more_when_it_is_told(self) -> None:
        """Whoever is told may ask whether the session is in use."""
        seen: list[bool] = []
        counter = SessionCounter(lambda session: seen.append(session in counter))
        counter.add("a")
        counter.remove("a")
        self.assertEqual(seen, [False])
