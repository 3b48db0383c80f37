"""A session's last bundle, asked for at any relay: the owner answers, or somebody says why not.
`tests.live.test_cluster_bundles` has the same between processes, with bundles of all sizes."""

import hashlib
from typing import Any

from apptuner_relay.cluster.bridge.peer_auth import PASS_HEADER, PROOF_HEADER, write_request_pass
from apptuner_relay.wire.dictionary_transport import write_available_dictionary
from tests.cluster.harness import KEY, SECRET, SESSION, ClusterCase, ClusterRelay
from tests.cluster.network import Wire
from tests.log_capture import capture_log
from tests.memory_store import MemoryStore
from tests.spool.code.test_dictionary_coding import decoded
from tests.web.http import Answer

CODE = "x" * 1000
SHA256 = hashlib.sha256(CODE.encode()).hexdigest()
PATH = f"/bundles/{SESSION}"


class ProxyCase(ClusterCase):
    """Relay a keeps a bundle; b has a client of the session, and c has none."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b, self.c = self.relays("abc", MemoryStore)
        self.cli = self.connect(self.a, "cli")
        self.page = self.connect(self.b, "dashboard")
        self.cli.send(type="bundle_update", payload={"code": CODE})
        self.turn()

    def get(self, relay: ClusterRelay, path: str = PATH, wait_s: float = 1, **more: Any) -> Answer:
        """The answer to a request."""
        asking = relay.ask(path, **more)
        self.turn(wait_s)
        answer = asking.answer
        assert answer is not None, "no answer"
        return answer


class Answers(ProxyCase):
    def test_the_same_from_everywhere(self) -> None:
        for relay in (self.a, self.b, self.c):
            answer = self.get(relay)
            self.assertEqual((answer.status, answer.body.decode()), (200, CODE), relay.name)
            self.assertEqual(answer.headers["etag"], f'"{SHA256}"')
            self.assertNotIn(PROOF_HEADER.lower(), answer.headers)

    def test_what_decides_on_the_answer_is_passed_on_and_nothing_else(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            seen.append(data)
            return data

        self.network.tamper = watch
        answer = self.get(self.c, Range="bytes=0-9", Cookie="secret=1", X_Own="2")
        self.assertEqual((answer.status, answer.body), (206, b"x" * 10))
        asked = next(data for data in seen if data.startswith(b"GET"))
        self.assertIn(b"bytes=0-9", asked)
        for word in (b"secret", b"X-Own"):
            self.assertNotIn(word, asked)
        self.assertEqual(self.get(self.c, If_None_Match=f'"{SHA256}"').status, 304)

    def test_from_code_that_the_client_has(self) -> None:
        old, new = (CODE * 20).encode(), (CODE * 20 + "y").encode()
        self.cli.send(type="bundle_update", payload={"code": old.decode()})
        self.turn()
        etag = self.get(self.c).headers["etag"].strip('"')
        answer = self.get(self.c, f"{PATH}/{etag}")
        self.assertEqual(answer.headers["use-as-dictionary"], f'match="{PATH}{{/*}}?"')
        self.cli.send(type="bundle_update", payload={"code": new.decode()})
        self.turn()
        fields = {
            "Available_Dictionary": write_available_dictionary(etag),
            "Accept_Encoding": "gzip, dcz",
        }
        for relay in (self.a, self.b, self.c):
            answer = self.get(relay, **fields)
            self.assertEqual(answer.headers["content-encoding"], "dcz", relay.name)
            self.assertEqual(decoded(answer.body, old), new)
            self.assertIn("Available-Dictionary", answer.headers["vary"])
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_what_there_is_not(self) -> None:
        for relay in (self.a, self.b, self.c):
            self.assertEqual(self.get(relay, "/bundles/NOBODY").status, 404)
        # Nobody has a session because somebody asked for its bundle.
        self.assertEqual([len(one.placement.directory.held()) for one in (self.b, self.c)], [0, 0])

    def test_an_owner_that_keeps_none(self) -> None:
        self.a.service.store.forget(KEY)  # type: ignore[union-attr]
        self.assertEqual(self.get(self.c).status, 404)

    def test_after_it_has_moved(self) -> None:
        self.a.stop()
        self.turn(1)
        self.answer_closes(*self.cluster.clients)
        self.turn(1)
        self.assertNotEqual(self.owner, "a")
        for relay in (self.b, self.c):
            self.assertEqual(self.get(relay).body.decode(), CODE, relay.name)


class NoAnswer(ProxyCase):
    """The owner can't be asked, or doesn't answer."""

    def assertSaysSo(self, answer: Answer, status: int = 503) -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn("can't be reached now", answer.error)
        if status == 503:
            self.assertEqual(answer.headers["retry-after"], "5")

    def test_it_refuses_connections(self) -> None:
        self.network.refused.add(("c", "a"))
        log = capture_log(self)
        self.assertSaysSo(self.get(self.c))
        [line] = [
            line
            for line in log
            if "its bundle can't be had" in line or "does not deliver its bundle" in line
        ]
        self.assertTrue(line.startswith(f"session {KEY[:8]}: "))

    def test_nothing_gets_there(self) -> None:
        self.network.part("c", "a")
        self.assertSaysSo(self.get(self.c, wait_s=3))

    def test_it_loses_the_session_while_it_is_asked(self) -> None:
        asking = self.c.ask(PATH)
        self.network.part("c", "a")
        self.turn(0.05)
        self.redis.model.forget("a")
        self.turn(5)
        answer = asking.answer
        assert answer is not None
        self.assertSaysSo(answer)

    def test_it_is_the_owner_but_takes_too_long(self) -> None:
        def stall(wire: Wire, data: bytes) -> bytes:
            wire.is_stuck = data.startswith(b"GET /bundles")
            return data

        self.network.tamper = stall
        asking = self.c.ask(PATH)
        self.turn(100)
        self.assertIsNone(asking.answer)
        self.turn(30)
        answer = asking.answer
        assert answer is not None
        self.assertIn(answer.status, (503, 504))

    def test_its_answer_is_not_a_relays(self) -> None:
        def forge(wire: Wire, data: bytes) -> bytes:
            if data.startswith(b"HTTP/1.1 200"):
                return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
            return data

        self.network.tamper = forge
        self.assertSaysSo(self.get(self.c), 502)

    def test_it_dies_in_the_middle_of_it(self) -> None:
        def cut(wire: Wire, data: bytes) -> bytes:
            if data.startswith(b"xxx"):
                self.cluster.clock.callLater(0, wire.cut)
                return data[:500]
            return data

        self.network.tamper = cut
        log = capture_log(self)
        asking = self.c.ask(PATH)
        self.turn(1)
        # What has come can't be taken back, so the client's connection ends.
        self.assertTrue(asking.transport.disconnecting)
        answer = asking.answer
        assert answer is not None
        self.assertEqual((answer.headers["content-length"], answer.body), ("1000", b"x" * 500))
        self.assertIn("the connection to it was lost", "".join(log))

    def test_a_client_that_leaves(self) -> None:
        self.network.part("c", "a")
        asking = self.c.ask(PATH)
        self.turn(0.1)
        asking.lose()
        log = capture_log(self)
        self.turn(5)
        self.assertEqual([line for line in log if KEY[:8] in line], [])

    def test_without_the_directory_only_who_has_a_link_knows_where_to_ask(self) -> None:
        self.redis.stop()
        self.turn(3)
        statuses = [self.get(relay, wait_s=3).status for relay in (self.a, self.b, self.c)]
        self.assertEqual(statuses, [200, 200, 404])


class Peers(ProxyCase):
    """Requests of other relays."""

    def shown(self, to: str, path: str = PATH, secret: str = SECRET) -> tuple[str, str]:
        return write_request_pass(secret, "b", to, path, self.a.wall())

    def test_they_are_answered_here_or_not_at_all(self) -> None:
        for relay, status in ((self.a, 200), (self.c, 404)):
            shown, proof = self.shown(relay.name)
            answer = self.get(relay, **{PASS_HEADER: shown})
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers[PROOF_HEADER.lower()], proof)
            # And once.
            self.assertEqual(self.get(relay, **{PASS_HEADER: shown}).status, 401)

    def test_who_only_says_that_it_is_a_relay(self) -> None:
        for shown in (
            "x",
            "e30=.00",
            self.shown("a", secret="another")[0],
            self.shown("b")[0],
            self.shown("a", "/bundles/OTHER1")[0],
        ):
            answer = self.get(self.a, **{PASS_HEADER: shown})
            self.assertEqual(answer.status, 401)
            self.assertNotIn(PROOF_HEADER.lower(), answer.headers)
