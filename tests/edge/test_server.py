"""`apptuner_relay.edge.server`: how clients are admitted and refused, on transports in memory."""

import hashlib
import json

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.views import Views
from apptuner_relay.support.client_address import TrustedProxies
from apptuner_relay.wire.frames import CLOSE, TEXT
from tests.edge.memory_case import MemoryCase
from tests.memory import Client, Relay, masked


class Handshake(MemoryCase):
    def test_welcome_is_the_first_message(self) -> None:
        for role in ("cli", "dashboard", "desktop", "mobile"):
            client = self.relay.connect(f"/{role}/ABC234?x=1", welcome=False)
            welcome = client.received()[0]
            expected = hashlib.sha256(b"ABC234").hexdigest()
            self.assertEqual(welcome["sessionId"], expected)
            self.assertEqual((welcome["type"], welcome["clientType"]), ("connected", role))
            self.assertEqual(welcome["timestamp"], 1_000_000)

    def test_refusals_are_json(self) -> None:
        for i in range(5):
            self.connect(f"/mobile/ABC234?deviceId=d{i}")
        for target, status in [
            ("/mobile/ABC234", 403),
            ("/cli/bad%20id", 400),
            ("/cli/", 400),
            ("/mobile/X?deviceId=a%20b", 400),
            ("/nobody/ABC234", 404),
        ]:
            client = self.relay.connect(target, welcome=False)
            self.assertEqual(client.status, status, target)
            self.assertIn(b"Content-Type: application/json", client.head)
            self.assertTrue(json.loads(client.body)["error"])
            self.assertIsNone(client.transport.producer)
            self.assertTrue(client.transport.disconnecting)
        self.assertEqual(self.relay.service.connections, 5)

    def test_sixth_phone_may_take_its_own_place(self) -> None:
        phones = [self.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(5)]
        self.connect("/mobile/ABC234?deviceId=d3")
        phones[3].read()
        self.assertEqual(phones[3].closed, (1000, "New Mobile connected for this project"))

    def test_message_in_the_same_segment_as_the_handshake(self) -> None:
        cli = self.connect("/cli/ABC234")
        text = b'{"type":"console_log","payload":{}}'
        Client(self.relay.service, "/mobile/ABC234", then=masked(TEXT, text))
        self.assertIn("console_log", cli.types())


class Addresses(SynchronousTestCase):
    """Where a client is; `StringTransport` says that of every one's connection."""

    peer = "192.168.1.1"
    fields = "X-Forwarded-For: 198.51.100.7\r\nx-forwarded-for: 203.0.113.9, 192.168.1.2\r\n"

    def client(self, trusted: str) -> tuple[object, str]:
        """Where a phone is, as the operator is told: in its row, and in the log."""
        relay = Relay(trusted_proxy=TrustedProxies.parse(trusted))
        with capturedLogs() as events:
            Client(relay.service, "/mobile/ABC234?deviceId=d1", extra=self.fields)
        (row,) = Views(relay.service.meters).sessions()
        (line,) = [line for line in map(formatEvent, events) if "mobile connected" in line]
        (client,) = row["clients"]
        return client["address"], line.partition(" from ")[2]

    def test_the_connections_own(self) -> None:
        expected = self.peer, f"{self.peer}; d1"
        self.assertEqual(self.client("none"), expected)
        self.assertEqual(self.client("10.0.0.0/8"), expected)

    def test_what_trusted_proxies_say(self) -> None:
        expected = "203.0.113.9", "203.0.113.9; d1"
        self.assertEqual(self.client("192.168.0.0/16"), expected)

    def test_refusals_are_logged_now_and_then(self) -> None:
        relay = Relay(trusted_proxy=TrustedProxies.parse("192.168.0.0/16"))
        with capturedLogs() as events:
            for i in range(12):
                Client(relay.service, f"/cli/bad%20{i}", extra=self.fields)
                relay.clock.advance(1)
        lines = [line for line in map(formatEvent, events) if "was refused" in line]
        self.assertEqual(
            lines,
            [
                "a handshake from 203.0.113.9 was refused with 400: Bad session id: 1 to 64 of "
                f"the characters A-Z a-z 0-9 _ -{more}"
                for more in ("", " (10 such since the last such line)")
            ],
        )


class Opened(MemoryCase):
    def test_the_handshake_is_not_kept(self) -> None:
        client = self.connect("/mobile/ABC234?deviceId=d1")
        kept = [value for value in vars(client.protocol).values() if isinstance(value, str | bytes)]
        self.assertEqual([value for value in kept if b"ABC234" in repr(value).encode()], [])
        client.send(type="ping")
        self.assertIn("pong", client.types())
        client.send_raw(masked(CLOSE, b"\x03\xe8"))
        client.read()
        self.assertEqual(client.closed, (1000, ""))
