"""`apptuner_relay.spool.fanout`: the bundles of one sender, in one message or in several.

A bundle in several messages is one bundle: its rest reaches the phone, a newer bundle takes its
place, or the phone is closed with 1011; and nobody gets a chunk of a series that it hasn't seen
begin.
"""

import json

from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Role
from apptuner_relay.spool.fanout import STRAY
from apptuner_relay.wire.frames import TEXT
from tests.memory import Client, Relay, deflated, masked
from tests.spool.cases import Spooled, some_code
from tests.spool.series import SeriesCase


class Live(SeriesCase):
    """With the spool, from a CLI that is there."""

    def test_who_joins_in_its_middle_gets_none_of_it(self) -> None:
        cli, early = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        late = self.connect("mobile")
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(early), ["A", "A0", "A1", "A2"])
        self.assertEqual(self.story(late), [])
        self.begin(cli, "B", upto=3)
        for phone in (early, late):
            self.assertEqual(self.story(phone), ["B", "B0", "B1", "B2"])

    def test_who_comes_back_in_its_middle_gets_no_mixture(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile", "deviceId=d")
        self.begin(cli, "A")
        phone.lose()
        again = self.connect("mobile", "deviceId=d")
        self.send_chunk(cli, "A", 2)
        self.begin(cli, "B")
        self.send_chunk(cli, "B", 2)
        self.assertEqual(self.story(again), ["B", "B0", "B1", "B2"])

    def test_chunks_of_a_sender_that_never_began_reach_nobody_and_it_is_told(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        cli.received()
        self.send_chunk(cli, "A", 1)
        self.assertEqual(self.story(phone), [])
        [told] = cli.received()
        self.assertEqual((told["type"], told["error"]), ("error", STRAY))

    def test_sender_lost_between_two_chunks(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        other = self.connect("dashboard")
        self.begin(cli, "A")
        late = self.connect("mobile")
        cli.lose()
        self.assertCut(phone)
        self.assertStays(late, other)
        cli = self.connect("cli")
        self.begin(cli, "B", upto=3)
        self.assertEqual(self.story(late), ["B", "B0", "B1", "B2"])

    def test_sender_lost_behind_the_last_chunk(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A", upto=3)
        cli.lose()
        self.assertStays(phone)

    def test_sender_lost_in_the_middle_of_the_last_chunk(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        last = b'{"type":"bundle_chunk","index":2,"totalChunks":3,"data":"' + b"x" * 600
        cli.send_raw(masked(TEXT, last, fin=False))
        cli.lose()
        self.assertCut(phone, "cut short")

    def test_sender_whose_place_is_taken(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        second = self.connect("cli")
        self.assertCut(phone)
        self.assertNotIn("mobile_connected", second.types())

    def test_sender_that_begins_anew(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        self.begin(cli, "B", upto=3)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "B", "B0", "B1", "B2"])
        self.begin(cli, "C")
        cli.send(type="bundle_update", payload={"code": "whole"})
        self.send_chunk(cli, "C", 2)
        self.assertEqual(self.story(phone), ["C", "C0", "C1", "whole"])
        cli.lose()
        self.assertStays(phone)

    def test_sender_that_stops_for_too_long(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        for _ in range(29):
            self.relay.wait(1)
            cli.send(type="ping")
        self.assertStays(phone)
        self.relay.wait(3)
        self.assertCut(phone, "nothing came of it for 30 s")
        # What comes of it later is no part of anything.
        again = self.connect("mobile")
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(again), [])
        self.begin(cli, "B", upto=3)
        self.assertEqual(self.story(again), ["B", "B0", "B1", "B2"])

    def test_sender_that_is_slow_but_goes_on(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A", count=4, upto=1)
        for index in range(1, 4):
            self.relay.wait(25)
            self.send_chunk(cli, "A", index, 4)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "A2", "A3"])
        self.relay.wait(40)
        self.assertStays(phone)

    def test_chunks_out_of_order_and_twice(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A", upto=0)
        for index in (2, 0, 0, 2):
            self.send_chunk(cli, "A", index)
        self.assertEqual(self.story(phone), ["A", "A2", "A0", "A0", "A2"])
        self.send_chunk(cli, "A", 1)
        self.assertEqual(self.story(phone), ["A1"])
        cli.lose()
        self.assertStays(phone)

    def test_a_gap_that_is_never_filled(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A", upto=1)
        self.send_chunk(cli, "A", 2)
        cli.lose()
        self.assertCut(phone)

    def test_of_unknown_length_nobody_can_say_that_it_was_cut(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        cli.send(type="bundle_start", of="A")
        cli.send(type="bundle_chunk", index=0, data="A0")
        self.assertEqual(self.story(phone), ["A", "A0"])
        self.relay.wait(60)
        cli.lose()
        self.assertStays(phone)

    def test_compressed(self) -> None:
        cli = self.connect("cli", deflate=True)
        plain, android = self.connect("mobile"), self.connect("mobile", deflate=True)
        late: list[Client] = []
        for index in range(-1, 3):
            text = json.dumps(
                {"type": "bundle_start", "of": "A", "totalChunks": 3}
                if index < 0
                else {"type": "bundle_chunk", "index": index, "data": f"A{index}"}
            )
            cli.send_raw(masked(TEXT | 0x40, deflated(text.encode())))
            if index >= 0:
                late.append(self.connect("mobile", deflate=index == 0))
        for phone in (plain, android):
            self.assertEqual(self.story(phone), ["A", "A0", "A1", "A2"])
        for phone in late:
            self.assertEqual(self.story(phone), [])

    def test_two_senders_at_the_same_time(self) -> None:
        cli, page, phone = self.connect("cli"), self.connect("desktop"), self.connect("mobile")
        self.begin(cli, "A")
        self.begin(page, "B")
        self.send_chunk(cli, "A", 2)
        self.send_chunk(page, "B", 2)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "B", "B0", "B1", "B2"])

    def test_of_two_senders_the_older_one_may_be_lost(self) -> None:
        cli, page, phone = self.connect("cli"), self.connect("desktop"), self.connect("mobile")
        self.begin(cli, "A")
        self.begin(page, "B")
        cli.lose()
        self.assertStays(phone)
        self.send_chunk(page, "B", 2)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "B", "B0", "B1", "B2"])

    def test_of_two_senders_the_newer_one_is_lost(self) -> None:
        cli, page, phone = self.connect("cli"), self.connect("desktop"), self.connect("mobile")
        self.begin(cli, "A")
        self.begin(page, "B", upto=0)
        page.lose()
        self.assertCut(phone)
        again = self.connect("mobile")
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(again), [])

    def test_to_one_device(self) -> None:
        cli = self.connect("cli")
        target, other = self.connect("mobile", "deviceId=t"), self.connect("mobile")
        to = {"targetDeviceId": "t"}
        self.begin(cli, "A")
        self.begin(cli, "T", upto=1, **to)
        self.send_chunk(cli, "A", 2)
        self.send_chunk(cli, "T", 1, **to)
        self.send_chunk(cli, "T", 2, **to)
        self.assertEqual(self.story(target), ["A", "A0", "A1", "T", "T0", "T1", "T2"])
        self.assertEqual(self.story(other), ["A", "A0", "A1", "A2"])
        self.begin(cli, "U", upto=1, **to)
        cli.lose()
        self.assertCut(target)
        self.assertStays(other)

    def test_to_one_device_that_comes_back(self) -> None:
        cli = self.connect("cli")
        target = self.connect("mobile", "deviceId=t")
        self.begin(cli, "T", targetDeviceId="t")
        target.lose()
        target = self.connect("mobile", "deviceId=t")
        self.send_chunk(cli, "T", 2, targetDeviceId="t")
        self.assertEqual(self.story(target), [])

    def test_to_one_device_with_chunks_that_say_nothing_of_it(self) -> None:
        cli = self.connect("cli")
        target, other = self.connect("mobile", "deviceId=t"), self.connect("mobile")
        cli.received()
        cli.send(type="bundle_start", targetDeviceId="t", totalChunks=2, of="T")
        self.send_chunk(cli, "T", 0, 2)
        self.assertEqual(self.story(target), ["T"])
        self.assertEqual(self.story(other), [])
        self.assertEqual([one.get("error") for one in cli.received()], [STRAY])

    def test_chunks_to_one_device_of_what_one_for_all_took_the_place_of(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile", "deviceId=t")
        cli.send(type="bundle_start", targetDeviceId="t", totalChunks=1, of="T")
        self.begin(cli, "A", count=1, upto=0)
        self.send_chunk(cli, "T", 0, 1, targetDeviceId="t")
        self.send_chunk(cli, "A", 0, 1)
        self.assertEqual(self.story(phone), ["T", "A", "A0"])

    def test_what_else_is_sent_between_chunks_passes(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        late = self.connect("mobile")
        cli.send(type="reload")
        self.assertIn("reload", phone.types())
        self.assertIn("reload", late.types())


class WithoutASpool(Live):
    """The same of a relay that keeps nothing."""

    def setUp(self) -> None:
        self.relay = Relay(**self.settings)

    def test_a_relay_that_stops_waits_for_the_rest(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.begin(cli, "A")
        stopped = self.relay.service.stopService()
        self.relay.wait(3)
        self.assertStays(phone)
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "A2"])
        for client in (cli, phone):
            self.relay.wait(3)
            client.read()
            assert client.closed is not None
            self.assertEqual(client.closed[0], 1012)
            client.lose()
        self.relay.wait(3)
        self.successResultOf(stopped)


class Waiting(Spooled):
    """Nobody waits for ever."""

    def test_for_chunks_behind_another_message(self) -> None:
        cli = self.connect("cli")
        self.connect("mobile")
        code = some_code(300_000)
        self.start_chunks(cli, code, 3)
        self.chunk(cli, code, 3, 0)
        self.connect("mobile", "replay=1")
        cli.send(type="asset", data="x" * 300_000)
        self.relay.wait(300)
        self.assertEqual(cli.transport.producerState, "producing")

    def test_for_chunks_that_never_come(self) -> None:
        cli = self.connect("cli")
        kept = self.bundle(cli, "the last complete one")
        code = some_code(300_000)
        sent = self.start_chunks(cli, code, 3)
        sent.append(self.chunk(cli, code, 3, 0))
        phone = self.connect("mobile", "replay=1")
        status = cli.send(type="build_error")
        for _ in range(4):
            self.relay.wait(10)
            cli.send(type="ping")
        self.assertTexts(self.texts(phone), [*sent, status, kept])


class TwoSenders(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.cli, self.dashboard = self.connect("cli"), self.connect("dashboard")
        self.code = some_code(600_000)

    def test_chunks_go_to_nobody_who_did_not_get_those_before(self) -> None:
        self.start_chunks(self.cli, self.code, 6)
        self.chunk(self.cli, self.code, 6, 0)
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.chunk(self.cli, self.code, 6, 1)
        self.bundle(self.dashboard, "B")
        while self.disk.reads:
            self.disk.give()
        for i in range(2, 6):
            self.chunk(self.cli, self.code, 6, i)
        while self.disk.reads:
            self.disk.give()
        indexes = [message["index"] for message in phone.received() if "index" in message]
        self.assertEqual(indexes, list(range(len(indexes))))

    def test_who_wants_announcements_gets_nothing_else(self) -> None:
        early = self.connect("mobile", "announce=1")
        self.start_chunks(self.cli, self.code, 3)
        late = self.connect("mobile", "announce=1")
        self.bundle(self.dashboard, "B")
        for i in range(3):
            self.chunk(self.cli, self.code, 3, i)
        self.assertEqual(set(early.types()), {"bundle_available"})
        self.assertEqual(set(late.types()), {"bundle_available"})


class Halted(Spooled):
    def test_what_comes_in_one_block_behind_a_bundle_comes_as_it_is(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        (member,) = (one for one in self.relay.service.clients if one.role is Role.CLI)
        assert isinstance(member, Member)
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * 400_000)
        note = b'{"type":"note","n":1}'
        data = masked(TEXT, text) + masked(TEXT, note)
        cli.send_raw(data[:200_000])
        member.halt()
        cli.send_raw(data[200_000:])
        phone.read()
        self.assertEqual(phone.messages, [text])
        member.source.let_go(member)
        self.relay.wait(1)
        cli.read()
        phone.read()
        self.assertIsNone(cli.closed)
        self.assertEqual(phone.messages, [text, note])
