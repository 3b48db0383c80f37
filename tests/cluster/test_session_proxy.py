"""What a session's page asks, at any relay: the one that has the session answers, or somebody says
why not."""

from typing import Any

from apptuner_relay.cluster.bridge.peer_auth import PASS_HEADER, PROOF_HEADER, write_request_pass
from apptuner_relay.session.session import session_hash
from tests.cluster.harness import KEY, SECRET, SESSION, ClusterCase, ClusterRelay
from tests.cluster.network import Wire
from tests.log_capture import capture_log
from tests.memory_store import MemoryStore
from tests.web.http import Answer

STATE, REPLAY = "/session/state", "/session/replay"


class ProxyCase(ClusterCase):
    """Relay a has the session, b has a phone of it, and c has nobody."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b, self.c = self.relays("abc", MemoryStore)
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=d1&name=Pixel")

    def ask(
        self, relay: ClusterRelay, path: str = STATE, wait_s: float = 1, **headers: Any
    ) -> Answer:
        method = "GET" if path == STATE else "POST"
        fields = {"AppTuner_Session": KEY} | headers
        asking = relay.ask(path, method, **fields)
        self.turn(wait_s)
        answer = asking.answer
        assert answer is not None, "no answer"
        return answer


class Answers(ProxyCase):
    def test_the_same_from_everywhere(self) -> None:
        for relay in (self.a, self.b, self.c):
            answer = self.ask(relay)
            self.assertEqual(answer.status, 200, relay.name)
            state = answer.json()
            self.assertEqual(state["node"], self.a.service.meters.node)
            self.assertEqual([one["role"] for one in state["clients"]], ["cli", "mobile"])
            self.assertEqual([one["through"] for one in state["clients"]], [None, "b"])
            self.assertNotIn(PROOF_HEADER.lower(), answer.headers)
            self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_sent_again_from_everywhere(self) -> None:
        text = self.cli.send(type="bundle_update", payload={"code": "code"})
        self.turn()
        for relay in (self.a, self.b, self.c):
            self.phone.received()
            self.assertEqual(self.ask(relay, REPLAY).json(), {"phones": 1}, relay.name)
            self.phone.read()
            self.assertEqual(self.phone.messages, [text])

    def test_nothing_that_was_shown_is_passed_on(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            seen.append(data)
            return data

        self.network.tamper = watch
        secret = "Bearer a-secret-of-these-tests"
        self.assertEqual(self.ask(self.c, Authorization=secret, Cookie="x=y").status, 200)
        asked = next(data for data in seen if data.startswith(b"GET /session"))
        self.assertIn(KEY.encode(), asked)
        for word in (b"a-secret", b"x=y", SESSION.encode()):
            self.assertNotIn(word, asked)

    def test_a_session_that_nobody_has(self) -> None:
        for relay in (self.a, self.b, self.c):
            answer = self.ask(relay, AppTuner_Session=session_hash("NOBODY"))
            self.assertEqual(answer.status, 404)
        self.assertEqual([len(one.placement.directory.held()) for one in (self.b, self.c)], [0, 0])

    def test_no_bundle_to_send_again(self) -> None:
        for relay in (self.a, self.c):
            self.assertEqual(self.ask(relay, REPLAY).status, 409)

    def test_after_it_has_moved(self) -> None:
        self.a.stop()
        self.turn(1)
        self.answer_closes(*self.cluster.clients)
        self.turn(1)
        self.assertEqual(self.owner, "b")
        for relay in (self.b, self.c):
            roles = [one["role"] for one in self.ask(relay).json()["clients"]]
            self.assertEqual(roles, ["mobile"], relay.name)

    def test_a_qr_code_of_a_session_elsewhere(self) -> None:
        asking = self.c.ask("/session/qr", "POST", AppTuner_Session=KEY)
        self.turn(1)
        answer = asking.answer
        assert answer is not None
        # It is let in, and has no body.
        self.assertEqual((answer.status, answer.error), (400, "The body has to be JSON"))
        self.assertEqual(self.c.service.access.failed_joins, 0)


class NoAnswer(ProxyCase):
    def assertSaysSo(self, answer: Answer, text: str = "can't be reached now") -> None:
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn(text, answer.error)
        self.assertEqual(answer.headers["retry-after"], "5")

    def test_it_refuses_connections(self) -> None:
        self.network.refused.add(("c", "a"))
        log = capture_log(self)
        self.assertSaysSo(self.ask(self.c))
        self.assertSaysSo(self.ask(self.c, REPLAY))
        # A page asks once in a while, and each refusal is no news.
        [line] = [line for line in log if "does not say" in line]
        self.assertTrue(line.startswith(f"session {KEY[:8]}: relay a does not say"))

    def test_nothing_comes(self) -> None:
        def stall(wire: Wire, data: bytes) -> bytes:
            wire.is_stuck = data.startswith(b"GET /session")
            return data

        self.network.tamper = stall
        asking = self.c.ask(STATE, AppTuner_Session=KEY)
        self.turn(9)
        self.assertIsNone(asking.answer)
        self.turn(2)
        answer = asking.answer
        assert answer is not None
        self.assertSaysSo(answer)

    def test_a_relay_of_an_earlier_version(self) -> None:
        # Such a relay has no such path, and gives no proof for its answer.
        del self.a.site.resource.children[b"session"]
        self.assertSaysSo(self.ask(self.c), "of an earlier version")

    def test_a_client_that_leaves(self) -> None:
        self.network.part("c", "a")
        asking = self.c.ask(STATE, AppTuner_Session=KEY)
        self.turn(0.1)
        asking.lose()
        log = capture_log(self)
        self.turn(12)
        self.assertEqual([line for line in log if KEY[:8] in line], [])


class Passes(ProxyCase):
    def shown(self, to: str, what: str = f"{STATE}#{KEY}", secret: str = SECRET) -> tuple[str, str]:
        return write_request_pass(secret, "b", to, what, self.a.wall())

    def test_they_are_answered_here_or_not_at_all(self) -> None:
        for relay, status in ((self.a, 200), (self.c, 404)):
            shown, proof = self.shown(relay.name)
            answer = self.ask(relay, **{PASS_HEADER: shown})
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers[PROOF_HEADER.lower()], proof)
            self.assertEqual(self.ask(relay, **{PASS_HEADER: shown}).status, 401)

    def test_who_only_says_that_it_is_a_relay(self) -> None:
        other = session_hash("OTHER1")
        log = capture_log(self)
        for shown in (
            "x",
            self.shown("a", secret="another")[0],
            self.shown("b")[0],
            self.shown("a", STATE)[0],
            self.shown("a", f"{REPLAY}#{KEY}")[0],
            self.shown("a", f"{STATE}#{other}")[0],
        ):
            answer = self.ask(self.a, **{PASS_HEADER: shown})
            self.assertEqual(answer.status, 401)
            self.assertNotIn(PROOF_HEADER.lower(), answer.headers)
        [line] = [line for line in log if "refused a request of another relay about" in line]
        self.assertIn("not signed with this cluster's secret", line)
