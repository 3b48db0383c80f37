"""`apptuner_relay.protocol`, `member` and `service` together, on transports in memory."""

import hashlib
import json

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.forwarded import TrustedProxies
from apptuner_relay.wire.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.memory import Client, Relay, masked

CLOSE_1000 = masked(CLOSE, b"\x03\xe8")


class InMemory(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()

    def connect(self, target: str) -> Client:
        return self.relay.connect(target)

    def session(self, phones: int = 1) -> tuple[Client, list[Client]]:
        """A CLI and phones, all of the notices read."""
        cli = self.connect("/cli/ABC234")
        mobiles = [self.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(phones)]
        cli.received()
        return cli, mobiles


class Handshake(InMemory):
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
        """What the operator is told of a phone."""
        relay = Relay(trusted_proxy=TrustedProxies.parse(trusted))
        with capturedLogs() as events:
            Client(relay.service, "/mobile/ABC234", extra=self.fields)
        (row,) = relay.service.meters.sessions()
        (line,) = [line for line in map(formatEvent, events) if "mobile connected" in line]
        return row["clients"], line.partition(" from ")[2]

    def test_the_connections_own(self) -> None:
        expected = [{"role": "mobile", "address": self.peer}], self.peer
        self.assertEqual(self.client("none"), expected)
        self.assertEqual(self.client("10.0.0.0/8"), expected)

    def test_what_trusted_proxies_say(self) -> None:
        expected = [{"role": "mobile", "address": "203.0.113.9"}], "203.0.113.9"
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
                f"a handshake from 203.0.113.9 was refused with 400 ({count} refused since the "
                "last such line)"
                for count in (1, 10)
            ],
        )


class Routing(InMemory):
    def test_desktop_side_to_phones_and_back(self) -> None:
        cli, (one, two) = self.session(phones=2)
        dashboard = self.connect("/dashboard/ABC234")
        dashboard.received()
        text = cli.send(type="bundle_update", payload={"code": "é" * 100})
        for phone in (one, two):
            phone.read()
            self.assertEqual(phone.messages, [text])
        self.assertEqual(dashboard.received(), [])
        one.send(type="console_log", payload={"level": "info", "args": [1]})
        for client in (cli, dashboard):
            self.assertEqual(client.types(), ["console_log"])
        self.assertEqual(cli.received(), [])

    def test_sessions_are_apart(self) -> None:
        cli, _ = self.session()
        other = self.connect("/mobile/abc234")
        cli.send(type="reload")
        self.assertEqual(other.received(), [])

    def test_first_pieces_leave_before_the_last_has_come(self) -> None:
        cli, (phone,) = self.session()
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 5000 + b'"}}'
        wire = masked(TEXT, text)
        cli.send_raw(wire[:700])
        self.assertIn(b"x" * 600, phone.transport.value())
        cli.send_raw(wire[700:])
        phone.read()
        self.assertEqual(phone.messages, [text])

    def test_byte_by_byte(self) -> None:
        cli, (phone,) = self.session()
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 600 + b'"}}'
        wire = masked(TEXT, text[:3], False) + masked(PING, b"hi") + masked(CONTINUATION, text[3:])
        for i in range(len(wire)):
            cli.send_raw(wire[i : i + 1])
        phone.read()
        self.assertEqual(phone.messages, [text])
        cli.read()
        self.assertEqual(cli.pongs, [b"hi"])

    def test_target(self) -> None:
        cli, (one, two) = self.session(phones=2)
        cli.send(type="reload", targetDeviceId="d1")
        self.assertEqual((one.types(), two.types()), ([], ["reload"]))
        cli.send(type="reload", targetDeviceId="d9")
        (error,) = cli.received()
        self.assertEqual((error["type"], "d9" in error["error"]), ("error", True))
        self.assertEqual((one.types(), two.types()), ([], []))

    def test_phones_cannot_target(self) -> None:
        cli, (phone,) = self.session()
        phone.send(type="x", targetDeviceId="d0")
        self.assertEqual((cli.types(), phone.types()), (["x"], []))

    def test_ping_is_answered_and_not_forwarded(self) -> None:
        cli, (phone,) = self.session()
        for asking, other in ((cli, phone), (phone, cli)):
            asking.send(type="ping", timestamp=1)
            asking.send(timestamp=1, type="ping")
            self.assertEqual(asking.types(), ["pong", "pong"])
            self.assertEqual(other.received(), [])

    def test_no_phone(self) -> None:
        cli = self.connect("/cli/ABC234")
        for kind in ("bundle_update", "bundle_start", "bundle_chunk"):
            cli.send(type=kind, data="x" * 600)
        self.assertEqual(cli.received(), [])
        cli.send(type="reload")
        cli.send(type="reload")
        (error,) = cli.received()
        self.assertEqual(error["error"], "Mobile device not connected")
        self.relay.clock.advance(1)
        cli.send(type="reload")
        self.assertEqual(cli.types(), ["error"])

    def test_nobody_listens_to_a_phone(self) -> None:
        phone = self.connect("/mobile/ABC234")
        phone.send(type="console_log")
        self.assertEqual(phone.received(), [])

    def test_binary_is_forwarded(self) -> None:
        cli, (phone,) = self.session()
        cli.send_raw(masked(BINARY, b"\x00\xff\xfe"))
        phone.read()
        self.assertEqual(phone.messages, [b"\x00\xff\xfe"])

    def test_no_json_is_told_to_the_sender_alone(self) -> None:
        cli, (phone,) = self.session()
        cli.send_raw(masked(TEXT, b"{nope"))
        cli.send_raw(masked(TEXT, b"<html>" * 1000))
        self.assertEqual(cli.types(), ["error", "error"])
        self.assertEqual(phone.received(), [])
        for text in (
            b'\xef\xbb\xbf{"type":"x"}',
            b'{"n":NaN,"type":"x"}',
            b'{"n":-Infinity,"pad":"%b"}' % (b"." * 600),
            '{"type":"x"}'.encode("utf-16-le"),
            ('{"type":"x","pad":"%s"}' % ("." * 600)).encode("utf-16-le"),
        ):
            cli.send_raw(masked(TEXT, text))
            self.assertEqual(cli.types(), ["error"], text)
            self.assertEqual(phone.received(), [])
        cli.send(untyped=True)
        self.assertEqual(phone.received(), [{"untyped": True}])
        self.assertIsNone(cli.closed)


class AfterAReview(InMemory):
    """Cases that went wrong once."""

    def test_pings_before_anybody_else_is_there(self) -> None:
        phone = self.connect("/mobile/ABC234")
        ping = masked(TEXT, b'{"type":"ping","timestamp":1}')
        phone.send_raw(ping * 3)
        self.assertEqual(phone.types(), ["pong"] * 3)
        cli = self.connect("/cli/ABC234")
        cli.received()
        phone.send_raw(ping * 3)
        self.assertEqual(phone.types(), ["pong"] * 3)
        self.assertEqual(cli.received(), [])

    def test_type_that_is_half_a_character(self) -> None:
        cli, (phone,) = self.session()
        for _ in range(3):
            cli.send_raw(masked(TEXT, b'{"type":"\\ud800"}'))
        phone.read()
        self.assertEqual(len(phone.messages), 3)

    def test_many_texts_that_are_not_ascii(self) -> None:
        self.relay = Relay(message_rate=0)
        cli, (phone,) = self.session()
        text = '{"type":"console_log","payload":"журнал"}'.encode()
        phone.send_raw(masked(TEXT, text) * 3000 + masked(TEXT, b'{"type":"\xff"}'))
        cli.read()
        self.assertEqual(cli.messages[:3000], [text] * 3000)
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1007)

    def test_binary_for_nobody(self) -> None:
        cli = self.connect("/cli/ABC234")
        cli.send_raw(masked(BINARY, b"x"))
        self.assertEqual(cli.types(), ["error"])

    def test_long_upload_is_activity(self) -> None:
        self.relay = Relay(session_timeout=60, stall_timeout=3600, ping_interval=3600)
        cli, (phone,) = self.session()
        wire = masked(TEXT, b'{"type":"bundle_update","payload":"' + b"x" * 100_000 + b'"}')
        for at in range(0, len(wire), 1000):
            cli.send_raw(wire[at : at + 1000])
            self.relay.wait(5)
        self.assertEqual(phone.types(), ["bundle_update"])

    def test_rest_of_a_block_waits_while_its_sender_is_held(self) -> None:
        self.relay = Relay(message_rate=0)
        cli, (phone,) = self.session()
        phone.transport.producer.pauseProducing()
        wire = masked(TEXT, b'{"type":"x"}') * 50_000 + masked(TEXT, b'{"type":"last"}')
        cli.send_raw(wire)
        cli.send_raw(masked(CLOSE, b"\x03\xe8"))
        (session,) = self.relay.service.sessions.values()
        self.assertLess(session.mobiles[0].sink.waiting, 1_000_000)
        self.assertIsNone(cli.closed)
        for _ in range(10_000):
            phone.transport.producer.resumeProducing()
            self.relay.clock.advance(0)
            cli.read()
            if cli.closed:
                break
        types = phone.types()
        self.assertEqual((len(types), types[-1]), (50_001, "last"))
        self.assertEqual(cli.closed, (1000, ""))


class Closing(InMemory):
    def test_takeover_while_the_first_is_still_closing(self) -> None:
        first, (phone,) = self.session()
        dashboard = self.connect("/dashboard/ABC234")
        second = self.connect("/cli/ABC234")
        dashboard.received()
        phone.received()
        first.read()
        self.assertEqual(first.closed, (1000, "New CLI connected for this project"))
        first.send(type="reload")
        self.assertEqual(phone.received(), [])
        first.send_raw(CLOSE_1000)
        first.lose()
        self.assertEqual(dashboard.received(), [])
        second.send(type="reload")
        self.assertEqual(phone.types(), ["reload"])

    def test_client_that_ignores_the_close_is_dropped(self) -> None:
        first, _ = self.session()
        self.connect("/cli/ABC234")
        self.relay.wait(4)
        self.assertFalse(first.transport.disconnected)
        self.relay.wait(2)
        self.assertTrue(first.transport.disconnected)

    def test_close_is_echoed(self) -> None:
        cli, _ = self.session()
        dashboard = self.connect("/dashboard/ABC234")
        dashboard.received()
        cli.send_raw(masked(CLOSE, b"\x03\xe9bye"))
        cli.read()
        self.assertEqual(cli.closed, (1001, "bye"))
        self.assertEqual(dashboard.types(), ["cli_disconnected"])
        cli.lose()
        self.assertEqual(dashboard.types(), [])

    def test_codes_that_came_after_the_rfc_are_echoed(self) -> None:
        for code in (1012, 1013, 1014):
            cli = self.connect("/cli/ABC234")
            cli.send_raw(masked(CLOSE, code.to_bytes(2, "big")))
            cli.read()
            self.assertEqual(cli.closed, (code, ""))
            self.assertTrue(cli.transport.disconnecting)

    def test_any_answer_to_a_close_will_do(self) -> None:
        for payload in (b"", b"\x03", b"\x03\xed", b"\x03\xe8\xff", b"\x03\xf6"):
            cli = self.connect("/cli/ABC234")
            cli.protocol.close(1008, "enough")
            cli.send_raw(masked(CLOSE, payload))
            # Not aborted: what is still to be sent to it goes before the end.
            self.assertTrue(cli.transport.disconnecting, payload)
            self.assertFalse(cli.transport.disconnected, payload)

    def test_bad_closes(self) -> None:
        for payload, code in ((b"\x03", 1002), (b"\x03\xed", 1002), (b"\x03\xe8\xff", 1007)):
            cli = self.connect("/cli/ABC234")
            cli.send_raw(masked(CLOSE, payload))
            cli.read()
            self.assertEqual((cli.closed or (0, ""))[0], code, payload)

    def test_violations_close_the_sender_alone(self) -> None:
        for wire, code in [
            (masked(TEXT, b'{"type":"\xff"}'), 1007),
            (masked(3, b""), 1002),
            (b"\x81\xff" + (50 * 1024 * 1024 + 1).to_bytes(8, "big") + b"mask", 1009),
        ]:
            cli, (phone,) = self.session()
            cli.send_raw(wire)
            cli.read()
            phone.read()
            self.assertEqual((cli.closed or (0, ""))[0], code)
            self.assertIsNone(phone.closed)
            phone.lose()

    def test_whole_messages_before_a_violation_arrive(self) -> None:
        cli, (phone,) = self.session()
        cli.send_raw(masked(TEXT, b'{"type":"last"}') + masked(3, b""))
        self.assertEqual(phone.types(), ["last"])

    def test_cli_dies_in_mid_bundle(self) -> None:
        cli, (phone,) = self.session()
        dashboard = self.connect("/dashboard/ABC234")
        dashboard.received()
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":"' + b"x" * 2000)[:-100])
        cli.lose()
        phone.read()
        code, reason = phone.closed or (0, "")
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)
        self.assertIn("cli_disconnected", dashboard.types())
        self.assertIsNone(dashboard.closed)
        phone.send_raw(masked(CLOSE, b"\x03\xf3"))
        phone.lose()
        cli, (phone,) = self.session()
        cli.send(type="bundle_update")
        self.assertEqual(phone.types(), ["bundle_update"])

    def test_sessions_do_not_outlive_their_clients(self) -> None:
        cli, (phone,) = self.session()
        self.assertEqual(len(self.relay.service.sessions), 1)
        cli.lose()
        phone.lose()
        self.assertEqual(self.relay.service.sessions, {})
        self.assertEqual(self.relay.service.connections, 0)


class Time(InMemory):
    def alive(self, seconds: float, *clients: Client, saying: bool = False) -> None:
        """Let time pass in which clients answer pings, or say something too."""
        for _ in range(int(seconds / 10)):
            self.relay.wait(10)
            for client in clients:
                client.read()
                client.send_raw(masked(0xA, b""))
                if saying:
                    client.send(type="ping")

    def test_session_without_a_message_for_30_minutes(self) -> None:
        cli, (phone,) = self.session()
        self.alive(29 * 60, cli, phone)
        phone.send(type="ping")
        self.alive(29 * 60, cli, phone)
        self.assertIsNone(cli.closed)
        self.alive(2 * 60, cli, phone)
        for client in (cli, phone):
            client.read()
            self.assertEqual(client.closed, (1000, "Session timeout"))

    def test_active_session_stays(self) -> None:
        cli, (phone,) = self.session()
        self.alive(3600, cli, phone, saying=True)
        self.assertIsNone(cli.closed)
        self.assertIsNone(phone.closed)

    def test_silent_client_is_pinged_and_then_dropped(self) -> None:
        cli, (phone,) = self.session()
        self.alive(30, cli)
        phone.read()
        self.assertEqual(phone.pings, 1)
        self.assertFalse(phone.transport.disconnected)
        self.alive(30, cli)
        phone.read()
        self.assertEqual(phone.closed, (1008, "no answer to a ping"))
        self.assertTrue(phone.transport.disconnected)
        self.assertFalse(cli.transport.disconnected)

    def test_client_that_stops_in_mid_message(self) -> None:
        self.relay = Relay(ping_interval=3600)
        cli, (phone,) = self.session()
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":"' + b"x" * 2000)[:-100])
        self.relay.wait(20)
        cli.send_raw(b"x")
        self.relay.wait(29)
        cli.read()
        self.assertIsNone(cli.closed)
        self.relay.wait(3)
        for client, code in ((cli, 1008), (phone, 1011)):
            client.read()
            self.assertEqual((client.closed or (0, ""))[0], code)

    def test_held_client_is_not_taken_for_dead(self) -> None:
        cli, (phone,) = self.session()
        phone.transport.producer.pauseProducing()
        cli.send(type="bundle_update", code="x" * 300_000)
        self.assertEqual(cli.transport.producerState, "paused")
        self.relay.wait(25)
        self.assertFalse(cli.transport.disconnected)
        phone.transport.producer.resumeProducing()
        self.assertEqual(cli.transport.producerState, "producing")
        self.assertEqual(phone.types(), ["bundle_update"])
