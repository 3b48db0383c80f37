"""`apptuner_relay.web.status`: the status as JSON."""

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.web.http import REMOTE, Requester


class StatusTest(SynchronousTestCase):
    def test_the_meters_as_json(self) -> None:
        relay = Relay()
        relay.connect("/cli/ABC234")
        answer = Requester(relay.service).ask("/api/status")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json()["connections"]["cli"], 1)
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_it_is_guarded(self) -> None:
        self.assertEqual(Requester(Relay().service, REMOTE).ask("/api/status").status, 403)
        relay = Relay(admin_token="correct-horse")
        self.assertEqual(Requester(relay.service).ask("/api/status").status, 401)
        answer = Requester(relay.service, REMOTE).ask(
            "/api/status", Authorization="Bearer correct-horse"
        )
        self.assertEqual(answer.status, 200)
