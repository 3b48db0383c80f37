"""`apptuner_relay.web.cookies`: which cookies are valid."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.cookies import cookie_name, is_good, make_cookie

TOKEN = "correct-horse-battery"


class Cookies(SynchronousTestCase):
    def test_only_what_was_made_is_good(self) -> None:
        value = make_cookie(TOKEN, 1000)
        self.assertTrue(is_good(TOKEN, value, 1000))
        self.assertFalse(is_good("other", value, 1000))
        expires, _, mac = value.partition(b"-")
        self.assertFalse(is_good(TOKEN, b"%d-%s" % (int(expires) + 1, mac), 1000))
        self.assertFalse(is_good(TOKEN, value, int(expires)))

    @given(st.binary() | st.from_regex(rb"[0-9]{1,12}-[0-9a-f]{64}", fullmatch=True))
    def test_nothing_else_is(self, value: bytes) -> None:
        self.assertFalse(is_good(TOKEN, value, 0))

    def test_relays_with_other_tokens_have_other_cookies(self) -> None:
        self.assertNotEqual(cookie_name("one-token"), cookie_name("another-token"))
