"""`apptuner_relay.web.claims_resource`: an operator lists, releases, exports and imports claims."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.claim_register import ClaimPage, KeptClaim
from apptuner_relay.access.claims import Claim
from apptuner_relay.session.session import BadRequest, session_hash
from apptuner_relay.web.claims_resource import ClaimsParts, read_export
from tests.memory import Relay
from tests.web.http import REMOTE, Answer, Requester

KEY, OTHER = "0123456789abcdef-one", "0123456789abcdef-other"
HASH = session_hash("ABC234")


class ClaimsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.operator = Requester(self.relay.service)

    def claim(self, session: str = "ABC234", key: str = KEY, stays: bool = False) -> Any:
        client = self.relay.connect(f"/cli/{session}?key={key}")
        if not stays:
            client.lose()
            self.relay.wait(1)
        return client

    def rows(self, query: str = "") -> list[dict[str, Any]]:
        answer = self.operator.ask(f"/api/claims{query}")
        self.assertEqual(answer.status, 200, answer.body)
        rows: list[dict[str, Any]] = answer.json()["claims"]
        return rows

    def export(self) -> str:
        return "".join(
            json.dumps({**{k: row[k] for k in ("proof", "tokens", "used_ms")},
                        "session": row["hash"]}) + "\n"
            for row in self.rows("?full=1")
        )  # fmt: skip

    def release(self, prefix: str, query: str = "") -> Answer:
        return self.operator.ask(f"/api/claims/{prefix}/release{query}", "POST")

    def take_in(self, body: str, query: str = "") -> Answer:
        return self.operator.ask(f"/api/claims/import{query}", "POST", body)


class ListTest(ClaimsCase):
    def test_the_list(self) -> None:
        answer = self.operator.ask("/api/claims").json()
        self.assertEqual((answer["claims"], answer["next"]), ([], None))
        client = self.claim(stays=True)
        (row,) = self.rows()
        self.assertEqual((row["session"], row["tokens"], row["in_use"]), (HASH[:8], False, True))
        self.assertEqual(set(row), {"session", "tokens", "used_ms", "expires_ms", "in_use"})
        self.assertEqual(row["expires_ms"] - row["used_ms"], 7 * 86400 * 1000)
        client.lose()
        self.relay.wait(1)
        (row,) = self.rows(f"?session={HASH[:8]}&full=1")
        self.assertEqual((row["hash"], row["in_use"]), (HASH, False))
        body = self.operator.ask("/api/claims?full=1").body
        for secret in (b"ABC234", KEY.encode()):
            self.assertNotIn(secret, body)

    def test_who_may_not(self) -> None:
        stranger = Requester(self.relay.service, REMOTE)
        for path, method in (
            ("/api/claims", "GET"),
            (f"/api/claims/{HASH}/release", "POST"),
            ("/api/claims/import", "POST"),
        ):
            self.assertEqual(stranger.ask(path, method).status, 403, path)

    def test_what_is_wrong(self) -> None:
        for query in ("?session=XYZ", "?session=12"):
            self.assertEqual(self.operator.ask(f"/api/claims{query}").status, 400)
        self.assertEqual(self.operator.ask("/api/claims/8c64/nothing", "POST").status, 404)
        self.assertEqual(self.operator.ask("/api/claims", "POST").status, 405)

    def test_a_relay_that_takes_none(self) -> None:
        operator = Requester(Relay(claims=False).service)
        answer = operator.ask("/api/claims")
        self.assertEqual(answer.status, 409)
        self.assertIn("--claims off", answer.error)


class ReleaseTest(ClaimsCase):
    def test_one_whose_secret_is_lost(self) -> None:
        self.claim()
        with capturedLogs() as events:
            answer = self.release(HASH[:6])
        self.assertEqual(answer.json(), {"session": HASH[:8], "released": True, "in_use": False})
        (line,) = [str(formatEvent(one)) for one in events if "release" in str(formatEvent(one))]
        self.assertEqual(
            line, f"session {HASH[:8]}: release claim, from 127.0.0.1 (loopback): done"
        )
        self.assertEqual(self.rows(), [])
        self.claim(key=OTHER)
        self.assertEqual(len(self.rows()), 1, "it is claimed anew")

    def test_one_that_is_in_use(self) -> None:
        client = self.claim(stays=True)
        answer = self.release(HASH)
        self.assertEqual(answer.status, 409)
        self.assertIn("1 clients with its secret", answer.error)
        self.assertEqual(len(self.rows()), 1)
        self.assertEqual(self.release(HASH, "?force=1").json()["in_use"], True)
        self.relay.wait(200, step=10)
        self.assertEqual(self.rows(), [], "those who are there renew it no more")
        self.assertIsNone(client.closed, "and are closed by nobody")

    def test_none_and_several(self) -> None:
        self.assertEqual(self.release(HASH).status, 404)
        self.assertEqual(self.release("XYZ").status, 400)
        for session in ("ABC234", "XYZ567"):
            self.claim(session)
        guard: Any = None
        parts = ClaimsParts(self.relay.service, Several(), guard)
        finding = Deferred.fromCoroutine(parts.find(HASH[:8]))
        self.assertEqual(self.failureResultOf(finding, BadRequest).value.status, 409)


class Several:
    """Claims of two sessions whose hashes begin alike, on two pages."""

    kept_in, ttl_s = "redis", 1.0

    async def page(self, cursor: str | None, prefix: str) -> ClaimPage:
        claim = Claim("p" * 43)
        if cursor is None:
            return ClaimPage([KeptClaim(HASH, claim, 0.0)], "1")
        return ClaimPage([KeptClaim(HASH[:-1] + "x", claim, 0.0)], "2")

    release: Any = None
    take_in: Any = None


class ImportTest(ClaimsCase):
    def test_to_another_relay_and_back(self) -> None:
        self.claim()
        self.claim("XYZ567")
        exported = self.export()
        self.setUp()
        with capturedLogs() as events:
            answer = self.take_in(exported).json()
        self.assertEqual((answer["added"], answer["conflicting"]), (2, 0))
        self.assertIn(
            "import claims, from 127.0.0.1 (loopback): done, 2 added",
            " ".join(str(formatEvent(e)) for e in events),
        )
        self.assertEqual(self.take_in(exported).json()["known"], 2)
        self.claim()
        self.release(HASH)
        self.claim(key=OTHER)
        answer = self.take_in(exported).json()
        self.assertEqual((answer["known"], answer["conflicting"]), (1, 1))
        self.assertEqual(answer["conflicts"], [HASH[:8]])
        self.assertEqual(self.take_in(exported, "?replace=1").json()["replaced"], 1)
        self.claim()

    def test_a_line_that_is_none_and_nothing_is_taken(self) -> None:
        self.claim()
        good = self.export()
        self.setUp()
        for bad in ("x", "{}", "[]", good.replace('"used_ms": ', '"used_ms": -'), "7"):
            answer = self.take_in(good + bad)
            self.assertEqual(answer.status, 400, bad)
            self.assertEqual(answer.error, "Line 2 is no exported claim")
        self.assertEqual(self.rows(), [])

    def test_too_much_at_once(self) -> None:
        self.assertEqual(self.take_in("x" * (1 << 20) + "x").status, 413)

    @given(st.binary())
    def test_anything(self, body: bytes) -> None:
        try:
            for one in read_export(body, 1e9):
                self.assertGreaterEqual(one.idle_s, 0)
        except BadRequest as wrong:
            self.assertEqual(wrong.status, 400)
