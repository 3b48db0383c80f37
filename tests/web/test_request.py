"""`apptuner_relay.web.request`: the relay's own requests have no body, or a small one."""

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from apptuner_relay.web.site import make_site
from tests.memory import Relay
from tests.web.http import Requester


class BodyTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.transport = Requester(self.relay.service).open("/live")
        self.transport.clear()

    def send(self, data: bytes) -> bytes:
        self.transport.protocol.dataReceived(data)  # type: ignore[attr-defined]
        return self.transport.value()

    def test_a_body_is_refused_and_the_connection_closes(self) -> None:
        for body in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n"):
            self.setUp()
            answer = self.send(b"POST /api/logout HTTP/1.1\r\nHost: relay\r\n" + body)
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
            self.assertIn(b"A request has no body here", answer)
            self.transport.clear()
            # What follows is no other request.
            self.assertEqual(self.send(b"GET /live HTTP/1.1\r\nHost: relay\r\n\r\n"), b"")
            self.relay.clock.advance(2)
            self.assertTrue(self.transport.disconnecting)

    def test_who_posts_a_bundle_is_told_how_to_upload_it(self) -> None:
        body = b"Content-Length: 5\r\n\r\nhello"
        answer = self.send(b"POST /bundles/ABC234 HTTP/1.1\r\nHost: relay\r\n" + body)
        self.assertIn(b"PUT /bundles/SESSION", answer)

    def test_an_empty_body_is_none(self) -> None:
        answer = self.send(b"GET /live HTTP/1.1\r\nHost: relay\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)


class Taker(Resource):
    """Answers with the body."""

    isLeaf = True
    body_limit = 8

    def render(self, request: Request) -> bytes:
        assert request.content is not None
        body: bytes = request.content.read()
        return b"taken: " + body


class SmallBodyTest(SynchronousTestCase):
    """A path that takes a body, up to a limit."""

    def setUp(self) -> None:
        self.relay = Relay().service

    def answer(self, rest: bytes, path: bytes = b"/some/taker") -> bytes:
        site = make_site(self.relay, more={b"/some/taker": Taker()})
        channel, transport = site.buildProtocol(None), StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(b"POST " + path + b" HTTP/1.1\r\nHost: relay\r\n" + rest)
        answer: bytes = transport.value()
        return answer

    def test_it_is_taken(self) -> None:
        for rest in (
            b"Content-Length: 8\r\n\r\n12345678",
            b"Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n",
        ):
            self.assertTrue(self.answer(rest).endswith(b"taken: 12345678"))
        self.assertIn(b"taken: 1", self.answer(b"Content-Length: 1\r\n\r\n1", b"/some/taker?a=b"))

    def test_one_too_long_is_refused_once(self) -> None:
        chunks = b"4\r\n1234\r\n5\r\n56789\r\n1\r\n0\r\n0\r\n\r\n"
        for rest in (
            b"Content-Length: 9\r\n\r\n123456789",
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
        ):
            answer = self.answer(rest)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1, answer)
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
            self.assertIn(b"at most 8 bytes", answer)

    def test_other_paths_take_none(self) -> None:
        for path in (b"/some", b"/some/other", b"/live"):
            answer = self.answer(b"Content-Length: 1\r\n\r\n1", path)
            self.assertIn(b"no body here", answer, path)

    def test_the_directory_is_nothing(self) -> None:
        self.assertTrue(self.answer(b"\r\n", b"/some").startswith(b"HTTP/1.1 404 "))
