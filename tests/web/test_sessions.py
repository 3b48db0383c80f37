"""`apptuner_relay.web.sessions`: an operator lists sessions and closes them."""

import hashlib
from itertools import combinations

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.web.http import Answer, Requester


def label(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()[:8]


class Sessions(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.operator = Requester(self.relay.service)

    def close(self, prefix: str) -> Answer:
        return self.operator.ask(f"/api/sessions/{prefix}/close", "POST")

    def test_the_list(self) -> None:
        self.assertEqual(self.operator.ask("/api/sessions").json(), {"sessions": []})
        self.relay.connect("/cli/ABC234")
        self.relay.connect("/mobile/ABC234?deviceId=d1&name=Pixel&platform=android")
        answer = self.operator.ask("/api/sessions")
        (session,) = answer.json()["sessions"]
        self.assertEqual(session["session"], label("ABC234"))
        self.assertEqual(sorted(session["roles"]), ["cli", "mobile"])
        self.assertEqual(session["devices"][0]["name"], "Pixel")
        self.assertNotIn(b"ABC234", answer.body)

    def test_a_part_of_the_list(self) -> None:
        for session, notices in (("ABC234", 1), ("XYZ789", 3), ("QWE456", 2)):
            self.relay.connect(f"/cli/{session}")
            for _ in range(notices):
                self.relay.connect(f"/mobile/{session}")

        def listed(query: str) -> list[str]:
            rows = self.operator.ask(f"/api/sessions{query}").json()["sessions"]
            return [row["session"] for row in rows]

        # They began at the same time, so they stand in the order of their hashes.
        everyone = sorted(label(session) for session in ("XYZ789", "QWE456", "ABC234"))
        busiest = sorted(label(session) for session in ("XYZ789", "QWE456"))
        self.assertEqual(listed(""), everyone)
        self.assertEqual(listed("?most=2"), busiest)
        self.assertEqual(listed("?most=100"), everyone)
        for wrong in ("0", "-1", "x", "1.5", "9" * 10, "%FF"):
            self.assertEqual(self.operator.ask(f"/api/sessions?most={wrong}").status, 400, wrong)

    def test_one_that_is_looked_for(self) -> None:
        for session in ("ABC234", "XYZ789"):
            self.relay.connect(f"/cli/{session}")
        whole = hashlib.sha256(b"XYZ789").hexdigest()
        for digits in (8, 12, 64):
            answer = self.operator.ask(f"/api/sessions?session={whole[:digits]}").json()
            self.assertEqual([row["session"] for row in answer["sessions"]], [label("XYZ789")])
        (row,) = self.operator.ask("/api/sessions?most=1").json()["sessions"]
        self.assertEqual(row["bundles"], [])
        (brief,) = self.operator.ask("/api/sessions?most=1&bundles=0").json()["sessions"]
        self.assertEqual(set(row) - set(brief), {"bundles"})
        answer = self.operator.ask(f"/api/sessions?session={'0' * 64}")
        self.assertEqual((answer.status, answer.json()), (200, {"sessions": []}))
        for wrong in ("XYZ789", whole[:7], whole + "0", whole.upper(), "%FF" * 8):
            answer = self.operator.ask(f"/api/sessions?session={wrong}")
            self.assertEqual(answer.status, 400, wrong)

    def test_closing_one(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        phone = self.relay.connect("/mobile/ABC234")
        other = self.relay.connect("/cli/XYZ789")
        answer = self.close(label("ABC234"))
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json(), {"session": label("ABC234"), "closed": 2})
        for client in (cli, phone):
            client.read()
            self.assertEqual(client.closed, (1000, "Closed by the operator"))
        other.read()
        self.assertIsNone(other.closed)
        self.assertEqual(self.close(label("ABC234")).status, 404)

    def test_closing_by_the_whole_hash(self) -> None:
        self.relay.connect("/cli/ABC234")
        whole = hashlib.sha256(b"ABC234").hexdigest()
        self.assertEqual(self.close(whole).json()["closed"], 1)

    def test_what_names_no_session(self) -> None:
        self.relay.connect("/cli/ABC234")
        self.assertEqual(self.close("00000000").status, 404)
        for prefix in ("abc", "ABC234", "zzzzzzzz", "a" * 65, "%C3%BCber", "0000%0a"):
            answer = self.close(prefix)
            self.assertEqual(answer.status, 400, prefix)
            self.assertNotIn(prefix, answer.error)

    def test_what_names_several(self) -> None:
        ids = [f"S{i}" for i in range(2000)]
        one, two = next(p for p in combinations(ids, 2) if label(p[0])[:4] == label(p[1])[:4])
        clients = [self.relay.connect(f"/cli/{session}") for session in (one, two)]
        answer = self.close(label(one)[:4])
        self.assertEqual(answer.status, 409)
        self.assertIn("2 sessions", answer.error)
        for client in clients:
            client.read()
            self.assertIsNone(client.closed)

    def test_looking_closes_nothing(self) -> None:
        self.relay.connect("/cli/ABC234")
        for path in (f"/api/sessions/{label('ABC234')}", "/api/sessions/"):
            self.assertEqual(self.operator.ask(path).status, 404)
        answer = self.operator.ask(f"/api/sessions/{label('ABC234')}/close")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST"))
        self.assertEqual(self.relay.service.connections, 1)
