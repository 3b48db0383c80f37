"""`apptuner_relay.relay.member`: how a member stops before its session moves to another relay."""

from typing import Any

from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.memory import Client, masked
from tests.spool.cases import Spooled

NOTE = b'{"type":"note","n":1}'


class Halting(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.cli, self.phone = self.connect("cli"), self.connect("mobile")
        self.cli.received()
        (member,) = (one for one in self.relay.service.clients if one.role is Role.CLI)
        assert isinstance(member, Member)
        self.member = member

    def send(self, message: bytes) -> None:
        self.cli.send_raw(masked(TEXT, message))

    def got(self, client: Client) -> list[Any]:
        self.relay.wait(1)
        return client.received()

    def test_between_messages_it_stops_at_once(self) -> None:
        self.member.halt()
        self.assertTrue(self.member.is_halted)
        self.send(NOTE)
        self.assertEqual(self.got(self.phone), [])

    def test_a_message_that_has_begun_arrives_whole(self) -> None:
        text = b'{"type":"note","text":"%b"}' % (b"x" * 40_000)
        self.cli.send_raw(masked(TEXT, text[:9000], fin=False))
        self.member.halt()
        self.assertFalse(self.member.is_halted)
        self.cli.send_raw(masked(CONTINUATION, text[9000:]) + masked(TEXT, NOTE))
        self.assertTrue(self.member.is_halted)
        self.phone.read()
        self.assertEqual(self.phone.messages, [text])

    def test_a_bundle_that_has_begun_arrives_whole(self) -> None:
        code = "x" * 3000
        self.start_chunks(self.cli, code, 3)
        self.chunk(self.cli, code, 3, 0)
        self.member.halt()
        self.chunk(self.cli, code, 3, 1)
        self.assertFalse(self.member.is_halted)
        self.chunk(self.cli, code, 3, 2)
        self.assertTrue(self.member.is_halted)
        self.send(NOTE)
        types = [message["type"] for message in self.got(self.phone)]
        self.assertEqual(types, ["bundle_start", *["bundle_chunk"] * 3])

    def test_small_messages_of_one_block_all_arrive(self) -> None:
        code = "x" * 300
        self.start_chunks(self.cli, code, 1)
        self.member.halt()
        data = b'{"type":"bundle_chunk","index":0,"totalChunks":1,"data":"%b"}' % code.encode()
        self.cli.send_raw(masked(TEXT, data) + masked(TEXT, NOTE))
        self.assertTrue(self.member.is_halted)
        self.assertEqual(self.got(self.phone)[-1]["type"], "note")

    def test_what_comes_in_one_block_behind_a_bundle_comes_as_it_is(self) -> None:
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * 400_000)
        data = masked(TEXT, text) + masked(TEXT, NOTE)
        self.cli.send_raw(data[:200_000])
        self.member.halt()
        self.cli.send_raw(data[200_000:])
        self.phone.read()
        self.assertEqual(self.phone.messages, [text])
        self.member.source.let_go(self.member)
        self.relay.wait(1)
        self.cli.read()
        self.phone.read()
        self.assertIsNone(self.cli.closed)
        self.assertEqual(self.phone.messages, [text, NOTE])

    def test_to_ask_again_changes_nothing(self) -> None:
        self.member.halt()
        self.member.halt()
        self.assertTrue(self.member.is_halted)
        self.member.detach()
        self.assertFalse(self.member.source.held)

    def test_its_connection_goes_on_without_it(self) -> None:
        self.member.halt()
        flow = self.member.detach()
        self.assertIs(flow.source, self.member.source)
        self.assertIs(flow.reader, self.member.reader)
        self.assertFalse(flow.source.held)
