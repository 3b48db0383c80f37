"""`apptuner_relay.web.json_body`: answers in JSON, errors among them."""

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.web.http import Requester


class JsonTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.requester = Requester(Relay().service)

    def test_a_method_that_is_not_there(self) -> None:
        answer = self.requester.ask("/health", "POST")
        self.assertEqual((answer.status, answer.error), (405, "Only GET or HEAD here"))
        self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def test_a_resource_that_takes_posts_only(self) -> None:
        answer = self.requester.ask("/api/logout")
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.headers["allow"], "POST")

    def test_head_has_the_length_and_no_body(self) -> None:
        got, head = self.requester.ask("/live"), self.requester.ask("/live", "HEAD")
        self.assertEqual(head.body, b"")
        self.assertEqual(head.headers["content-length"], str(len(got.body)))

    def test_errors_are_not_cached(self) -> None:
        answer = self.requester.ask("/nowhere")
        self.assertEqual(answer.status, 404)
        self.assertTrue(answer.error)
        self.assertEqual(answer.headers["cache-control"], "no-store")
