"""`apptuner_relay.spool.delivery` of bundles in several messages: those that are replayed, that the
relay cuts into chunks, or that a phone is too slow for."""

import json
from typing import ClassVar

from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.memory import Client, masked
from tests.spool.cases import SlowCase, some_code
from tests.spool.series import SeriesCase


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
        self.store._outage.fail(OSError(28, "No space left on device"))
        self.flushLoggedErrors()
        self.send_chunk(cli, "A", 2)
        self.assertEqual(self.story(played), ["A2"])
        self.assertEqual(self.story(live), ["A", "A0", "A1", "A2"])
        self.assertStays(live, played)
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

    def test_another_sender_between_its_chunks_takes_its_place(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        phone = self.connect("mobile", "platform=ios&chunks=1")
        code = some_code(3_000_000)
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        cli.send_raw(masked(TEXT, text[:2_000_000], fin=False))
        self.begin(page, "B", upto=3)
        cli.send_raw(masked(CONTINUATION, text[2_000_000:]))
        got = [one for one in phone.received() if one["type"].startswith("bundle_")]
        of_b = [i for i, one in enumerate(got) if "of" in one or one.get("data", "")[:1] == "B"]
        self.assertEqual(of_b, list(range(len(got) - 4, len(got))))
        of_a = "".join(one["data"] for one in got[1:-4])
        self.assertTrue(of_a and code.startswith(of_a) and of_a != code)
        self.assertStays(phone)

    def test_what_takes_its_place_is_cut_short(self) -> None:
        cli, page = self.connect("cli"), self.connect("desktop")
        phone = self.connect("mobile", "platform=ios&chunks=1")
        code = some_code(3_000_000)
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        cli.send_raw(masked(TEXT, text[:2_000_000], fin=False))
        newer = b'{"type":"bundle_update","payload":{"code":"' + b"B" * 2000
        page.send_raw(masked(TEXT, newer, fin=False))
        page.lose()
        cli.send_raw(masked(CONTINUATION, text[2_000_000:]))
        self.assertCut(phone)


class TooSlow(SlowCase):
    """A phone that is in the middle of a series that goes on."""

    parts: ClassVar[int] = 12
    code: ClassVar[str] = some_code(2_400_000)

    def fill(self, upto: int = 8) -> tuple[Client, list[bytes]]:
        """A phone that has part of a series, of which some is still to come."""
        slow = self.join_slow(room=300_000)
        sent = self.start_chunks(self.cli, self.code, self.parts)
        for index in range(upto):
            sent.append(self.chunk(self.cli, self.code, self.parts, index))
            self.assertNotHeld()
        return slow, sent

    def test_gets_the_rest(self) -> None:
        slow, sent = self.fill()
        for index in range(len(sent) - 1, self.parts):
            sent.append(self.chunk(self.cli, self.code, self.parts, index))
        self.assertTexts(self.drink(slow), sent)
        self.assertIsNone(slow.closed)

    def test_loses_the_sender(self) -> None:
        slow, sent = self.fill()
        self.cli.lose()
        got = self.drink(slow)
        self.assertTexts(got[: len(sent)], sent)
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1011)
        self.assertIn("a bundle was cut short", slow.closed[1])

    def test_a_newer_one_begins(self) -> None:
        slow, sent = self.fill()
        newer = self.bundle(self.cli, "newer")
        # It was in the middle of the second chunk.
        self.assertTexts(self.drink(slow), [*sent[:3], newer])
        self.assertIsNone(slow.closed)

    def test_a_newer_one_begins_and_is_cut_short(self) -> None:
        slow, _ = self.fill()
        self.half(self.cli, "newer")
        self.cli.lose()
        self.drink(slow)
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1011)
