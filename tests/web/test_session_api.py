"""`apptuner_relay.web.session_api`: what is told of a session, to whom, and what is sent again."""

import hashlib
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.config.origins import Origins
from apptuner_relay.session.session import session_hash
from tests.log_capture import capture_log
from tests.memory import Client, Relay
from tests.memory_store import MemoryStore
from tests.web.http import LOCAL, REMOTE, Answer, Requester

SESSION = "ABC234"
KEY = session_hash(SESSION)
SECRET = "a-secret-of-these-tests"
BEARER = f"Bearer {SECRET}"
WRONG = "Bearer another-secret-altogether"
OWN_PAGE = "https://relay.example"


class SessionCase(SynchronousTestCase):
    """A relay, and who asks it from elsewhere."""

    def start(self, has_store: bool = True, **settings: Any) -> None:
        self.relay = Relay(MemoryStore if has_store else None, **settings)
        self.visitor = Requester(self.relay.service, REMOTE)

    def connect(self, role: str, query: str = "") -> Client:
        return self.relay.connect(f"/{role}/{SESSION}?{query}")

    def state(self, session: str = SESSION, **headers: str) -> Answer:
        return self.visitor.ask("/session/state", AppTuner_Session=session_hash(session), **headers)

    def replay(self, session: str = SESSION, **headers: str) -> Answer:
        return self.visitor.ask(
            "/session/replay", "POST", AppTuner_Session=session_hash(session), **headers
        )

    def assertRefused(self, answer: Answer, status: int, text: str) -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(text, answer.error)


class State(SessionCase):
    def test_who_is_there(self) -> None:
        self.start()
        began_ms = int(self.relay.wall() * 1000)
        self.connect("cli")
        self.relay.wait(2)
        self.connect("mobile", "deviceId=d1&name=Pixel&platform=android")
        self.relay.wait(3)
        answer = self.state()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        state = answer.json()
        self.assertEqual(state["session"], KEY[:8])
        self.assertEqual(state["now_ms"], began_ms + 5000)
        self.assertEqual(state["since_ms"], began_ms)
        self.assertEqual((state["claimed"], state["tokens"]), (False, False))
        self.assertIsNone(state["kept"])
        self.assertEqual(state["bundles"], [])
        cli, phone = state["clients"]
        self.assertEqual((cli["role"], cli["name"], cli["since_ms"]), ("cli", None, began_ms))
        self.assertEqual(
            {name: phone[name] for name in ("role", "deviceId", "name", "platform", "since_ms")},
            {
                "role": "mobile",
                "deviceId": "d1",
                "name": "Pixel",
                "platform": "android",
                "since_ms": began_ms + 2000,
            },
        )
        # Nobody learns where the others are.
        self.assertNotIn("address", phone)
        self.assertNotIn(SESSION.encode(), answer.body)

    def test_the_bundle_that_is_kept(self) -> None:
        self.start()
        began_ms = int(self.relay.wall() * 1000)
        cli = self.connect("cli")
        cli.send(type="bundle_update", payload={"code": "code"})
        kept = self.state().json()["kept"]
        self.assertEqual((kept["began_ms"], kept["sha256"]), (began_ms, None))
        self.assertGreater(kept["bytes"], 20)
        requester = Requester(self.relay.service)
        self.assertEqual(requester.ask("/health").status, 200)
        cli.lose()
        # It outlives its session, and is found by those who look.
        state = self.state().json()
        self.assertEqual((state["clients"], state["since_ms"]), ([], None))
        self.assertEqual(state["kept"], kept)

    def test_what_became_of_the_last_bundles(self) -> None:
        self.start()
        cli, phone = self.connect("cli"), self.connect("mobile", "deviceId=d1&name=Pixel")
        for n in range(25):
            cli.send(type="bundle_update", payload={"code": f"code {n}"})
            self.relay.wait(1)
            phone.send(type="bundle_ack", success=n != 24, error="<b>SyntaxError</b>")
            self.relay.wait(1)
        bundles = self.state().json()["bundles"]
        self.assertEqual([one["id"] for one in bundles], list(range(25, 5, -1)))
        self.assertEqual([one["acknowledged_s"] for one in bundles], [None, *[1.0] * 19])
        [row] = bundles[0]["phones"]
        self.assertEqual((row["state"], row["error"]), ("failed", "<b>SyntaxError</b>"))
        self.assertEqual((row["deviceId"], row["name"], row["source"]), ("d1", "Pixel", "live"))
        # Where its sender is, only operators learn.
        self.assertEqual(bundles[0]["sender"], {"role": "cli", "address": None})
        # What is sent again is one more row of that bundle.
        self.assertEqual(self.replay().json(), {"phones": 1})
        phone.send(type="bundle_ack", success=True)
        again = self.state().json()["bundles"][0]["phones"][1]
        self.assertEqual((again["source"], again["state"]), ("kept", "acknowledged"))

    def test_its_hash_is_told_once_somebody_has_asked_for_it(self) -> None:
        self.start()
        cli, _ = self.connect("cli"), self.connect("mobile", "announce=1")
        cli.send(type="bundle_update", payload={"code": "code"})
        digest = hashlib.sha256(b"code").hexdigest()
        self.assertEqual(self.state().json()["kept"]["sha256"], digest)

    def test_a_large_state_is_not_told_again_and_again(self) -> None:
        self.start(max_mobiles=40)
        cli = self.connect("cli")
        for n in range(39):
            self.connect("mobile", f"deviceId=d{n}")
        for _ in range(2):
            cli.send(type="bundle_update", payload={"code": "code"})
        # 2 bundles with 39 phones each are 80 rows, which may be had as often as one likes.
        for _ in range(300):
            self.assertEqual(self.state().status, 200)
        cli.send(type="bundle_update", payload={"code": "code"})
        answers = [self.state() for _ in range(200)]
        said = [one.status for one in answers]
        self.assertEqual(said, [200] * (20_000 // 120) + [429] * (200 - 20_000 // 120))
        self.assertRefused(answers[-1], 429, "asked for too often")
        self.assertEqual(answers[-1].headers["retry-after"], "1")
        self.relay.wait(1)
        self.assertEqual(self.state().status, 200)

    def test_a_session_that_nobody_knows(self) -> None:
        self.start()
        self.assertRefused(self.state(), 404, "Nobody is in this session")
        self.connect("cli").lose()
        self.assertRefused(self.state("OTHER2"), 404, "Nobody is in this session")

    def test_without_a_hash(self) -> None:
        self.start()
        for wrong in ("", "ABC234", KEY[:8], KEY.upper(), KEY + "0", "é" * 64):
            for path, method in (("/session/state", "GET"), ("/session/replay", "POST")):
                answer = self.visitor.ask(path, method, AppTuner_Session=wrong)
                self.assertRefused(answer, 400, "AppTuner-Session")
        self.assertRefused(self.visitor.ask("/session/state"), 400, "64 of the characters")

    def test_other_methods_and_paths(self) -> None:
        self.start()
        for path, method in (
            ("/session/state", "POST"),
            ("/session/state", "OPTIONS"),
            ("/session/replay", "GET"),
            ("/session/replay", "OPTIONS"),
            ("/session/qr", "GET"),
        ):
            answer = self.visitor.ask(path, method, Origin="https://evil.example")
            self.assertEqual(answer.status, 405, (path, method))
            # No page of another site may send the header field, or read an answer.
            self.assertEqual([one for one in answer.headers if one.startswith("access-c")], [])
        for path in ("/session", "/session/", "/session/x", "/session/state/x"):
            self.assertEqual(self.visitor.ask(path).status, 404, path)


class Claimed(SessionCase):
    def setUp(self) -> None:
        self.start()
        self.connect("cli", f"key={SECRET}&tokens=1")

    def test_the_secret_is_asked_for(self) -> None:
        for ask in (self.state, self.replay):
            answer = ask()
            self.assertRefused(answer, 401, "show its secret")
            self.assertIs(answer.json()["claimed"], True)
            self.assertIn("Bearer", answer.headers["www-authenticate"])
            answer = ask(Authorization=WRONG)
            self.assertRefused(answer, 403, "not the secret")
            self.assertIs(answer.json()["claimed"], True)
            self.assertRefused(ask(Authorization="Bearer short"), 400, "Bad key")

    def test_who_shows_it_is_let_in(self) -> None:
        state = self.state(Authorization=BEARER).json()
        self.assertEqual((state["claimed"], state["tokens"]), (True, True))
        self.assertRefused(self.replay(Authorization=BEARER), 409, "no bundle")

    def test_a_join_token_does_not_do(self) -> None:
        token = sign_token(SECRET, KEY, self.relay.wall() + 60)
        self.assertRefused(self.state(Authorization=f"Bearer {token}"), 401, "secret")

    def test_nobody_claims_a_session_by_looking_at_it(self) -> None:
        self.relay.connect("/mobile/OTHER2")
        state = self.state("OTHER2", Authorization=BEARER)
        self.assertIs(state.json()["claimed"], False)
        self.assertEqual(self.state("OTHER2").status, 200)

    def test_a_session_that_has_ended_stays_claimed(self) -> None:
        self.relay.service.registry.close_session(self.relay.service.sessions[KEY], "over")
        self.assertRefused(self.state(), 401, "secret")
        self.assertRefused(self.state(Authorization=BEARER), 404, "Nobody")


class Limits(SessionCase):
    def test_who_guesses_is_stopped(self) -> None:
        self.start(failed_joins=3)
        self.connect("mobile")
        before = self.relay.service.access.failed_joins
        for n in range(3):
            self.assertEqual(self.state(f"GUESS{n}").status, 404)
        # Those again, and no others: not even whether they exist.
        self.assertEqual(self.state("GUESS0").status, 404)
        for ask in (self.state, self.replay):
            for session in ("GUESS9", SESSION):
                answer = ask(session)
                self.assertRefused(answer, 429, "Too many attempts")
                self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertEqual(self.relay.service.access.failed_joins, before + 3)

    def test_wrong_secrets_are_guesses(self) -> None:
        self.start(failed_joins=2)
        self.connect("cli", f"key={SECRET}")
        for n in range(2):
            answer = self.state(Authorization=f"Bearer wrong-secret-number-{n}")
            self.assertEqual(answer.status, 403)
        self.assertEqual(self.state(Authorization="Bearer wrong-secret-number-9").status, 429)

    def test_a_session_that_is_known_may_be_asked_about_for_ever(self) -> None:
        self.start(failed_joins=1, connect_rate=1)
        self.connect("cli")
        for _ in range(5):
            self.assertEqual(self.state().status, 200)


class Origin(SessionCase):
    def setUp(self) -> None:
        self.start(allowed_origin=Origins.parse("https://dashboard.example"))
        self.connect("cli")

    def test_other_pages_are_refused(self) -> None:
        answer = self.replay(Origin="https://evil.example")
        self.assertRefused(answer, 403, "origin")
        self.assertNotIn("claimed", answer.json())
        self.assertRefused(self.state(Origin="null"), 403, "origin")

    def test_the_relays_own_page_is_not(self) -> None:
        for headers in (
            {},
            {"Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:3000"},
            {"Origin": "http://127.0.0.1:3000"},
            {"Origin": OWN_PAGE, "X_Forwarded_Host": "relay.example"},
        ):
            self.assertEqual(self.state(**headers).status, 200, headers)
            self.assertEqual(self.replay(**headers).status, 409, headers)


class SentAgain(SessionCase):
    def setUp(self) -> None:
        self.start()
        self.cli = self.connect("cli")

    def test_to_every_phone(self) -> None:
        phones = [self.connect("mobile"), self.connect("mobile", "patch=1")]
        text = self.cli.send(type="bundle_update", payload={"code": "code"})
        for phone in phones:
            phone.received()
        log = capture_log(self)
        self.assertEqual(self.replay().json(), {"phones": 2})
        for phone in phones:
            phone.read()
            self.assertEqual(phone.messages[0], text)
        self.assertIn(
            f"session {KEY[:8]}: its last bundle is sent again to 2 phones, as 203.0.113.9 asks",
            log,
        )

    def test_not_again_and_again(self) -> None:
        phone = self.connect("mobile")
        text = self.cli.send(type="bundle_update", payload={"code": "code"})
        for _ in range(5):
            self.assertEqual(self.replay().status, 200)
        log = capture_log(self)
        for _ in range(20):
            answer = self.replay()
            self.assertRefused(answer, 429, "sent again too often")
        self.assertEqual(answer.headers["retry-after"], "5")
        phone.read()
        self.assertEqual(phone.messages.count(text), 6)
        self.assertEqual(log, [])
        self.relay.wait(5)
        self.assertEqual(self.replay().status, 200)
        self.assertEqual(self.replay().status, 429)

    def test_to_nobody(self) -> None:
        self.cli.send(type="bundle_update", payload={"code": "code"})
        self.assertEqual(self.replay().json(), {"phones": 0})

    def test_where_there_is_none(self) -> None:
        self.connect("mobile")
        self.assertRefused(self.replay(), 409, "no bundle")
        self.assertRefused(self.replay("OTHER2"), 404, "Nobody")

    def test_without_a_spool(self) -> None:
        self.start(has_store=False)
        self.connect("cli").send(type="bundle_update", payload={"code": "code"})
        self.assertRefused(self.replay(), 409, "no bundle")


class Leaving(SessionCase):
    def test_who_leaves_before_the_answer_is_forgotten(self) -> None:
        self.start()
        self.connect("cli")
        claims = self.relay.service.access.claims
        assert claims is not None
        waiting: Deferred[None] = Deferred()
        self.patch(claims, "look", lambda session: waiting)
        transport = self.visitor.open("/session/state", AppTuner_Session=KEY)
        protocol: Any = transport.protocol
        protocol.connectionLost(Failure(ConnectionDone()))
        waiting.callback(None)
        self.assertEqual(transport.value(), b"")

    def test_a_fault_of_the_relay(self) -> None:
        self.start()
        self.connect("cli")

        def fail(*_: object) -> None:
            raise RuntimeError("broken")

        self.patch(self.relay.service.access, "authorize", fail)
        self.assertRefused(self.state(), 500, "has failed")
        [failure] = self.flushLoggedErrors(RuntimeError)
        self.assertNotIn(SESSION, str(failure))


class Addresses(SessionCase):
    def test_another_address(self) -> None:
        self.start(failed_joins=1)
        self.assertEqual(self.state("GUESS1").status, 404)
        other = Requester(self.relay.service, IPv4Address("TCP", "198.51.100.7", 1))
        asked = other.ask("/session/state", AppTuner_Session=session_hash("GUESS2"))
        self.assertEqual(asked.status, 404)
        here = Requester(self.relay.service, LOCAL)
        for n in range(9):
            asked = here.ask("/session/state", AppTuner_Session=session_hash(f"HERE{n}"))
            self.assertEqual(asked.status, 404)
