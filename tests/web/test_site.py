"""`apptuner_relay.web.site.RelaySite`: what it knows of its connections."""

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from apptuner_relay.web.site import make_site
from tests.memory import HANDSHAKE, Relay


class Silent(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay().service
        self.site = make_site(self.relay)

    def connect(self) -> tuple[Any, Any]:
        channel = self.site.buildProtocol(None)
        transport: Any = StringTransport()
        # What Twisted's transports have, and this one has not.
        transport.protocol = channel
        channel.makeConnection(transport)
        return channel, transport

    def test_until_something_is_asked(self) -> None:
        _, transport = self.connect()
        self.assertEqual(self.site.count_silent(), 1)
        transport.protocol.dataReceived(b"GET /live HT")
        self.assertEqual(self.site.count_silent(), 1)
        transport.protocol.dataReceived(b"TP/1.1\r\nHost: relay\r\n\r\n")
        self.assertEqual(self.site.count_silent(), 0)
        self.assertIn(b"alive", transport.value())
        transport.clear()
        transport.protocol.dataReceived(b"GET /live HTTP/1.1\r\nHost: relay\r\n\r\n")
        self.assertIn(b"alive", transport.value())
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.site.count_silent(), 0)

    def test_who_leaves_without_a_word(self) -> None:
        channel, _ = self.connect()
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.site.count_silent(), 0)

    def test_a_websocket(self) -> None:
        channel, transport = self.connect()
        channel.dataReceived(HANDSHAKE.format(target="/cli/ABC234", extra="").encode())
        self.assertIn(b"101 ", transport.value())
        self.assertEqual(self.site.count_silent(), 0)
        self.assertEqual(len(self.relay.clients), 1)


class Added(SynchronousTestCase):
    """Resources of parts above."""

    def test_which_paths_are_theirs(self) -> None:
        site = make_site(Relay().service, more={b"/app": Resource(), b"/pusher/auth": Resource()})
        for target in (b"/app", b"/app/key?protocol=7", b"/pusher/auth", b"http://relay/app/key"):
            self.assertTrue(site.is_added(target), target)
        for target in (b"/apps", b"/pusher", b"/pusher/other", b"/", b"/cli/app"):
            self.assertFalse(site.is_added(target), target)
