"""`apptuner_relay.access.tokens`, `caller` and `origins`: what is shown, and what it is worth."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.caller import Caller, read_caller
from apptuner_relay.access.origins import ALL, Origins
from apptuner_relay.access.tokens import (
    BadToken,
    check_secret,
    check_token,
    expiry_of,
    is_proven,
    make_proof,
    sign_token,
)
from apptuner_relay.session import BadRequest, session_hash

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


class Callers(SynchronousTestCase):
    def test_header_and_query(self) -> None:
        token = sign_token(SECRET, HERE, 1000)
        for authorization, query, secret, shown in (
            (None, "", None, None),
            (f"Bearer {SECRET}", "", SECRET, None),
            (f"bearer  {SECRET} ", "key=0123456789012345", SECRET, None),
            (None, f"key={SECRET}", SECRET, None),
            (None, "key=0123456789012345%2B%2F", "0123456789012345+/", None),
            (f"Bearer {token}", "", None, token),
            (None, f"token={token}&key={SECRET}", SECRET, token),
            (None, "token=junk", None, "junk"),
            ("Basic YTpi", "", None, None),
            ("Bearer", "", None, None),
        ):
            caller = read_caller("192.0.2.1", "http://o", authorization, query)
            self.assertEqual((caller.secret, caller.token), (secret, shown))
            self.assertEqual((caller.address, caller.origin), ("192.0.2.1", "http://o"))
        self.assertTrue(read_caller(None, None, None, "tokens=1").wants_tokens)
        self.assertFalse(read_caller(None, None, None, "tokens=0").wants_tokens)

    def test_what_can_not_be(self) -> None:
        for authorization, query in (
            ("Bearer short", ""),
            (None, "key=short"),
            (None, "&".join(f"a{n}=1" for n in range(40))),
        ):
            with self.assertRaises(BadRequest) as caught:
                read_caller(None, None, authorization, query)
            self.assertEqual(caught.exception.status, 400)

    def test_nothing_secret_is_shown(self) -> None:
        self.assertNotIn(SECRET, repr(Caller("192.0.2.1", secret=SECRET, token=SECRET)))

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text(), st.text())
    def test_any_text(self, authorization: str, query: str) -> None:
        try:
            read_caller(None, None, authorization, query)
        except BadRequest as refusal:
            self.assertEqual(refusal.status, 400)


class OriginList(SynchronousTestCase):
    def test_who_may(self) -> None:
        origins = Origins.parse("https://a.example.com, http://localhost:8080 https://*.b.com")
        for origin in (
            None,
            "https://a.example.com",
            "HTTPS://A.example.com:443",
            "http://localhost:8080",
            "https://x.b.com",
            "https://x.y.b.com",
        ):
            self.assertTrue(origins.allow(origin), origin)
        for origin in (
            "http://a.example.com",
            "https://a.example.com:444",
            "https://a.example.com.evil.com",
            "https://evil.com/https://a.example.com",
            "https://b.com",
            "https://.b.com",
            "https://evilb.com",
            "https://x.b.com:8443",
            "https://*.b.com",
            "http://localhost",
            "null",
            "",
            "https://a.example.com https://x.b.com",
        ):
            self.assertFalse(origins.allow(origin), origin)

    def test_all_and_null(self) -> None:
        self.assertEqual(Origins.parse("any"), ALL)
        self.assertTrue(ALL.allow("http://anything"))
        self.assertTrue(Origins.parse("null").allow("null"))

    def test_what_can_not_be(self) -> None:
        for text in ("example.com", "https://", "https://a/b", "*", "https://a:99999", "any null"):
            self.assertRaises(ValueError, Origins.parse, text)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        self.assertIn(Origins.parse("https://a.example.com").allow(text), (True, False))
