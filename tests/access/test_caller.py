"""`apptuner_relay.access.caller`: what a client shows of itself."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.caller import Caller, read_caller
from apptuner_relay.access.tokens import (
    sign_token,
)
from apptuner_relay.session.session import BadRequest, session_hash

SECRET = "0123456789abcdefSECRET"
HERE, ELSEWHERE = session_hash("ABC234"), session_hash("XYZ567")
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=64)


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
