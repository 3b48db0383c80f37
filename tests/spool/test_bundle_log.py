"""`apptuner_relay.spool.bundle_log`: one bundle in each form, for phones that are behind."""

import json

from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.memory import Client, deflated, masked
from tests.spool.cases import SlowCase, Spooled, brief, some_code

CODE = some_code(3_000_000)


class SlowPhone(SlowCase):
    """A phone that takes little holds nobody, and gets all of it later."""

    text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(600_000)}}).encode()

    def test_gets_the_rest_from_the_spool(self) -> None:
        slow = self.join_slow()
        self.leave_behind(self.text, slow)
        self.assertTexts(self.texts(self.quick), [self.text])
        self.assertTexts(self.drink(slow), [self.text])
        self.assertIsNone(slow.closed)

    def test_gets_it_though_the_disk_is_late(self) -> None:
        slow = self.join_slow()
        self.disk.patient = True
        self.leave_behind(self.text, slow)
        self.assertTexts(self.drink(slow), [self.text])

    def test_is_at_the_head_again_when_it_has_caught_up(self) -> None:
        slow = self.join_slow()
        took = self.send_in_frames(self.text)
        for _ in range(4):
            next(took)
        self.sip(slow, 300_000)
        before = len(slow.transport.value())
        next(took)
        self.assertGreater(len(slow.transport.value()), before)
        for _ in took:
            pass
        self.assertTexts(self.drink(slow), [self.text])

    def test_gets_it_inflated(self) -> None:
        self.cli = self.connect("cli", deflate=True)
        slow = self.join_slow()
        self.leave_behind(deflated(self.text), slow, TEXT | 0x40)
        self.assertIn(brief(self.text), [brief(one) for one in self.texts(self.quick)])
        self.assertTexts(self.drink(slow), [self.text])

    def test_gets_it_deflated(self) -> None:
        self.connect("mobile", deflate=True)
        slow = self.join_slow(deflate=True)
        self.leave_behind(self.text, slow)
        self.assertTexts(self.drink(slow), [self.text])
        self.assertTrue(any(opcode & 0x40 for opcode, _, _ in slow.frames))

    def test_gets_it_in_chunks(self) -> None:
        code = some_code(1_800_000)
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        slow = self.join_slow("platform=ios&chunks=1")
        whole = self.connect("mobile", "platform=ios")
        self.leave_behind(text, slow)
        self.assertChunks(self.drink(slow), code)
        self.assertTexts(self.texts(whole), [text])

    def test_gets_in_chunks_what_came_compressed(self) -> None:
        self.cli.lose()
        self.cli = self.connect("cli", deflate=True)
        code = "".join(f"line {i} of {i * i}\n" for i in range(120_000))
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        slow = self.join_slow("platform=ios&chunks=1")
        self.leave_behind(deflated(text), slow, TEXT | 0x40)
        self.assertChunks(self.drink(slow), code)

    def assertChunks(self, texts: list[bytes], code: str) -> None:
        start, *chunks = (json.loads(text) for text in texts)
        self.assertEqual(start["totalChunks"], len(chunks))
        self.assertEqual([chunk["index"] for chunk in chunks], list(range(len(chunks))))
        self.assertTrue("".join(chunk["data"] for chunk in chunks) == code)

    def test_gets_a_series_and_what_came_between_and_behind(self) -> None:
        slow = self.join_slow()
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        for index in range(6):
            self.sip(slow, 30_000)
            sent.append(self.chunk(self.cli, code, 6, index))
            sent.append(self.cli.send(type="note", n=index))
            self.assertNotHeld()
        sent.append(self.cli.send(type="reload"))
        self.assertTexts(self.texts(self.quick), sent)
        self.assertTexts(self.drink(slow), sent)
        text = self.bundle(self.cli, "and is at the head again")
        self.assertTexts(self.texts(slow), [text])

    def test_gets_what_is_long_between_or_behind_a_series(self) -> None:
        slow = self.join_slow()
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        for index in range(6):
            self.sip(slow, 30_000)
            sent.append(self.chunk(self.cli, code, 6, index))
            sent.append(self.cli.send(type="asset", data="x" * 100_000, n=index))
            self.assertNotHeld()
        self.assertTexts(self.texts(self.quick), sent)
        got = self.drink(slow)
        for is_asset in (True, False):
            among = [[one for one in all_ if (b"asset" in one) is is_asset] for all_ in (got, sent)]
            self.assertTexts(*among)

    def test_gets_a_long_message_that_nobody_keeps(self) -> None:
        slow = self.join_slow(room=100_000)
        sent = [self.cli.send(type="asset", data="x" * 700_000, n=n) for n in range(2)]
        self.assertNotHeld()
        self.assertTexts(self.texts(self.quick), sent)
        self.relay.wait(5)
        self.assertTexts(self.drink(slow), sent)
        # What they were stored in is free again.
        self.assertEqual(len(self.store._counted), 0)

    def test_a_newer_bundle_takes_the_place_of_what_it_has_not_begun(self) -> None:
        slow = self.join_slow(room=10)
        sent = []
        for number in range(4):
            sent.append(self.bundle(self.cli, some_code(100_000, number)))
            self.assertNotHeld()
        self.assertTexts(self.texts(self.quick), sent)
        self.assertTexts(self.drink(slow), [sent[0], sent[-1]])

    def test_a_newer_bundle_stops_a_series_between_its_messages(self) -> None:
        slow = self.join_slow(room=150_000)
        code = some_code(600_000)
        sent = self.start_chunks(self.cli, code, 6)
        for index in range(6):
            sent.append(self.chunk(self.cli, code, 6, index))
            self.assertNotHeld()
        newer = self.bundle(self.cli, "newer")
        self.assertTexts(self.drink(slow), [*sent[:3], newer])
        self.assertIsNone(slow.closed)

    def test_dies_while_it_is_behind(self) -> None:
        slow = self.join_slow()
        self.leave_behind(self.text, slow)
        slow.lose()
        self.assertTexts(self.texts(self.quick)[:1], [self.text])
        self.assertFalse(next(iter(self.store._latest.values())).in_use)

    def test_dies_while_the_disk_reads_for_it(self) -> None:
        slow = self.join_slow()
        self.leave_behind(self.text, slow)
        bundle = next(iter(self.store._latest.values()))
        self.disk.patient = True
        self.sip(slow)
        self.assertTrue(self.disk.reads)
        slow.lose()
        self.assertTrue(bundle.in_use, "its descriptor may be another file's by now")
        self.disk.give()
        self.assertFalse(bundle.in_use)

    def test_the_cli_dies_while_it_is_behind(self) -> None:
        slow = self.join_slow()
        took = self.send_in_frames(self.text)
        for _ in range(6):
            next(took)
        self.sip(slow)
        self.cli.lose()
        self.drink(slow)
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1011)
        self.assertIn("a message was cut short", slow.closed[1])

    def test_has_begun_nothing_of_what_the_cli_did_not_finish(self) -> None:
        slow = self.join_slow()
        took = self.send_in_frames(self.text)
        for _ in range(6):
            next(took)
        self.cli.lose()
        got = self.drink(slow)
        self.assertFalse(any(b"bundle_" in text for text in got), got)
        self.assertIsNone(slow.closed)


class SharedForm(Spooled):
    def freeze(self, phone: Client) -> None:
        """Its connection takes no more."""
        end = phone.protocol.frame_handler
        assert end is not None
        end.sink.pauseProducing()

    def compressed_bundle(self) -> tuple[bytes, bytes]:
        """The text, and the frame that it comes in."""
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (
            CODE.replace("\n", "-").replace('"', "-").replace("\\", "-").encode()
        )
        return text, masked(TEXT | COMPRESSED, deflated(text, 1))

    def test_who_comes_later_does_not_wait_for_one_that_is_frozen(self) -> None:
        cli = self.connect("cli", deflate=True)
        for query in ("", "platform=ios&chunks=1"):
            self.freeze(self.connect("mobile", query))
        text, data = self.compressed_bundle()
        cli.send_raw(data)
        self.relay.wait(1)
        plain = self.connect("mobile", "replay=1")
        in_chunks = self.connect("mobile", "platform=ios&chunks=1&replay=1")
        self.relay.wait(1)
        for phone in (plain, in_chunks):
            phone.read()
        self.assertTrue(text in plain.messages)
        chunks = [one for one in in_chunks.messages if b'"bundle_chunk"' in one]
        self.assertEqual(len(chunks), json.loads(chunks[0])["totalChunks"])

    def test_one_that_is_frozen_is_cut_where_no_file_can_be_had(self) -> None:
        cli = self.connect("cli", deflate=True)
        frozen, fast = self.connect("mobile"), self.connect("mobile")
        self.freeze(frozen)
        text, data = self.compressed_bundle()
        cli.send_raw(data[:50_000])
        self.disk.stuck_s = 0.1
        cli.send_raw(data[50_000:])
        self.relay.wait(4)
        fast.read()
        self.assertTrue(text in fast.messages)
        frozen.read()
        self.assertEqual(frozen.closed, (1013, "too slow: read nothing for 2 s"))
