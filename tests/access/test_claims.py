"""`apptuner_relay.access.claims.MemoryClaims` against what it should do, at random times."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.claims import Claim, MemoryClaims, TooManyClaims

TTL_S = 100.0


class Memory(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 0.0

    def make(self, most: int = 100) -> MemoryClaims:
        return MemoryClaims(TTL_S, lambda: self.now_s, most)

    def test_the_first_proof_counts(self) -> None:
        claims = self.make()
        self.assertIsNone(self.successResultOf(claims.look("s")))
        self.successResultOf(claims.take("s", Claim("a")))
        self.assertEqual(self.successResultOf(claims.take("s", Claim("b", True))), Claim("a"))
        self.assertEqual(self.successResultOf(claims.take("s", Claim("a", True))).tokens, True)
        self.assertEqual(self.successResultOf(claims.look("s")), Claim("a", True))

    def test_a_full_table_takes_no_more_and_loses_nothing(self) -> None:
        claims = self.make(2)
        for session in "ab":
            self.successResultOf(claims.take(session, Claim("x")))
        self.failureResultOf(claims.take("c", Claim("x")), TooManyClaims)
        self.successResultOf(claims.take("a", Claim("x", True)))
        self.assertEqual(self.successResultOf(claims.look("b")), Claim("x"))
        self.now_s = TTL_S
        self.successResultOf(claims.take("c", Claim("x")))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.tuples(st.floats(0, 60), st.sampled_from("st"), st.sampled_from("ab"), st.booleans())
        )
    )
    def test_as_a_model_has_it(self, uses: list[tuple[float, str, str, bool]]) -> None:
        self.now_s = 0.0
        claims = self.make()
        model: dict[str, tuple[Claim, float]] = {}
        for past_s, session, proof, tokens in uses:
            self.now_s += past_s
            there = model.get(session)
            if there is not None and self.now_s - there[1] >= TTL_S:
                there = None
            look = self.successResultOf(claims.look(session))
            self.assertEqual(look, there and there[0])
            took = self.successResultOf(claims.take(session, Claim(proof, tokens)))
            if there is None or there[0].proof == proof:
                model[session] = Claim(proof, tokens), self.now_s
            self.assertEqual(took, model[session][0])
