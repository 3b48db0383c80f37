"""`apptuner_relay.client.connection`: handshakes that are refused, over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client.address import Relay
from apptuner_relay.client.connection import ConnectionFactory
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.watch import Watch

from .cases import MemberCommandCase, now
from .little_relay import Recorder


class RefusedTests(MemberCommandCase):
    BODY = b'{"error":"five\\u001b phones"}'

    @inlineCallbacks
    def refused(self, answer: bytes, *, closes: bool = True) -> Any:
        relay, factory = self.listen_refusing(answer, closes=closes)
        join, said = self.begin("join", "--relay", str(relay))
        code = yield join.done
        self.assertEqual(code, Exit.NO_CONNECTION)
        self.assertEqual(factory.asked, 1)
        return said.err.getvalue()

    @inlineCallbacks
    def test_with_a_reason(self) -> Any:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(self.BODY)
        for closes in (True, False):
            said = yield self.refused(head + self.BODY, closes=closes)
            self.assertIn("HTTP 403: five\\x1b phones", said)

    @inlineCallbacks
    def test_without_a_length(self) -> Any:
        said = yield self.refused(b"HTTP/1.1 404 Not Found\r\n\r\n" + self.BODY)
        self.assertIn("HTTP 404: five\\x1b phones", said)

    @inlineCallbacks
    def test_without_a_body(self) -> Any:
        said = yield self.refused(b"HTTP/1.1 404 Not Found\r\n\r\n")
        self.assertIn("HTTP 404: Not Found", said)

    def watching(self, relay: Relay, patience: Patience) -> tuple[Membership, Recorder]:
        screen = Recorder()
        target = Target(relay, "dashboard", "ABC234")
        factory = ConnectionFactory(reactor, target, ClientPings(60))
        return Membership(reactor, factory, patience, screen), screen

    @inlineCallbacks
    def test_trouble_that_may_pass(self) -> Any:
        relay, factory = self.listen_refusing(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")
        membership, screen = self.watching(relay, now(tries=2))
        self.assertEqual((yield membership.start(Watch("log", False, screen))), Exit.NO_CONNECTION)
        self.assertEqual(factory.asked, 3)

    @inlineCallbacks
    def test_answers_that_are_none(self) -> Any:
        for answer in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX: \xff\xfe\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching",
            b"",
        ):
            relay, _factory = self.listen_refusing(answer)
            membership, screen = self.watching(relay, now(tries=0))
            ended = membership.start(Watch("log", False, screen))
            self.assertEqual((yield ended), Exit.NO_CONNECTION)
            self.assertIn("the connection was lost", screen.err.getvalue())

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        relay = self.relay.address
        yield self.relay.close()
        push, said = self.begin("push", self.file("x"), "--retries", "0", "--relay", str(relay))
        self.assertEqual((yield push.done), Exit.NO_CONNECTION)
        self.assertIn("could not connect: Connection refused", said.err.getvalue())
