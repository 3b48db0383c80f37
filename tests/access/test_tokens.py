"""`apptuner_relay.access.tokens`: secrets, their proofs, and join tokens."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import (
    BadToken,
    check_secret,
    check_token,
    expiry_of,
    is_proven,
    make_proof,
    sign_token,
)
from apptuner_relay.session.session import session_hash

SECRET = "0123456789abcdefSECRET"
HERE, ELSEWHERE = session_hash("ABC234"), session_hash("XYZ567")
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=64)


class Secrets(SynchronousTestCase):
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(secrets, secrets)
    def test_a_proof_is_of_one_secret_and_one_session(self, one: str, other: str) -> None:
        proof = make_proof(one, HERE)
        self.assertTrue(is_proven(proof, one, HERE))
        self.assertEqual(is_proven(proof, other, HERE), one == other)
        self.assertFalse(is_proven(proof, one, ELSEWHERE))
        self.assertNotIn(one, proof)

    def test_a_token_opens_one_session_for_a_time(self) -> None:
        token = sign_token(SECRET, HERE, 1000.5)
        proof = make_proof(SECRET, HERE)
        check_token(proof, token, HERE, 999)
        self.assertEqual(expiry_of(token), 1000)
        for wrong_proof, session in (
            (make_proof(SECRET + "x", HERE), HERE),
            (proof, ELSEWHERE),
            (make_proof(SECRET, ELSEWHERE), ELSEWHERE),
        ):
            with self.assertRaises(BadToken) as caught:
                check_token(wrong_proof, token, session, 999)
            self.assertFalse(caught.exception.expired)
        with self.assertRaises(BadToken) as caught:
            check_token(proof, token, HERE, 1000)
        self.assertTrue(caught.exception.expired)

    def test_the_proof_signs_nothing(self) -> None:
        proof = make_proof(SECRET, HERE)
        with self.assertRaises(BadToken):
            check_token(proof, sign_token(proof, HERE, 1000), HERE, 1)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_a_changed_token_opens_nothing(self, data: st.DataObject) -> None:
        token = sign_token(SECRET, HERE, 0xABCDEF12)
        at = data.draw(st.integers(0, len(token) - 1))
        changed = token[:at] + data.draw(st.sampled_from("0af.-_Z")) + token[at + 1 :]
        if changed == token:
            return
        try:
            check_token(make_proof(SECRET, HERE), changed, HERE, 1)
        except BadToken:
            return
        # Of base64's last character only some bits count.
        self.assertEqual((changed[:-1], at), (token[:-1], len(token) - 1))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text())
    def test_junk_is_no_token(self, junk: str) -> None:
        with self.assertRaises(BadToken):
            check_token(make_proof(SECRET, HERE), junk, HERE, 0)

    def test_which_secrets_may_be(self) -> None:
        check_secret("x" * 16)
        for wrong in ("", "x" * 15, "x" * 257, "x" * 16 + " ", "é" * 16, "x" * 16 + "\n"):
            self.assertRaises(ValueError, check_secret, wrong)
