"""Blocks that take long to take in: others, and signals, have their turn between."""

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from apptuner_relay.flow.receive_buffer import TURN_S
from apptuner_relay.relay.member import Member
from apptuner_relay.wire.frames import CLOSE, CONTINUATION, PING, TEXT
from tests.edge.memory_case import MemoryCase
from tests.memory import Client, Relay, masked

TEXTS = [b'{"type":"talk","n":%d}' % n for n in range(1000)]
FLOOD = b"".join(masked(TEXT, text) for text in TEXTS)
LITTLE = b"".join(masked(TEXT, text) for text in TEXTS[:600])
CLOSE_1000 = masked(CLOSE, b"\x03\xe8")


class Turns(MemoryCase):
    def setUp(self) -> None:
        self.relay = Relay(message_rate=0)
        self.cli, (self.phone,) = self.session()
        self.phone.received()

    def make_slow(self, name: str) -> None:
        """Have each call of a method of `Member` take all of a turn."""
        method = getattr(Member, name)

        def slow(member: Member, *arguments: Any) -> None:
            method(member, *arguments)
            # `Clock.advance` would begin the next turn within this one.
            self.relay.clock.rightNow += TURN_S

        self.patch(Member, name, slow)

    def go_on(self) -> None:
        """Have all turns that are due."""
        self.relay.clock.advance(0)

    def heard(self, client: Client) -> list[bytes]:
        client.read()
        taken = list(client.messages)
        client.messages.clear()
        return taken

    def test_small_messages(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(FLOOD)
        heard = self.heard(self.phone)
        self.assertLess(len(heard), 300)
        self.assertEqual(self.cli.transport.producerState, "paused")
        self.go_on()
        self.assertEqual(heard + self.heard(self.phone), TEXTS)
        self.assertEqual(self.cli.transport.producerState, "producing")

    def test_small_bundles_take_longer_than_other_messages(self) -> None:
        bundles = [b'{"type":"bundle_update","payload":{"code":"%d"}}' % n for n in range(50)]
        self.cli.send_raw(masked(TEXT, bundles[0]))
        self.make_slow("take_texts")
        self.cli.send_raw(b"".join(masked(TEXT, text) for text in bundles[1:]))
        # Of those that come in one turn, the newest supersedes the others.
        self.assertIn(self.heard(self.phone)[-1], bundles[:10])
        self.go_on()
        self.assertEqual(self.heard(self.phone)[-1], bundles[-1])

    def test_crumbs_of_one_message(self) -> None:
        self.make_slow("take")
        whole = b'{"type":"talk","text":"' + b"x" * 2000 + b'"}'
        crumbs = [masked(TEXT, whole[:1], False)]
        crumbs += [masked(CONTINUATION, whole[at : at + 1], False) for at in range(1, len(whole))]
        self.cli.send_raw(b"".join([*crumbs, masked(CONTINUATION, b"")]))
        self.assertEqual(self.heard(self.phone), [])
        self.assertLess(self.cli.protocol.frame_handler.reader.message_bytes, 10)
        self.go_on()
        self.assertEqual(self.heard(self.phone), [whole])

    def test_what_comes_meanwhile_stands_behind(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(FLOOD)
        # A transport may have had something to deliver when it was paused.
        self.cli.send_raw(masked(PING, b"last") + CLOSE_1000)
        self.cli.read()
        self.assertEqual((self.cli.pongs, self.cli.closed), ([], None))
        self.go_on()
        self.assertEqual(self.heard(self.phone), TEXTS)
        self.cli.read()
        self.assertEqual((self.cli.pongs, self.cli.closed), ([b"last"], (1000, "")))

    def test_a_source_that_is_held_between_two_turns(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(FLOOD)
        heard = self.heard(self.phone)
        source = self.cli.protocol.frame_handler.source
        source.hold(self)
        self.go_on()
        self.assertEqual(self.heard(self.phone), [])
        self.assertEqual(self.cli.transport.producerState, "paused")
        source.let_go(self)
        self.go_on()
        self.assertEqual(heard + self.heard(self.phone), TEXTS)

    def test_what_is_skipped_behind_a_close(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(FLOOD + CLOSE_1000)
        heard = self.heard(self.phone)
        (session,) = self.relay.service.sessions.values()
        self.relay.service.registry.close_session(session, "Session timeout")
        self.go_on()
        self.phone.read()
        self.assertEqual(self.phone.messages, [], "what came behind the relay's Close")
        self.assertLess(len(heard), 300)
        self.assertTrue(self.cli.transport.disconnecting, "its answer was read")

    def test_what_came_before_a_connection_was_lost(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(LITTLE)
        self.cli.lose()
        self.assertEqual(self.heard(self.phone), TEXTS[:600])
        self.assertEqual(len(self.relay.service.clients), 1)

    def test_a_close_before_a_connection_was_lost(self) -> None:
        self.make_slow("take_texts")
        with capturedLogs() as events:
            self.cli.send_raw(LITTLE + CLOSE_1000)
            self.cli.lose()
        self.assertEqual(self.heard(self.phone), TEXTS[:600])
        self.assertIn("cli disconnected: closed by the client", formatEvent(events[-1]) or "")

    def test_a_lost_connection_is_not_taken_in_without_end(self) -> None:
        self.make_slow("_take_small")
        self.cli.send_raw(b"".join(masked(TEXT, b'{"n":%d}' % n) for n in range(50_000)))
        self.cli.lose()
        self.assertLess(len(self.heard(self.phone)), 10_000)
        self.go_on()
        self.assertEqual(self.heard(self.phone), [])

    def test_a_lost_connection_whose_source_is_held(self) -> None:
        self.make_slow("take_texts")
        self.cli.send_raw(LITTLE)
        self.cli.protocol.frame_handler.source.hold(self)
        self.cli.lose()
        self.assertLess(len(self.heard(self.phone)), 300)
