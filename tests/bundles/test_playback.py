"""Late joiners, slow phones, and phones that say what they have: `tape`, `follower`, `playback` and
`store` behind the protocol."""

import json

from apptuner_relay.wire.frames import TEXT
from tests.bundles.cases import SlowCase, Spooled, brief, sha256, some_code
from tests.memory import deflated, finished, masked


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
        for query in ("", "platform=ios"):
            self.disk.patient = True
            phone = self.connect("mobile", f"replay=1&{query}")
            producer = phone.transport.producer
            producer.pauseProducing()
            for _ in range(100):
                self.disk.give()
                producer.resumeProducing()
                producer.pauseProducing()
            self.assertTexts(self.texts(phone), texts)

    def test_superseded_by_one_that_begins_while_a_message_is_being_inflated(self) -> None:
        cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(900_000)}})
        cli.send_raw(masked(TEXT | 0x40, deflated(text.encode())))
        self.disk.patient = True
        phone = self.connect("mobile", "replay=1")
        producer = phone.transport.producer
        producer.pauseProducing()
        self.disk.give()
        newer = self.bundle(cli, "newer")
        for _ in range(100):
            self.disk.give()
            producer.resumeProducing()
            producer.pauseProducing()
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
        self.store._turn_off(OSError(28, "No space left on device"))
        cli = self.connect("cli")
        phone = self.connect("mobile", "announce=1")
        text = self.bundle(cli, "code")
        self.assertTexts(self.texts(phone), [text])
        self.flushLoggedErrors()


class PublicUrl(Announcements):
    settings = {"public_url": "https://cdn.example.com/apps"}

    def test_instead_of_every_bundle(self) -> None:
        phone = self.connect("mobile", "announce=1")
        self.bundle(self.connect("cli"), "x")
        url = phone.received()[-1]["url"]
        self.assertEqual(url, f"https://cdn.example.com/apps/bundles/ABC234/{sha256('x')}")


class SlowPhone(SlowCase):
    """A phone that takes something now and then holds others up, and leaves them."""

    def test_goes_on_from_the_spool_in_mid_message(self) -> None:
        slow = self.join_slow()
        text = json.dumps(
            {"type": "bundle_update", "payload": {"code": some_code(600_000)}}
        ).encode()
        self.leave_in_mid_message(text, slow)
        self.assertTexts(self.texts(self.quick), [text])
        self.assertTexts(self.drink(slow), [text])
        self.assertIsNone(slow.closed)

    def test_goes_on_inflated(self) -> None:
        self.cli = self.connect("cli", deflate=True)
        slow = self.join_slow()
        text = json.dumps(
            {"type": "bundle_update", "payload": {"code": some_code(600_000)}}
        ).encode()
        self.leave_in_mid_message(deflated(text), slow, TEXT | 0x40)
        self.assertIn(brief(text), [brief(one) for one in self.texts(self.quick)])
        self.assertTexts(self.drink(slow), [text])

    def test_goes_on_deflated(self) -> None:
        self.connect("mobile", deflate=True)
        slow = self.join_slow(deflate=True)
        text = json.dumps(
            {"type": "bundle_update", "payload": {"code": some_code(900_000)}}
        ).encode()
        self.leave_in_mid_message(text, slow)
        self.assertTexts(self.drink(slow), [text])

    def test_goes_on_in_slices_and_in_chunks(self) -> None:
        code = some_code(1_800_000)
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        slow = self.join_slow("platform=ios&chunks=1")
        sliced = self.connect("mobile", "platform=ios")
        self.leave_in_mid_message(text, slow)
        start, *chunks = (json.loads(message) for message in self.drink(slow))
        self.assertEqual(start["totalChunks"], len(chunks))
        self.assertEqual([chunk["index"] for chunk in chunks], list(range(len(chunks))))
        self.assertEqual("".join(chunk["data"] for chunk in chunks) == code, True)
        self.assertTexts(self.texts(sliced), [text])

    def test_goes_on_in_chunks_of_what_came_compressed(self) -> None:
        self.cli.lose()
        self.cli = self.connect("cli", deflate=True)
        code = "".join(f"line {i} of {i * i}\n" for i in range(120_000))
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        slow = self.join_slow("platform=ios&chunks=1")
        self.leave_in_mid_message(deflated(text), slow, TEXT | 0x40)
        start, *chunks = (json.loads(message) for message in self.drink(slow))
        self.assertEqual(start["totalChunks"], len(chunks))
        self.assertEqual([chunk["index"] for chunk in chunks], list(range(len(chunks))))
        self.assertEqual("".join(chunk["data"] for chunk in chunks) == code, True)

    def test_goes_on_between_and_in_chunks(self) -> None:
        slow = self.join_slow()
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        self.sip(slow)
        sent.append(self.chunk(self.cli, code, 6, 0))
        self.wait(slow)
        self.assertEqual(self.cli.transport.producerState, "producing")
        sent += [self.chunk(self.cli, code, 6, i) for i in range(1, 6)]
        sent.append(self.cli.send(type="reload"))
        self.assertTexts(self.texts(self.quick), sent)
        self.assertTexts(self.drink(slow), sent)
        text = self.bundle(self.cli, "and is back in the group")
        self.assertTexts(self.texts(slow), [text])

    def test_is_cut_where_the_message_is_not_kept(self) -> None:
        slow = self.join_slow()
        self.cli.send(type="asset", data="x" * 300_000)
        self.wait(slow)
        slow.transport.producer.resumeProducing()
        slow.read()
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1013)

    def test_dies_while_it_is_behind(self) -> None:
        slow = self.join_slow()
        text = json.dumps(
            {"type": "bundle_update", "payload": {"code": some_code(600_000)}}
        ).encode()
        self.leave_in_mid_message(text, slow)
        slow.lose()
        self.assertTexts(self.texts(self.quick)[:1], [text])
        self.assertFalse(next(iter(self.store._latest.values())).in_use)

    def test_the_cli_dies_while_it_is_behind(self) -> None:
        slow = self.join_slow()
        rest = self.half(self.cli, some_code(600_000))
        self.wait(slow)
        self.assertTrue(rest)
        self.cli.lose()
        slow.transport.producer.resumeProducing()
        slow.read()
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1011)
        self.assertIn("cut short", slow.closed[1])
