"""A series is one bundle, on every way that it may take to a phone: its rest reaches the phone, a
newer bundle takes its place, or the phone is closed with 1011; and nobody gets a chunk of a series
that it hasn't seen begin.
"""

import json
from typing import Any, ClassVar

from apptuner_relay.bundles.fanout import STRAY
from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.bundles.cases import SlowCase, Spooled, some_code
from tests.memory import Client, Relay, deflated, masked

CUT = "a bundle was cut short"


class SeriesCase(Spooled):
    # Nobody here answers a ping.
    settings: ClassVar[dict[str, Any]] = {"ping_interval": 3600.0}

    def begin(self, cli: Client, name: str, count: int = 3, upto: int = 2, **more: Any) -> None:
        """The start of a series, and its first chunks."""
        cli.send(type="bundle_start", totalChunks=count, totalSize=9, of=name, **more)
        for index in range(upto):
            self.send_chunk(cli, name, index, count, **more)

    def send_chunk(self, cli: Client, name: str, index: int, count: int = 3, **more: Any) -> None:
        cli.send(type="bundle_chunk", index=index, totalChunks=count, **more, data=f"{name}{index}")

    def story(self, phone: Client) -> list[str]:
        """What of bundles came: ``A`` for the start of a series, ``A0`` for a chunk."""
        told = []
        for message in phone.received():
            if message["type"] == "bundle_start":
                told.append(message["of"])
            elif message["type"] == "bundle_chunk":
                told.append(message["data"])
            elif message["type"] == "bundle_update":
                told.append(message["payload"]["code"])
        return told

    def assertCut(self, phone: Client, why: str = CUT) -> None:
        phone.read()
        assert phone.closed is not None
        self.assertEqual(phone.closed[0], 1011)
        self.assertIn(why, phone.closed[1])

    def assertStays(self, *phones: Client) -> None:
        for phone in phones:
            phone.read()
            self.assertIsNone(phone.closed)


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


class Replayed(SeriesCase):
    def test_joins_in_its_middle_and_wants_it_from_its_beginning(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.story(phone), ["A", "A0", "A1"])
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(phone), ["A2"])
        self.begin(cli, "B", upto=3)
        self.assertEqual(self.story(phone), ["B", "B0", "B1", "B2"])

    def test_its_sender_is_lost(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.story(phone), ["A", "A0", "A1"])
        cli.lose()
        self.assertCut(phone, "cut short")

    def test_its_sender_is_lost_and_there_is_an_older_one(self) -> None:
        cli = self.connect("cli")
        cli.send(type="bundle_update", payload={"code": "older"})
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.story(phone), ["A", "A0", "A1"])
        cli.lose()
        self.assertEqual(self.story(phone), ["older"])
        self.assertStays(phone)

    def test_its_sender_begins_anew(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        self.begin(cli, "B", upto=3)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "B", "B0", "B1", "B2"])
        self.assertStays(phone)

    def test_its_sender_begins_anew_and_is_lost(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A")
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        while self.disk.reads:
            self.disk.give()
        self.assertEqual(self.story(phone), ["A", "A0", "A1"])
        # The newer one is on the disk, but nothing of it has been read when it is cut.
        text = json.dumps({"type": "bundle_update", "payload": {"code": "x" * 1000}}).encode()
        cli.send_raw(masked(TEXT, text[:600], fin=False))
        cli.lose()
        while self.disk.reads:
            self.disk.give()
        self.assertCut(phone, "cut short")

    def test_its_sender_stops_for_too_long(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.story(phone), ["A", "A0", "A1"])
        self.relay.wait(32)
        self.assertCut(phone, "cut short")
        self.assertEqual(self.store.files(), [])

    def test_the_disk_fails_between_two_chunks(self) -> None:
        cli = self.connect("cli")
        live = self.connect("mobile")
        self.begin(cli, "A")
        played = self.connect("mobile", "replay=1")
        self.assertEqual(self.story(played), ["A", "A0", "A1"])
        self.store._turn_off(OSError(28, "No space left on device"))
        self.flushLoggedErrors()
        self.send_chunk(cli, "A", 2)
        self.assertCut(played, "can't keep it")
        self.assertEqual(self.story(live), ["A", "A0", "A1", "A2"])
        self.assertStays(live)
        # Nobody waits for anything more of it.
        [session] = self.relay.service.sessions.values()
        self.assertTrue(all(member.settled for member in session.members))

    def test_a_whole_one_of_another_sender_between_its_chunks(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        self.begin(cli, "A")
        phone = self.connect("mobile", "replay=1")
        page.send(type="bundle_update", payload={"code": "B"})
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(phone), ["A", "A0", "A1", "B"])
        self.assertStays(phone)

    def test_of_two_at_the_same_time_what_the_phones_have_is_kept(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        self.begin(cli, "A")
        self.begin(page, "B")
        self.send_chunk(cli, "A", 2)
        self.send_chunk(page, "B", 2)
        cli.lose()
        page.lose()
        self.assertEqual(self.story(self.connect("mobile")), ["B", "B0", "B1", "B2"])

    def test_of_two_senders_the_last_begun_is_kept(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        self.begin(cli, "A")
        page.send(type="bundle_update", payload={"code": "B"})
        self.assertEqual(self.story(self.connect("mobile", "replay=1")), ["B"])
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(self.connect("mobile", "replay=1")), ["B"])
        self.assertEqual(len(self.store.files()), 1)

    def test_one_with_a_chunk_twice_is_kept_when_it_is_whole(self) -> None:
        cli = self.connect("cli")
        self.begin(cli, "A", upto=2)
        self.send_chunk(cli, "A", 1)
        self.assertEqual(self.store.bundles, 0)
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.store.bundles, 1)


class InChunksForThePhone(SeriesCase):
    """``chunks=1``: the relay makes the series."""

    def test_its_sender_is_lost_in_the_middle(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", "platform=ios&chunks=1")
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(3_000_000)}})
        cli.send_raw(masked(TEXT, text.encode()[:2_000_000], fin=False))
        cli.lose()
        self.assertCut(phone, "cut short")

    def test_another_sender_between_its_chunks(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        phone = self.connect("mobile", "platform=ios&chunks=1")
        code = some_code(3_000_000)
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        cli.send_raw(masked(TEXT, text[:2_000_000], fin=False))
        self.begin(page, "B", upto=3)
        cli.send_raw(masked(CONTINUATION, text[2_000_000:]))
        got = [one for one in phone.received() if one["type"].startswith("bundle_")]
        of_b = [i for i, one in enumerate(got) if "of" in one or one.get("data", "")[:1] == "B"]
        self.assertEqual(of_b, list(range(of_b[0], of_b[0] + 4)))
        ours = got[: of_b[0]] + got[of_b[-1] + 1 :]
        self.assertEqual("".join(one["data"] for one in ours[1:]), code)
        self.assertIn(of_b[-1] + 1, (4, len(got)))


class TooSlow(SlowCase):
    """A phone that leaves the others between two chunks, for the spool."""

    parts: ClassVar[int] = 12

    def fill(self) -> tuple[Client, list[bytes], str]:
        """A slow phone that has left in the middle of a series, of which some is still to come."""
        code = some_code(2_400_000)
        slow = self.join_slow()
        sent = self.start_chunks(self.cli, code, self.parts)
        index = 0
        while self.cli.transport.producerState == "producing":
            sent.append(self.chunk(self.cli, code, self.parts, index))
            index += 1
        self.wait(slow)
        self.assertEqual(self.cli.transport.producerState, "producing")
        return slow, sent, code

    def test_gets_the_rest(self) -> None:
        slow, sent, code = self.fill()
        for index in range(len(sent) - 1, self.parts):
            sent.append(self.chunk(self.cli, code, self.parts, index))
        self.assertTexts(self.drink(slow), sent)
        self.assertIsNone(slow.closed)

    def test_loses_the_sender(self) -> None:
        slow, _, _ = self.fill()
        self.cli.lose()
        self.drink(slow)
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1011)

    def test_a_newer_one_begins(self) -> None:
        slow, _, _ = self.fill()
        newer = self.bundle(self.cli, "newer")
        got = self.drink(slow)
        self.assertTexts(got[-1:], [newer])
        self.assertIsNone(slow.closed)
