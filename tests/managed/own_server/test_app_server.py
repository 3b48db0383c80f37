"""`managed.own_server.app_server`: connections to ``/app/KEY``, on transports in memory."""

import json
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.own_server.app_server import (
    MOST_MESSAGE_BYTES,
    MOST_WAITING_BYTES,
    PONG_S,
    AppFactory,
    AppServer,
)
from apptuner_relay.managed.own_server.app_session import ACTIVITY_TIMEOUT_S
from apptuner_relay.managed.own_server.local_channels import LocalChannels
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.web_resources import make_resources
from apptuner_relay.support.client_address import TrustedProxies
from apptuner_relay.web.site import make_site
from apptuner_relay.wire.frames import BINARY, CLOSE, PING, TEXT
from tests.managed.own_server.app_client import TARGET, AppClient
from tests.managed.own_server.fake_gateway import FakeGateway
from tests.memory import HANDSHAKE, Relay

CHANNEL = f"presence-apptuner.{'ab' * 32}"


class AppCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.start()

    def start(self, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.gateway = FakeGateway()
        self.signer = Signer("app-key", "app-secret")
        channels = LocalChannels(self.relay.clock, "node", self.gateway.occupied)
        self.factory = AppFactory(self.relay.service, channels, self.signer, "apptuner")
        self.server = AppServer(self.factory)
        self.server.startService()
        self.relay.hooks.subscribe_closing(lambda: self.server.count)
        more = make_resources(
            self.relay.service, self.gateway, self.signer, "apptuner", self.factory
        )
        self.site = make_site(self.relay.service, more=more)

    def open(self, target: str = TARGET) -> AppClient:
        return AppClient(self.site, target)

    def connect(self) -> AppClient:
        """A client that was welcomed."""
        client = self.open()
        self.assertEqual(client.names(), ["connection_established"])
        return client

    def subscribe(self, client: AppClient, user_id: str) -> None:
        data = json.dumps({"user_id": user_id, "user_info": {}})
        auth = self.signer.sign_channel(client.socket_id, CHANNEL, data)
        client.subscribe(CHANNEL, {"auth": auth, "channel_data": data})

    def join(self, user_id: str) -> AppClient:
        """A client that is in the channel."""
        client = self.connect()
        self.subscribe(client, user_id)
        self.assertEqual(client.names(), ["subscription_succeeded"])
        return client


class Opening(AppCase):
    def test_the_welcome(self) -> None:
        client = self.open()
        self.assertEqual(client.status, 101)
        self.assertNotIn(b"permessage-deflate", client.head)
        [(_, data)] = client.take()
        self.assertRegex(data["socket_id"], r"\A\d+\.\d+\Z")
        self.assertEqual(data["activity_timeout"], ACTIVITY_TIMEOUT_S)
        self.assertTrue(self.factory.expect(client.socket_id, CHANNEL))
        self.assertEqual(self.gateway.found_occupied, [CHANNEL])
        self.assertNotEqual(client.socket_id, self.connect().socket_id)
        client.lose()
        self.assertFalse(self.factory.expect(client.socket_id, CHANNEL))

    def test_what_cannot_be(self) -> None:
        for target, code in (
            ("/app/other-key?protocol=7", 4001),
            ("/app/?protocol=7", 4001),
            ("/app/app-key/x?protocol=7", 4001),
            ("/app/app-key", 4008),
            ("/app/app-key?protocol=", 4008),
            ("/app/app-key?protocol=4", 4007),
            ("/app/app-key?protocol=8", 4007),
            ("/app/app-key?protocol=x&protocol=7", 4007),
            ("/app/app-key?" + "a=b&" * 40 + "protocol=7", 4006),
        ):
            client = self.open(target)
            [(name, data)] = client.take()
            self.assertEqual((name, data["code"]), ("pusher:error", code), target)
            assert client.closed is not None
            self.assertEqual(client.closed[0], code)

    def test_older_protocols(self) -> None:
        for protocol in (5, 6):
            client = self.open(f"/app/app-key?protocol={protocol}")
            self.assertEqual(client.names(), ["connection_established"])

    def test_no_websocket(self) -> None:
        self.assertEqual(self.open("/app").status, 404)
        transport: Any = StringTransport()
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(b"GET /app/app-key HTTP/1.1\r\nHost: relay\r\n\r\n")
        self.assertIn(b"HTTP/1.1 426", transport.value())

    def test_too_many_connections(self) -> None:
        self.start(connect_rate=1, trusted_proxy=TrustedProxies(unix=True))
        fields = HANDSHAKE.replace(
            "Upgrade: websocket", "X-Forwarded-For: 203.0.113.9\r\nUpgrade: websocket"
        )
        statuses = []
        for _ in range(2):
            transport: Any = StringTransport(peerAddress=UNIXAddress(None))
            channel: Any = self.site.buildProtocol(None)
            channel.makeConnection(transport)
            transport.protocol = channel
            channel.dataReceived(fields.format(target=TARGET, extra="").encode())
            statuses.append(int(transport.value().split()[1]))
        self.assertEqual(statuses, [101, 429])


class Messages(AppCase):
    def test_between_clients(self) -> None:
        anna, bert = self.join("anna"), self.join("bert")
        self.assertEqual(self.gateway.found_occupied, [CHANNEL] * 2)
        anna.take()
        bert.say("client-x", channel=CHANNEL, data={"a": 1})
        self.assertEqual(anna.take(), [("client-x", {"a": 1})])
        bert.lose()
        self.assertEqual(anna.names(), ["member_removed"])

    def test_garbage_ends_nothing(self) -> None:
        client = self.connect()
        client.send(TEXT, b"garbage")
        client.send(BINARY, b'{"event":"pusher:ping"}')
        client.say("pusher:ping")
        self.assertEqual(client.names(), ["error", "error", "pong"])
        self.assertIsNone(client.closed)

    def test_a_message_that_is_too_long(self) -> None:
        client = self.connect()
        client.send(TEXT, b"x" * (MOST_MESSAGE_BYTES + 1))
        client.take()
        assert client.closed is not None
        self.assertEqual(client.closed[0], 1009)

    def test_what_comes_behind_the_close(self) -> None:
        anna, bert = self.join("anna"), self.join("bert")
        anna.take()
        protocol = next(one for one in self.factory.clients if one.session is not None)
        protocol.close(4100, "enough")
        self.relay.clock.advance(0)
        for client in (anna, bert):
            client.say("client-x", channel=CHANNEL, data={})
        names = anna.names() + bert.names()
        self.assertNotIn("client-x", names)
        self.assertIn("member_removed", names)


class Ends(AppCase):
    def test_one_that_is_silent(self) -> None:
        silent, alive, pinging = self.connect(), self.connect(), self.connect()
        for _ in range(4):
            self.relay.wait((ACTIVITY_TIMEOUT_S + PONG_S) / 4)
            alive.say("pusher:ping")
            pinging.send(PING, b"")
        self.relay.wait(6)
        for client in (silent, alive, pinging):
            client.take()
        assert silent.closed is not None
        self.assertEqual(silent.closed[0], 4201)
        self.assertEqual((alive.closed, pinging.closed), (None, None))

    def test_one_that_never_answers_the_close(self) -> None:
        client = self.open("/app/other?protocol=7")
        self.relay.wait(4)
        self.assertFalse(client.transport.disconnected)
        self.relay.wait(2)
        self.assertTrue(client.transport.disconnected)

    def test_one_that_answers_the_close(self) -> None:
        client = self.open("/app/other?protocol=7")
        client.send(CLOSE, (4001).to_bytes(2, "big"))
        self.assertTrue(client.transport.disconnecting)
        self.assertFalse(client.transport.disconnected)
        client.lose()
        self.relay.wait(10)
        self.assertEqual(self.server.count, 0)

    def test_one_that_closes_and_keeps_the_connection(self) -> None:
        client, other = self.join("anna"), self.join("bert")
        client.send(CLOSE, (1000).to_bytes(2, "big"))
        self.assertTrue(client.transport.disconnecting)
        other.take()
        self.relay.wait(1)
        self.assertEqual(other.names(), ["member_removed"])
        other.say("client-x", channel=CHANNEL, data={})
        self.relay.wait(100)
        self.assertTrue(client.transport.disconnected)
        other.lose()
        client.lose()

    def test_one_that_reads_too_slowly(self) -> None:
        slow, quick = self.join("slow"), self.join("quick")
        slow.take()
        slow.transport.producer.pauseProducing()
        data = "x" * 8000
        for _ in range(MOST_WAITING_BYTES // 8000 + 1):
            self.relay.clock.advance(0.1)
            quick.say("client-x", channel=CHANNEL, data=data)
        slow.take()
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 4100)
        self.assertIsNone(quick.closed)
        self.relay.clock.advance(0)
        self.assertEqual(quick.names(), ["member_removed"])

    def test_one_that_catches_up(self) -> None:
        slow, quick = self.join("slow"), self.join("quick")
        data = "x" * 8000
        for _ in range(4):
            slow.transport.producer.pauseProducing()
            for _ in range(20):
                self.relay.clock.advance(0.1)
                quick.say("client-x", channel=CHANNEL, data=data)
            slow.transport.producer.resumeProducing()
        slow.take()
        self.assertIsNone(slow.closed)

    def test_the_relay_stops(self) -> None:
        self.start(drain_spread=1.0)
        clients = [self.connect() for _ in range(20)]
        self.server.stopService()
        stopping = self.relay.service.stopService()
        seen = []
        for _ in range(12):
            self.relay.clock.advance(0.02)
            for client in clients:
                client.take()
            seen.append(sum(client.closed is not None for client in clients))
        self.assertTrue(0 < seen[0] < seen[4] < seen[-1] == 20, seen)
        self.assertEqual({client.closed for client in clients}, {(4200, "The relay restarts")})
        self.assertEqual(self.open().status, 503)
        self.assertNoResult(stopping)
        for client in clients:
            client.lose()
        self.relay.wait(1, 0.1)
        self.successResultOf(stopping)

    def test_clients_that_do_not_go(self) -> None:
        self.start(drain_timeout=2.0)
        self.connect()
        self.server.stopService()
        stopping = self.relay.service.stopService()
        self.relay.wait(5, 0.1)
        self.successResultOf(stopping)
