"""`apptuner_relay.edge.websocket`, with the relay behind it, on transports in memory."""

from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.flow.source import PAUSE_S
from apptuner_relay.wire.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.edge.memory_case import MemoryCase
from tests.memory import Client, Relay, masked

CLOSE_1000 = masked(CLOSE, b"\x03\xe8")


class Routing(MemoryCase):
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
        self.relay.clock.advance(PAUSE_S)
        self.assertIn(b"x" * 600, phone.transport.value())
        cli.send_raw(wire[700:])
        phone.read()
        self.assertEqual(phone.messages, [text])

    def test_little_goes_out_whole(self) -> None:
        cli, (phone,) = self.session()
        text = b'{"type":"x","pad":"' + b"x" * 60_000 + b'"}'
        wire = masked(TEXT, text[:50_000], False) + masked(CONTINUATION, text[50_000:])
        cli.send_raw(wire[:51_000])
        self.relay.clock.advance(PAUSE_S)
        self.assertEqual(phone.transport.value(), b"")
        cli.send_raw(wire[51_000:])
        phone.read()
        self.assertEqual((phone.messages, phone.frames[-1][:2]), ([text], (TEXT, True)))

    def test_messages_between_those_of_a_bundle_that_never_ends(self) -> None:
        cli, (phone,) = self.session()
        dashboard = self.connect("/dashboard/ABC234")
        phone.received()
        cli.send(type="bundle_start")
        cli.send(type="bundle_chunk", data="1")
        for client in (cli, dashboard):
            client.send(type="long", pad="x" * 100_000)
            client.send(type="short")
        cli.send(type="bundle_chunk", data="2")
        cli.send(type="short")
        expected = ["bundle_start", "bundle_chunk", *["long", "short"] * 2, "bundle_chunk", "short"]
        self.assertEqual(phone.types(), expected)

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


class AfterAReview(MemoryCase):
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


class Closing(MemoryCase):
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
        self.relay.clock.advance(PAUSE_S)
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


class States(MemoryCase):
    """What a connection does in each state; the table is tested by `test_closing_states`."""

    def client_in(self, state: ClosingState) -> Client:
        """A CLI whose connection is in this state; its phone stays."""
        client = self.connect("/cli/ABC234")
        if state is ClosingState.DISMISSED:
            client.protocol.dismiss(1012, "restart")
        elif state is ClosingState.CLOSING:
            client.protocol.close(1000, "the first")
        elif state is ClosingState.GONE:
            client.lose()
        self.assertIs(client.protocol.closing.state, state)
        return client

    def closes(self, client: Client) -> list[bytes]:
        """The payloads of all Close frames that the client has received."""
        client.read()
        return [payload for opcode, _, payload in client.frames if opcode == CLOSE]

    def test_there_is_one_close_whatever_follows(self) -> None:
        for state, expected in [
            (ClosingState.OPEN, [b"\x03\xf0late"]),
            (ClosingState.DISMISSED, [b"\x03\xf4restart"]),
            (ClosingState.CLOSING, [b"\x03\xe8the first"]),
            (ClosingState.GONE, []),
        ]:
            client = self.client_in(state)
            for _ in range(2):
                client.protocol.close(1008, "late")
                client.protocol.dismiss(1012, "later")
            self.assertEqual(self.closes(client), expected, state)

    def test_messages_count_until_the_peer_could_know_of_the_close(self) -> None:
        for state, counts in [
            (ClosingState.OPEN, True),
            (ClosingState.DISMISSED, True),
            (ClosingState.CLOSING, False),
        ]:
            phone = self.connect("/mobile/ABC234")
            client = self.client_in(state)
            phone.received()
            client.send(type="reload")
            self.assertEqual("reload" in phone.types(), counts, state)
            client.lose()
            phone.lose()

    def test_a_pong_is_sent_before_the_close_only(self) -> None:
        for state, count in [
            (ClosingState.OPEN, 1),
            (ClosingState.DISMISSED, 0),
            (ClosingState.CLOSING, 0),
        ]:
            client = self.client_in(state)
            client.send_raw(masked(PING, b"there?"))
            client.read()
            self.assertEqual(len(client.pongs), count, state)

    def test_the_answer_to_a_close_ends_the_connection(self) -> None:
        for state in (ClosingState.OPEN, ClosingState.DISMISSED, ClosingState.CLOSING):
            client = self.client_in(state)
            client.send_raw(CLOSE_1000)
            self.assertIs(client.protocol.closing.state, ClosingState.GONE)
            self.assertEqual(len(self.closes(client)), 1, state)
            self.assertTrue(client.transport.disconnecting)

    def test_a_close_while_the_session_is_left_changes_nothing(self) -> None:
        client = self.connect("/cli/ABC234")
        leaving = client.protocol.leaving

        def leave(handler: object, why: str) -> None:
            client.protocol.close(1011, "and once more")
            leaving(handler, why)

        client.protocol.leaving = leave
        client.protocol.close(1008, "enough")
        self.assertEqual(self.closes(client), [b"\x03\xf0enough"])

    def test_what_is_offered_after_the_end_is_lost(self) -> None:
        client = self.client_in(ClosingState.GONE)
        self.assertEqual(client.protocol.offer([b"four", b"more"]), 8)
        self.assertEqual((client.transport.value(), client.protocol.unsent()), (b"", 0))

    def test_nobody_is_waited_for_after_the_end(self) -> None:
        for state in ClosingState:
            if state is not ClosingState.CONNECTING:
                client = self.client_in(state)
                client.lose()
                self.relay.wait(20)
                self.assertFalse(client.transport.disconnected, state)


class Time(MemoryCase):
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
        self.alive(10, cli)
        phone.read()
        self.assertEqual(phone.pings, 1, "which measures the round trip")
        self.alive(20, cli)
        phone.read()
        self.assertEqual(phone.pings, 2)
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
