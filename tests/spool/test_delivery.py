"""`apptuner_relay.spool.delivery`: what one phone gets of bundles when it joins, while one grows,
and when it says what it has."""

import json
from typing import Any, ClassVar

from apptuner_relay.spool.file_states import Cut
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, Relay, deflated, finished, masked
from tests.memory_store import MemoryStore
from tests.spool.cases import Sips, SlowCase, Spooled, sha256, some_code
from tests.workers import Inline

NOBODY = "0" * 64


class LateJoiner(Spooled):
    def test_gets_the_last_bundle_when_nobody_is_there_to_send_it(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "first")
        text = self.bundle(cli, some_code(300_000))
        cli.lose()
        self.assertTexts(self.texts(self.connect("mobile")), [text])

    def test_outlives_its_session(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        cli.lose()
        self.assertEqual(self.relay.service.sessions, {})
        self.assertTexts(self.texts(self.connect("mobile")), [text])

    def test_gets_nothing_of_another_session(self) -> None:
        self.bundle(self.connect("cli"), "code")
        self.assertTexts(self.texts(self.relay.connect("/mobile/ABC235")), [])

    def test_chunks_in_their_order(self) -> None:
        cli = self.connect("cli")
        sent = self.chunks(cli, some_code(400_000), 3)
        cli.lose()
        self.assertTexts(self.texts(self.connect("mobile")), sent)

    def test_waits_for_the_cli_that_is_there(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code")
        phone = self.connect("mobile")
        self.assertTexts(self.texts(phone), [])
        text = self.bundle(cli, "code")
        self.assertTexts(self.texts(phone), [text])

    def test_waits_no_longer_when_that_has_gone(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        phone = self.connect("mobile")
        cli.lose()
        self.assertTexts(self.texts(phone), [text])
        self.connect("cli").lose()
        self.assertTexts(self.texts(phone), [])

    def test_waits_while_another_is_there(self) -> None:
        cli, page = self.connect("cli"), self.connect("dashboard")
        text = self.bundle(page, "code")
        phone = self.connect("mobile")
        cli.lose()
        self.assertTexts(self.texts(phone), [])
        page.lose()
        self.assertTexts(self.texts(phone), [text])

    def test_gets_the_one_before_what_the_sender_has_died_in(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        phone = self.connect("mobile", "have=" + sha256("other"))
        self.half(cli, some_code(300_000))
        cli.lose()
        self.assertTexts(self.texts(phone), [text])

    def test_gets_none_again(self) -> None:
        cli, quick, slow = self.connect("cli"), self.connect("mobile"), self.connect("mobile")
        for _ in range(2):
            text = self.bundle(cli, "code")
            for phone in (quick, slow):
                self.assertTexts(self.texts(phone), [text])
        told = self.connect("mobile", f"announce=1&have={sha256('code')}")
        self.bundle(cli, "code")
        for phone in (quick, slow, told):
            self.texts(phone)
        cli.lose()
        for phone in (quick, slow, told):
            self.assertTexts(self.texts(phone), [])

    def test_may_ask_for_it_all_the_same(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        self.assertTexts(self.texts(self.connect("mobile", "replay=1")), [text])

    def test_pages_that_never_send_bundles_do_not_count(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        pages = [self.connect(role) for role in ("dashboard", "desktop")]
        for page in pages:
            page.send(type="reload")
        cli.lose()
        got = self.texts(self.connect("mobile"))
        self.assertTexts([one for one in got if b"bundle_" in one], [text])

    def test_waits_for_a_page_that_has_sent_one(self) -> None:
        page = self.connect("desktop")
        text = self.bundle(page, "code")
        self.connect("dashboard")
        self.assertTexts(self.texts(self.connect("mobile")), [])
        page.lose()
        self.assertTexts(self.texts(self.connect("mobile")), [text])

    def test_waits_for_a_page_that_has_sent_one_in_chunks_to_somebody(self) -> None:
        self.bundle(self.connect("cli"), "older")
        page = self.connect("dashboard")
        self.connect("mobile", "deviceId=d")
        page.send(type="bundle_start", totalChunks=2, targetDeviceId="d")
        self.assertTexts(self.texts(self.connect("mobile")), [])

    def test_live_messages_come_after_it_in_order(self) -> None:
        cli = self.connect("cli")
        bundle = self.bundle(cli, some_code(300_000))
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        live = [cli.send(type="reload", n=i) for i in range(3)]
        self.assertTexts(self.texts(phone), [])
        while self.disk.reads:
            self.disk.give()
        self.assertTexts(self.texts(phone), [bundle, *live])
        self.assertTexts(self.texts(phone), [])

    def test_joins_while_a_bundle_is_on_its_way(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "older")
        code = some_code(300_000)
        rest = self.half(cli, code)
        phone = self.connect("mobile", "replay=1")
        cli.send_raw(rest)
        [message] = phone.received()
        self.assertEqual(message["payload"]["code"], code)

    def test_gets_the_older_one_if_that_is_cut_short(self) -> None:
        cli = self.connect("cli")
        older = self.bundle(cli, "older")
        self.half(cli, "never")
        phone = self.connect("mobile", "replay=1")
        cli.lose()
        got = self.texts(phone)
        self.assertTexts([text for text in got if b"cli_disc" not in text], [older])
        self.assertIsNone(phone.closed)

    def test_gets_the_older_one_though_none_of_its_form_was_made_before(self) -> None:
        workers = Inline(at_once=False)
        relay = Relay(MemoryStore, workers=workers)
        cli = relay.connect("/cli/AAAAAA", deflate=True)
        text = b'{"type":"bundle_update","payload":{"code":"older"}}'
        cli.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        phone = relay.connect("/mobile/AAAAAA?replay=1")
        cli.send(type="bundle_start", totalChunks=2, totalSize=9)
        cli.lose()
        workers.run()
        self.assertIn(text, self.texts(phone))
        self.assertIsNone(phone.closed)

    def test_relay_that_stops_waits_for_a_form_that_is_yet_to_be_made(self) -> None:
        workers = Inline(at_once=False)
        relay = Relay(MemoryStore, workers=workers)
        cli = relay.connect("/cli/AAAAAA", deflate=True)
        text = b'{"type":"bundle_update","payload":{"code":"older"}}'
        cli.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        phone = relay.connect("/mobile/AAAAAA?replay=1")
        (session,) = relay.service.sessions.values()
        self.assertTrue(session.mobiles[0].sink.busy)
        workers.run()
        self.assertFalse(session.mobiles[0].sink.busy)
        self.assertIn(text, self.texts(phone))

    def test_a_newer_one_supersedes_it_between_chunks(self) -> None:
        cli = self.connect("cli")
        code = some_code(600_000)
        sent = self.chunks(cli, code, 3)
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.disk.give()
        newer = self.bundle(cli, "newer")
        while self.disk.reads:
            self.disk.give()
        got = self.texts(phone)
        self.assertTexts(got, [*sent[: len(got) - 1], newer])
        self.assertLess(len(got) - 1, len(sent))
        text = self.bundle(cli, "live")
        self.assertTexts(self.texts(phone), [text])

    def test_a_newer_one_waits_for_the_end_of_a_message(self) -> None:
        cli = self.connect("cli")
        older = self.bundle(cli, some_code(400_000))
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.disk.give()
        newer = self.bundle(cli, "newer")
        latest = self.bundle(cli, "latest")
        while self.disk.reads:
            self.disk.give()
        self.assertTexts(self.texts(phone), [older, latest])
        self.assertNotIn(newer, self.texts(phone))

    def test_that_goes_away_lets_the_file_go(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, some_code(400_000))
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        bundle = next(iter(self.store._latest.values()))
        phone.lose()
        self.assertTrue(bundle.in_use)
        self.disk.give()
        self.assertFalse(bundle.in_use)

    def test_pongs_come_between_chunks_not_after_them(self) -> None:
        cli = self.connect("cli")
        self.chunks(cli, some_code(600_000), 6)
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.disk.give()
        phone.send(type="ping", timestamp=1)
        while self.disk.reads:
            self.disk.give()
        types = phone.types()
        self.assertEqual(types.count("pong"), 1)
        self.assertLess(types.index("pong"), len(types) - 1)
        self.assertEqual(types.count("bundle_chunk"), 6)


class Forms(Spooled):
    def test_compressed_as_it_is_to_who_negotiated_it_and_inflated_to_others(self) -> None:
        cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(300_000)}})
        payload = deflated(text.encode())
        cli.send_raw(masked(TEXT | 0x40, payload))
        android = self.connect("mobile", "replay=1", deflate=True)
        ios = self.connect("mobile", "replay=1&platform=ios")
        self.assertTexts(self.texts(android), [text.encode()])
        self.assertEqual(
            b"".join(data for _, _, data in android.frames[-3:])[-100:], payload[-100:]
        )
        self.assertTexts(self.texts(ios), [text.encode()])

    def test_what_compression_saves_is_counted(self) -> None:
        traffic = self.relay.service.meters.counters.traffic
        cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(300_000)}})
        payload = deflated(text.encode())
        cli.send_raw(masked(TEXT | 0x40, payload))
        self.connect("mobile", "replay=1")
        self.assertEqual(traffic.compression_saved_bytes, 0)
        self.connect("mobile", "replay=1", deflate=True)
        # What its sender has compressed is inflated in part, and the rest reckoned by that.
        saved = len(text) - len(payload)
        self.assertApproximates(traffic.compression_saved_bytes, saved, saved / 10)

    def test_what_the_relay_has_compressed_is_counted(self) -> None:
        traffic = self.relay.service.meters.counters.traffic
        cli = self.connect("cli")
        phones = [self.connect("mobile", f"deviceId=d{n}", deflate=True) for n in range(2)]
        text = self.bundle(cli, some_code(300_000))
        for phone in phones:
            self.assertTexts(self.texts(phone)[-1:], [text])
        self.assertGreater(traffic.compression_saved_bytes, 2 * 0.1 * len(text))
        self.assertLess(traffic.compression_saved_bytes, 2 * len(text))

    def test_finished_streams_all_of_them(self) -> None:
        cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(300_000)}})
        wire = text.encode()
        cli.send_raw(masked(TEXT | 0x40, finished(wire[:10], wire[10:999], wire[999:])))
        for query in ("replay=1", "replay=1&platform=ios"):
            self.assertTexts(self.texts(self.connect("mobile", query)), [wire])

    def test_in_chunks_to_who_wants_that(self) -> None:
        cli = self.connect("cli")
        code = some_code(1_500_000)
        self.bundle(cli, code)
        ios = self.connect("mobile", "replay=1&platform=ios&chunks=1")
        start, *chunks = ios.received()
        self.assertEqual(start["type"], "bundle_start")
        self.assertEqual("".join(chunk["data"] for chunk in chunks), code)

    def test_one_message_after_the_other_to_who_takes_it_in_sips(self) -> None:
        cli = self.connect("cli", deflate=True)
        texts = [
            json.dumps({"type": "bundle_start", "totalChunks": 3, "totalSize": 900_000}).encode()
        ]
        for i in range(3):
            chunk = {"type": "bundle_chunk", "index": i, "data": some_code(300_000, i)}
            texts.append(json.dumps(chunk).encode())
        for text in texts:
            cli.send_raw(masked(TEXT | 0x40, deflated(text)))
        self.disk.patient = True
        for query in ("", "platform=ios"):
            phone = self.connect("mobile", f"replay=1&{query}")
            sips = Sips(phone)
            for _ in range(200):
                self.disk.give()
                sips.sip(20_000)
            self.assertTexts(self.texts(phone), texts)

    def test_superseded_by_one_that_begins_while_a_message_is_being_inflated(self) -> None:
        cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(900_000)}})
        cli.send_raw(masked(TEXT | 0x40, deflated(text.encode())))
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        sips = Sips(phone, 10_000)
        self.disk.give()
        newer = self.bundle(cli, "newer")
        for _ in range(200):
            self.disk.give()
            sips.sip(20_000)
        self.assertTexts(self.texts(phone), [text.encode(), newer])


class NotKept(Spooled):
    def latecomer(self) -> list[bytes]:
        return self.texts(self.connect("mobile", "replay=1"))

    def test_a_bundle_cut_short(self) -> None:
        cli = self.connect("cli")
        self.half(cli, some_code(300_000))
        cli.lose()
        self.assertTexts(self.latecomer(), [])
        self.assertEqual(self.store.files(), [])

    def test_chunks_cut_short(self) -> None:
        cli = self.connect("cli")
        kept = self.bundle(cli, "kept")
        self.start_chunks(cli, "abc", 3)
        self.chunk(cli, "abc", 3, 0)
        cli.lose()
        self.assertTexts(self.latecomer(), [kept])
        self.assertEqual(len(self.store.files()), 1)

    def test_what_is_for_one_phone(self) -> None:
        cli = self.connect("cli")
        self.connect("mobile", "deviceId=d1")
        cli.send(type="bundle_update", targetDeviceId="d1", payload={"code": "x"})
        cli.send(type="bundle_update", targetDeviceId="d2", payload={"code": "x"})
        self.assertTexts(self.latecomer(), [])

    def test_what_phones_send(self) -> None:
        self.connect("cli")
        self.connect("mobile").send(type="bundle_update", payload={"code": "x"})
        self.assertTexts(self.latecomer(), [])

    def test_chunks_without_a_start_and_starts_without_a_number(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile")
        for start in ({}, {"totalChunks": 0}, {"totalChunks": "3"}, {"totalChunks": 1e9}):
            cli.send(type="bundle_start", **start)
        self.chunk(cli, "abc", 1, 0)
        self.assertEqual(len(self.texts(phone)), 5)
        self.assertTexts(self.latecomer(), [])


class WhatItHas(Spooled):
    def test_is_not_sent_again_on_arrival(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code é")
        phone = self.connect("mobile", f"replay=1&have={sha256('code é')}")
        [message] = phone.received()
        self.assertEqual(message["type"], "bundle_unchanged")
        self.assertEqual(message["sha256"], sha256("code é"))

    def test_is_not_sent_again_by_the_cli(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={sha256('code')}")
        other = self.connect("mobile")
        text = self.bundle(cli, "code")
        self.assertTexts(self.texts(other), [text])
        self.assertEqual(phone.types(), ["bundle_unchanged"])
        text = self.bundle(cli, "changed")
        self.assertTexts(self.texts(phone), [text])

    def test_other_code_is_sent_and_what_comes_behind_it_waits(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={sha256('code')}")
        self.store.offload.patient = True
        sent = [self.bundle(cli, some_code(300_000)), cli.send(type="reload")]
        self.assertTexts(self.texts(phone), [])
        self.store.offload.answer()
        self.assertTexts(self.texts(phone), sent)

    def test_what_has_no_code_is_sent(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={sha256('code')}")
        text = cli.send(type="bundle_update", payload={})
        self.assertTexts(self.texts(phone), [text])

    def test_a_bad_have_is_refused(self) -> None:
        client = self.relay.connect("/mobile/ABC234?have=abc", welcome=False)
        self.assertEqual(client.status, 400)
        self.assertIn("have", json.loads(client.body)["error"])


class Announcements(Spooled):
    def test_instead_of_every_bundle(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "old")
        phone = self.connect("mobile", "announce=1&replay=1")
        self.chunks(cli, "new code", 2)
        other = cli.send(type="reload")
        first, second, third = self.texts(phone)
        self.assertEqual(
            json.loads(first),
            {
                "type": "bundle_available",
                "url": f"/bundles/ABC234/{sha256('old')}",
                "sha256": sha256("old"),
                "size": 3,
                "timestamp": 1_000_000,
            },
        )
        self.assertEqual(json.loads(second)["sha256"], sha256("new code"))
        self.assertEqual(third, other)

    def test_not_of_what_the_phone_has(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "old")
        phone = self.connect("mobile", f"announce=1&replay=1&have={sha256('old')}")
        self.bundle(cli, "old")
        self.assertEqual(phone.types(), ["bundle_unchanged", "bundle_available"])

    def test_what_has_no_code_is_sent(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", "announce=1")
        text = cli.send(type="bundle_update", payload={})
        self.assertTexts(self.texts(phone), [text])

    def test_the_bundle_itself_where_none_is_kept(self) -> None:
        self.store._outage.fail(OSError(28, "No space left on device"))
        cli = self.connect("cli")
        phone = self.connect("mobile", "announce=1")
        text = self.bundle(cli, "code")
        self.assertTexts(self.texts(phone), [text])
        self.flushLoggedErrors()


class PublicUrl(Announcements):
    settings: ClassVar[dict[str, Any]] = {"public_url": "https://cdn.example.com/apps"}

    def test_instead_of_every_bundle(self) -> None:
        phone = self.connect("mobile", "announce=1")
        self.bundle(self.connect("cli"), "x")
        url = phone.received()[-1]["url"]
        self.assertEqual(url, f"https://cdn.example.com/apps/bundles/ABC234/{sha256('x')}")


class WhileItGrows(Spooled):
    """Phones that say what they have, or want to be told, while a bundle is on its way."""

    code = some_code(300_000)

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli")
        self.text = json.dumps(
            {"type": "bundle_update", "payload": {"code": self.code}}, separators=(",", ":")
        ).encode()

    def begin(self) -> bytes:
        cut = len(self.text) // 2
        self.cli.send_raw(masked(TEXT, self.text[:cut], fin=False))
        return masked(CONTINUATION, self.text[cut:])

    def bundles(self, phone: Client) -> list[bytes]:
        return [text for text in self.texts(phone) if b"bundle_" in text[:40]]

    def test_who_has_it_gets_a_word_and_who_does_not_gets_it(self) -> None:
        has = [self.connect("mobile", f"have={sha256(self.code)}")]
        hasnt = [self.connect("mobile", f"have={sha256('other')}")]
        rest = self.begin()
        has.append(self.connect("mobile", f"replay=1&have={sha256(self.code)}"))
        hasnt.append(self.connect("mobile", f"replay=1&have={sha256('other')}"))
        self.assertEqual([self.texts(phone) for phone in (*has, *hasnt)], [[]] * 4)
        self.cli.send_raw(rest)
        for phone in has:
            self.assertEqual(phone.types(), ["bundle_unchanged"])
        for phone in hasnt:
            self.assertTexts(self.texts(phone), [self.text])

    def test_a_newer_one_begins_before_that_is_known(self) -> None:
        self.store.offload.patient = True
        phones = [self.connect("mobile", f"have={sha256(self.code)}")]
        self.cli.send_raw(self.begin())
        phones.append(self.connect("mobile", f"replay=1&have={sha256(self.code)}"))
        newer = self.bundle(self.cli, "newer")
        self.store.offload.answer()
        # It compares what it has with one bundle, the first.
        for phone in phones:
            self.assertTexts(self.texts(phone), [newer])

    def test_what_is_told_of_one_that_a_newer_one_supersedes(self) -> None:
        self.store.offload.patient = True
        phone = self.connect("mobile", "announce=1")
        self.cli.send_raw(self.begin())
        self.bundle(self.cli, "newer")
        self.store.offload.answer()
        self.assertEqual([one["sha256"] for one in phone.received()], [sha256("newer")])

    def test_its_sender_goes(self) -> None:
        phones = [
            self.connect("mobile", query)
            for query in (f"have={sha256('other')}", f"have={sha256(self.code)}", "announce=1")
        ]
        self.begin()
        self.cli.lose()
        cli = self.connect("cli")
        for phone in phones:
            # It has got nothing of it, and is none the worse.
            self.assertTexts(self.bundles(phone), [])
            self.assertIsNone(phone.closed)
        text = self.bundle(cli, "next")
        self.assertTexts(self.bundles(phones[0]), [text])
        self.assertEqual(phones[2].types()[-1:], ["bundle_available"])

    def test_its_sender_goes_and_there_is_an_older_one(self) -> None:
        kept = self.bundle(self.cli, "kept")
        phones = [
            self.connect("mobile", f"replay=1&{query}")
            for query in (f"have={sha256('other')}", f"have={sha256('kept')}", "announce=1")
        ]
        self.begin()
        late = [
            self.connect("mobile", f"replay=1&{query}")
            for query in (f"have={sha256('other')}", "announce=1")
        ]
        self.cli.lose()
        self.assertTexts(self.bundles(phones[0]), [kept])
        self.assertTexts(self.bundles(late[0]), [kept])
        for phone, expected in (
            (phones[1], ["bundle_unchanged"]),
            (phones[2], ["bundle_available"]),
            (late[1], ["bundle_available"]),
        ):
            types = [kind for kind in phone.types() if kind.startswith("bundle_")]
            self.assertEqual(types, expected)

    def test_a_series(self) -> None:
        phone = self.connect("mobile", f"have={sha256('abcdef')}")
        other = self.connect("mobile", f"have={sha256('other')}")
        told = self.connect("mobile", "announce=1")
        sent = self.start_chunks(self.cli, "abcdef", 3)
        for index in range(3):
            self.assertEqual([self.texts(one) for one in (phone, other, told)], [[]] * 3)
            sent.append(self.chunk(self.cli, "abcdef", 3, index))
        self.assertEqual(phone.types(), ["bundle_unchanged"])
        self.assertTexts(self.texts(other), sent)
        self.assertEqual(told.types(), ["bundle_available"])

    def test_late_in_each_form(self) -> None:
        self.cli.lose()
        self.cli = self.connect("cli", deflate=True)
        payload = deflated(self.text)
        for at in range(0, len(payload), 50_000):
            self.cli.send_raw(
                masked(
                    CONTINUATION if at else TEXT | 0x40,
                    payload[at : at + 50_000],
                    at + 50_000 >= len(payload),
                )
            )
            if at == 100_000:
                late = [
                    self.connect("mobile", "replay=1", deflate=True),
                    self.connect("mobile", "replay=1"),
                    self.connect("mobile", "replay=1&platform=ios&chunks=1"),
                ]
        late.append(self.connect("mobile", "replay=1&platform=ios&chunks=1"))
        late.append(self.connect("mobile", "replay=1", deflate=True))
        for phone in (*late[:2], late[4]):
            self.assertTexts(self.texts(phone), [self.text])
        for phone in late[2:4]:
            start, *chunks = phone.received()
            self.assertEqual(start["totalChunks"], len(chunks))
            self.assertTrue("".join(chunk["data"] for chunk in chunks) == self.code)
        self.assertFalse(next(iter(self.store._latest.values())).in_use)
        self.assertEqual(len(self.store._counted), 1)


def update(code: bytes) -> bytes:
    return b'{"type":"bundle_update","payload":{"code":"%b"}}' % code


class Doubled(SlowCase):
    """Nothing comes twice."""

    def test_a_phone_that_is_behind_and_gets_a_message_between_chunks(self) -> None:
        slow = self.join_slow()
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        self.sip(slow)
        for index in range(6):
            sent.append(self.chunk(self.cli, code, 6, index))
            self.assertNotHeld()
            if index == 2:
                sent.append(self.cli.send(type="status"))
                self.sip(slow)
        self.assertTexts(self.drink(slow), sent)

    def test_a_slow_phone_that_wants_announcements(self) -> None:
        slow = self.join_slow("announce=1")
        code = some_code(600_000)
        self.start_chunks(self.cli, code, 6)
        self.chunk(self.cli, code, 6, 0)
        self.sip(slow)
        self.cli.send(type="status")
        for i in range(1, 6):
            self.chunk(self.cli, code, 6, i)
        types = [json.loads(text)["type"] for text in self.drink(slow)]
        self.assertEqual(sorted(types), ["bundle_available", "status"])

    def test_a_slow_phone_whose_bundle_is_no_longer_kept(self) -> None:
        self.cli = self.connect("cli", deflate=True)
        dashboard = self.connect("dashboard")
        text = update(b"abc" * 600_000)
        for room, begun in ((10, [text]), (0, [])):
            slow = self.join_slow(room=room)
            self.cli.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
            newer = dashboard.send(type="bundle_update", payload={"code": "B"})
            self.assertTexts(self.drink(slow), [*begun, newer])
            self.assertEqual(len(self.store.files()), 1)


class Lost(Spooled):
    """A phone that misses something knows."""

    def test_the_store_fails_in_the_middle_of_chunks(self) -> None:
        cli = self.connect("cli")
        self.connect("mobile")
        code = some_code(600_000)
        sent = self.start_chunks(cli, code, 6)
        sent.append(self.chunk(cli, code, 6, 0))
        phone = self.connect("mobile", "replay=1")
        phone.transport.producer.pauseProducing()
        sent += [self.chunk(cli, code, 6, i) for i in (1, 2)]
        self.store._outage.fail(OSError(28, "No space left on device"))
        sent += [self.chunk(cli, code, 6, i) for i in (3, 4, 5)]
        phone.transport.producer.resumeProducing()
        got = self.texts(phone)
        self.assertTrue(phone.closed or len(got) == len(sent))
        self.flushLoggedErrors()

    def test_the_store_has_no_room_for_what_a_phone_waits_for(self) -> None:
        for query, expected in (("announce=1", []), (f"have={NOBODY}", ["bundle_update"])):
            cli = self.connect("cli")
            phone = self.connect("mobile", query)
            rest = self.half(cli, some_code(300_000))
            [bundle] = self.store._growing.values()
            bundle.cut(Cut.STORE)
            cli.send_raw(rest)
            self.assertEqual(phone.types(), expected)
            self.assertEqual(phone.closed and phone.closed[0], None if expected else 1011)
            phone.lose()

    def test_an_announcement_when_the_next_bundle_is_cut_short(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", "announce=1")
        self.store.offload.patient = True
        self.bundle(cli, "A")
        self.half(cli, some_code(300_000))
        cli.lose()
        self.store.offload.answer()
        self.assertIn("bundle_available", phone.types())

    def test_a_bundle_when_the_next_is_cut_short(self) -> None:
        cli = self.connect("cli")
        phone = self.connect("mobile", f"have={NOBODY}")
        self.store.offload.patient = True
        text = self.bundle(cli, "A")
        self.start_chunks(cli, "BB", 2)
        self.chunk(cli, "BB", 2, 0)
        cli.lose()
        self.store.offload.answer()
        self.assertIn(text, self.texts(phone))

    def test_a_bundle_whose_successor_is_cut_short_while_it_is_being_read(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "A")
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        self.half(cli, "BB")
        cli.lose()
        while self.disk.reads:
            self.disk.give()
        self.assertIn(text, self.texts(phone))


class SentAgain(Spooled):
    """Somebody asks that the phones of a session get its bundle again."""

    def again(self) -> list[bool]:
        [session] = self.relay.service.sessions.values()
        return [phone.delivery.send_again() for phone in session.mobiles if phone.delivery]

    def test_what_is_kept(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.bundle(cli, "older")
        texts = self.chunks(cli, some_code(300_000), 3)
        self.texts(phone)
        for _ in range(2):
            self.assertEqual(self.again(), [True])
            self.assertTexts(self.texts(phone), texts)

    def test_whole_to_those_that_have_it(self) -> None:
        cli = self.connect("cli")
        text = self.bundle(cli, "code")
        has = f"have={sha256('code')}"
        phones = [self.connect("mobile", has + more) for more in ("&replay=1", "&patch=1&replay=1")]
        for phone in phones:
            self.assertEqual(phone.types(), ["bundle_unchanged"])
        self.assertEqual(self.again(), [True, True])
        for phone in phones:
            self.assertTexts(self.texts(phone)[:1], [text])

    def test_with_a_label_and_patches_go_on_from_there(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile", "patch=1")
        code = some_code(40_000)
        self.bundle(cli, code)
        self.assertEqual(phone.types(), ["bundle_update", "bundle_id"])
        self.assertEqual(self.again(), [True])
        self.assertEqual(phone.types(), ["bundle_update", "bundle_id"])
        self.bundle(cli, code + ";")
        self.assertEqual(phone.types(), ["bundle_patch"])

    def test_whoever_wants_to_be_told_is_told_again(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile", "announce=1")
        self.bundle(cli, "code")
        self.assertEqual(phone.types(), ["bundle_available"])
        self.assertEqual(self.again(), [True])
        self.assertEqual(phone.types(), ["bundle_available"])

    def test_not_twice_at_once(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        text = self.bundle(cli, some_code(300_000))
        slow = Sips(self.connect("mobile"), room=1000)
        self.texts(phone)
        self.again()
        self.again()
        self.assertTexts(self.texts(phone), [text, text])
        slow.sip(None)
        self.assertTexts(self.texts(slow.client), [text])

    def test_one_that_grows_is_on_its_way(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.bundle(cli, "older")
        self.texts(phone)
        rest = self.half(cli, some_code(300_000))
        self.assertEqual(self.again(), [True])
        cli.send_raw(rest)
        self.assertEqual(phone.types(), ["bundle_update"])

    def test_where_there_is_none(self) -> None:
        self.connect("cli")
        phone = self.connect("mobile")
        self.assertEqual(self.again(), [False])
        self.assertTexts(self.texts(phone), [])
