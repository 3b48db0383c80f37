"""How long an HTTP connection is kept: between requests, and while one is on its way."""

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request

from tests.memory import Relay
from tests.web.http import Requester

REQUEST = b"GET /live HTTP/1.1\r\nHost: relay\r\n\r\n"
HANDSHAKE_S, KEEP_ALIVE_S = 10.0, 75.0


class KeepAlive(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(handshake_timeout=HANDSHAKE_S, http_keep_alive=KEEP_ALIVE_S)
        self.clock = self.relay.clock
        self.transport = Requester(self.relay.service).open("/live")

    def send(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)  # type: ignore[attr-defined]

    def answers(self) -> int:
        count = self.transport.value().count(b"HTTP/1.1 200 ")
        self.transport.clear()
        return count

    def assertLasts(self, seconds: float, transport: StringTransport | None = None) -> None:
        transport = transport or self.transport
        self.clock.advance(seconds - 0.5)
        self.assertFalse(transport.disconnecting, f"before {seconds} s")
        self.clock.advance(0.5)
        self.assertTrue(transport.disconnecting, f"after {seconds} s")

    def test_it_rests_for_as_long_as_the_option_says(self) -> None:
        self.assertEqual(self.answers(), 1)
        self.assertLasts(KEEP_ALIVE_S)
        self.assertEqual(self.transport.value(), b"")

    def test_it_is_used_again_and_again(self) -> None:
        for _ in range(5):
            self.assertEqual(self.answers(), 1)
            self.clock.advance(KEEP_ALIVE_S - 1)
            self.send(REQUEST)
        self.assertFalse(self.transport.disconnecting)
        self.assertLasts(KEEP_ALIVE_S)

    def test_a_further_request_has_no_more_time_than_the_first(self) -> None:
        self.clock.advance(60)
        self.answers()
        for byte in REQUEST[:18]:
            self.send(bytes([byte]))
            self.clock.advance(0.5)
            self.assertFalse(self.transport.disconnecting)
        self.send(REQUEST[18:-2])
        self.assertLasts(HANDSHAKE_S - 9)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 408 "))

    def test_nor_has_one_that_begins_with_the_last_byte_of_another(self) -> None:
        self.send(REQUEST + REQUEST[:5])
        self.assertEqual(self.answers(), 2)
        self.assertLasts(HANDSHAKE_S)

    def test_several_at_once(self) -> None:
        self.send(REQUEST * 3)
        self.assertEqual(self.answers(), 4)
        self.assertLasts(KEEP_ALIVE_S)

    def test_the_first_has_to_come_in_time(self) -> None:
        site = self.transport.protocol.factory  # type: ignore[attr-defined]
        for sent in (b"", REQUEST[:-2]):
            transport = StringTransport()
            channel = site.buildProtocol(None)
            channel.makeConnection(transport)
            channel.dataReceived(sent)
            self.assertLasts(HANDSHAKE_S, transport)

    def test_what_follows_a_body_has_no_more_time_either(self) -> None:
        """While a body comes, somebody else has the time: see `web.intake`."""

        class Posted(Request):
            def gotLength(self, length: int | None) -> None:
                super().gotLength(length)
                self.channel.expect_body()

            def process(self) -> None:
                self.setHeader(b"content-length", b"0")
                self.channel.callLater(1, self.finish)

        site = self.transport.protocol.factory  # type: ignore[attr-defined]
        for further, lasts_s in ((b"", KEEP_ALIVE_S), (b"GET /li", HANDSHAKE_S)):
            transport: Any = StringTransport()
            site.requestFactory = Posted
            transport.protocol = site.buildProtocol(None)
            transport.protocol.makeConnection(transport)
            transport.protocol.dataReceived(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
            )
            self.clock.advance(KEEP_ALIVE_S + 1)
            self.assertFalse(transport.disconnecting)
            transport.protocol.dataReceived(b"ab" + further)
            self.clock.advance(1)
            self.assertLasts(lasts_s, transport)
