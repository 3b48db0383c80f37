"""`apptuner_relay.web.signin`: signing in to the status page, and out."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.cookies import LIFETIME_S
from tests.memory import Relay
from tests.web.http import REMOTE, Answer, Requester

TOKEN = "correct-horse-battery"
BEARER = f"Bearer {TOKEN}"


class SignIn(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(admin_token=TOKEN)
        self.browser = Requester(self.relay.service, REMOTE)

    def sign_in(self, **headers: str) -> Answer:
        return self.browser.ask("/api/login", "POST", Authorization=BEARER, **headers)

    def cookie(self) -> str:
        return self.sign_in().headers["set-cookie"].partition(";")[0]

    def test_a_cookie_for_the_token(self) -> None:
        answer = self.sign_in()
        self.assertEqual(answer.status, 200)
        _, *attributes = answer.headers["set-cookie"].lower().split("; ")
        expected = {"httponly", "samesite=strict", "path=/", f"max-age={LIFETIME_S}"}
        self.assertEqual(set(attributes), expected)
        self.assertNotIn(TOKEN, answer.headers["set-cookie"])

    def test_over_tls_the_cookie_stays_there(self) -> None:
        answer = self.sign_in(X_Forwarded_Proto="https")
        self.assertIn("; secure", answer.headers["set-cookie"].lower())

    def test_the_cookie_opens_until_it_ends(self) -> None:
        cookie = self.cookie()
        self.assertEqual(self.browser.ask("/api/sessions", Cookie=cookie).status, 200)
        self.assertTrue(self.browser.ask("/api/login", Cookie=cookie).json()["signed_in"])
        self.relay.clock.advance(LIFETIME_S)
        self.assertEqual(self.browser.ask("/api/sessions", Cookie=cookie).status, 401)

    def test_the_cookie_outlives_the_relay_but_not_the_token(self) -> None:
        cookie = self.cookie()
        again = Requester(Relay(admin_token=TOKEN).service)
        self.assertEqual(again.ask("/api/sessions", Cookie=cookie).status, 200)
        other = Requester(Relay(admin_token="another-token").service)
        self.assertEqual(other.ask("/api/sessions", Cookie=cookie).status, 401)

    def test_no_cookie_for_a_wrong_token(self) -> None:
        answer = self.browser.ask("/api/login", "POST", Authorization="Bearer nonsense")
        self.assertEqual(answer.status, 401)
        self.assertNotIn("set-cookie", answer.headers)

    def test_signing_out(self) -> None:
        cookie = self.cookie()
        answer = self.browser.ask(
            "/api/logout", "POST", Cookie=cookie, Origin="http://127.0.0.1:3000"
        )
        self.assertEqual(answer.status, 200)
        self.assertIn("max-age=0", answer.headers["set-cookie"].lower())

    def test_nothing_to_sign_in_to(self) -> None:
        open_relay = Requester(Relay().service)
        self.assertEqual(open_relay.ask("/api/login", "POST").status, 404)
        self.assertFalse(open_relay.ask("/api/login").json()["signed_in"])
