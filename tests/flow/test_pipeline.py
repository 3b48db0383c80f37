"""`apptuner_relay.flow.pipeline`: in which form a message goes to whom."""

import base64
import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.pipeline import Forms, MessageInfo, WireForm, form_for
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.source import PAUSE_S
from apptuner_relay.wire.chunks import CHUNK_BYTES
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.flow.compression import CODE, NOISY_BUNDLE, TEXT_OF_BUNDLE, Case, compressed
from tests.flow.parts import Wire
from tests.flow.writing import Reading, Root
from tests.memory import Client, Relay, deflated, finished, masked


class PassedThrough(Case):
    def test_untouched_to_those_who_negotiated(self) -> None:
        cli, (one, two) = self.session("a", "b", deflate="ab")
        for text, several in ((TEXT_OF_BUNDLE, set()), (NOISY_BUNDLE, {CONTINUATION})):
            self.send(cli, compressed(text))
            for phone in (one, two):
                phone.read()
                payload = b"".join(frame[2] for frame in phone.frames)
                self.assertEqual(payload, deflated(text))
                self.assertEqual(phone.frames[0][0], TEXT | COMPRESSED)
                self.assertEqual({frame[0] for frame in phone.frames[1:]}, several)
                self.assertEqual(phone.messages.pop(), text)
                phone.frames.clear()

    def test_inflated_for_the_others(self) -> None:
        cli, (android, ios) = self.session("a", "i", deflate="a")
        for step in (20_000, 1000, 7):
            self.send(cli, compressed(TEXT_OF_BUNDLE), step)
            for phone in (android, ios):
                phone.read()
                self.assertEqual(phone.messages.pop(), TEXT_OF_BUNDLE)
        self.assertEqual({frame[0] for frame in ios.frames}, {TEXT, CONTINUATION})

    def test_first_piece_leaves_before_the_last_has_come(self) -> None:
        cli, phones = self.session("a", "i", deflate="a")
        wire = compressed(NOISY_BUNDLE)
        cli.send_raw(wire[:200_000])
        for phone in phones:
            self.assertGreater(len(phone.transport.value()), 150_000)
            phone.transport.clear()
        cli.send_raw(wire[200_000:210_000])
        self.assertEqual(phones[0].transport.value(), b"")
        self.relay.clock.advance(PAUSE_S)
        self.assertGreater(len(phones[0].transport.value()), 9_000)

    def test_small_compressed_messages(self) -> None:
        cli, (android, ios) = self.session("a", "i", deflate="a")
        cli.send_raw(compressed(b'{"type":"ping"}'))
        cli.send_raw(compressed(b'{"type":"reload","targetDeviceId":"i"}'))
        cli.send_raw(compressed(b"{nope"))
        cli.send_raw(compressed(b'{"type":"x"}') + compressed(b'{"type":"y"}'))
        self.assertEqual(cli.types(), ["pong", "error"])
        self.assertEqual(android.types(), ["x", "y"])
        self.assertEqual(ios.types(), ["reload", "x", "y"])

    def test_several_finished_streams_are_one_message(self) -> None:
        cli, (android, ios) = self.session("a", "i", deflate="a")
        text = b'{"type":"reload","targetDeviceId":"i","why":"the second stream is here"}'
        payload = finished(text[:25], text[25:40], text[40:])
        cli.send_raw(masked(TEXT | COMPRESSED, payload))
        third = -(-len(TEXT_OF_BUNDLE) // 3)
        bundle = finished(*(TEXT_OF_BUNDLE[at : at + third] for at in (0, third, 2 * third)))
        for step in (20_000, 1000):
            self.send(cli, masked(TEXT | COMPRESSED, bundle), step)
        ios.read()
        self.assertEqual(ios.messages, [text, TEXT_OF_BUNDLE, TEXT_OF_BUNDLE])
        android.read()
        self.assertEqual(b"".join(frame[2] for frame in android.frames), bundle * 2)

    def test_every_finished_stream_of_a_log_reaches_the_desktop_side(self) -> None:
        cli, (android,) = self.session("a", deflate="a")
        dashboard = self.relay.connect("/dashboard/ABC234")
        dashboard.received()
        text = b'{"type":"console_log","payload":{"level":"log","args":["and the end"]}}'
        android.send_raw(masked(TEXT | COMPRESSED, finished(text[:30], text[30:])))
        for client in (cli, dashboard):
            client.read()
            self.assertEqual(client.messages.pop(), text)

    def test_compressed_from_a_phone(self) -> None:
        cli, (android,) = self.session("a", deflate="a")
        dashboard = self.relay.connect("/dashboard/ABC234")
        dashboard.received()
        android.send_raw(compressed(b'{"type":"console_log","payload":"%b"}' % (b"x" * 900)))
        for client in (cli, dashboard):
            self.assertEqual(client.types(), ["console_log"])

    def test_order_with_plain_messages_around(self) -> None:
        cli, (android, ios) = self.session("a", "i", deflate="a")
        wire = masked(TEXT, b'{"type":"1"}') + compressed(TEXT_OF_BUNDLE)
        self.send(cli, wire + masked(TEXT, b'{"type":"3"}') + compressed(b'{"type":"4"}'))
        for phone in (android, ios):
            self.assertEqual(phone.types(), ["1", "bundle_update", "3", "4"])

    def test_off(self) -> None:
        self.relay = Relay(compression=False)
        cli, (phone,) = self.session("a", deflate="a")
        self.assertNotIn(b"permessage-deflate", cli.head + phone.head)
        cli.send_raw(compressed(b'{"type":"x"}'))
        cli.read()
        self.assertEqual((cli.closed or (0,))[0], 1002)


class CompressedHere(Case):
    def test_once_for_several(self) -> None:
        cli, (one, two, ios) = self.session("a", "b", "i", deflate="ab")
        self.send(cli, masked(TEXT, TEXT_OF_BUNDLE))
        for phone in (one, two, ios):
            phone.read()
            self.assertEqual(phone.messages, [TEXT_OF_BUNDLE])
        self.assertEqual(one.frames, two.frames)
        size = sum(len(frame[2]) for frame in one.frames)
        self.assertLess(size, len(TEXT_OF_BUNDLE) / 3)
        self.assertEqual(ios.frames[0][0], TEXT)

    def test_plain_for_one(self) -> None:
        cli, (one,) = self.session("a", deflate="a")
        self.send(cli, masked(TEXT, TEXT_OF_BUNDLE))
        one.read()
        self.assertEqual(one.frames[0][0], TEXT)
        self.assertEqual(one.messages, [TEXT_OF_BUNDLE])


class Chunks(Case):
    QUERY = "&platform=ios&chunks=1"

    def joined(self, phone: Client) -> tuple[str, list[str]]:
        """The joined code, and the types of all that came."""
        got = phone.received()
        parts = [one for one in got if one["type"] == "bundle_chunk"]
        self.assertEqual([one["index"] for one in parts], list(range(parts[0]["totalChunks"])))
        return "".join(one["data"] for one in parts), [one["type"] for one in got]

    def setUp(self) -> None:
        super().setUp()
        self.code = CODE * 4
        self.text = json.dumps(
            {"type": "bundle_update", "payload": {"code": self.code}}, separators=(",", ":")
        ).encode()

    def test_single_message_arrives_in_chunks(self) -> None:
        cli, (plain, chunked) = self.session("p", "i" + self.QUERY)
        for wire in (masked(TEXT, self.text), compressed(self.text)):
            self.send(cli, wire + masked(TEXT, b'{"type":"after"}'))
            code, types = self.joined(chunked)
            self.assertEqual(code, self.code)
            self.assertEqual((types[0], types[-1]), ("bundle_start", "after"))
            plain.read()
            self.assertEqual(plain.messages[0], self.text)
            plain.messages.clear()

    def count(self, text: bytes, block: int = 65_536) -> int:
        """How many messages a compressed bundle becomes, of which all must arrive."""
        cli, (phone,) = self.session("i" + self.QUERY)
        self.send(cli, compressed(text) + masked(TEXT, b'{"type":"after"}'), block)
        code, types = self.joined(phone)
        self.assertEqual(code, json.loads(text)["payload"]["code"])
        for client in (cli, phone):
            client.lose()
        return len(types) - 1

    def test_compressed_one_becomes_about_as_many_messages_as_its_size_asks_for(self) -> None:
        source = random.Random(5)
        names = ["".join(source.choices("abcdefghijklmnop", k=7)) for _ in range(3000)]
        for words in (60_000, 150_000, 300_000):
            code = " ".join(source.choices(names, k=words))
            text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
            for block in (20_000, 500_000):
                self.assertLessEqual(self.count(text, block), len(text) / CHUNK_BYTES * 1.1 + 8)

    @settings(deadline=None, max_examples=20)
    @given(
        st.lists(st.tuples(st.booleans(), st.integers(1, 1_500_000)), min_size=1, max_size=4),
        st.sampled_from([7_000, 65_536, 500_000]),
    )
    def test_compressed_one_of_any_make_becomes_few_more(
        self, make: list[tuple[bool, int]], block: int
    ) -> None:
        source = random.Random(7)
        code = "".join(
            "x" * size if same else base64.b64encode(source.randbytes(size * 3 // 4)).decode()
            for same, size in make
        )
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        if len(deflated(text)) > 64 * 1024:
            self.assertLessEqual(self.count(text, block), len(text) / CHUNK_BYTES + 72)

    def test_small_one_stays_whole(self) -> None:
        cli, (phone,) = self.session("i" + self.QUERY)
        cli.send(type="bundle_update", payload={"code": "x" * 100_000})
        self.assertEqual(phone.types(), ["bundle_update"])

    def test_off(self) -> None:
        self.relay = Relay(split_bundles=False)
        cli, (phone,) = self.session("i" + self.QUERY)
        self.send(cli, masked(TEXT, self.text))
        self.assertEqual(phone.types(), ["bundle_update"])

    def test_without_chunks_frames_are_small(self) -> None:
        cli, phones = self.session("i&platform=ios", "j&platform=ios", deflate="j")
        for wire in (masked(TEXT, self.text), compressed(self.text)):
            cli.send_raw(wire)
            for phone in phones:
                phone.read()
                self.assertEqual(phone.messages.pop(), self.text)
                self.assertLessEqual(max(len(frame[2]) for frame in phone.frames), 256 * 1024)

    def test_pong_comes_between_chunks(self) -> None:
        cli, (phone,) = self.session("i" + self.QUERY)
        wire = masked(TEXT, self.text)
        self.send(cli, wire[: len(wire) // 2])
        phone.send(type="ping")
        self.send(cli, wire[len(wire) // 2 :])
        code, types = self.joined(phone)
        self.assertEqual(code, self.code)
        self.assertNotIn(types.index("pong"), (0, len(types) - 1))

    def test_bundle_without_an_end_is_no_bundle(self) -> None:
        cli, (phone,) = self.session("i" + self.QUERY)
        self.send(cli, masked(TEXT, self.text[:-10]))
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1011)
        cli.read()
        self.assertIsNone(cli.closed)


class Somebody:
    """A recipient."""

    def __init__(self, chunks: bool = False, deflates: bool = False) -> None:
        self.chunks = chunks
        self.deflates = deflates
        self.sink = Sink(Wire(), lambda *_: None, 1, SlowConsumers(1, 1, lambda: 0.0))


def message(
    compressed: bool = False, size: int | None = 2 << 20, kind: str = "bundle_update"
) -> MessageInfo:
    head = b'{"type":"bundle_update","payload":{"code":"'
    opcode = TEXT | COMPRESSED if compressed else TEXT
    return MessageInfo(opcode, kind, head, size, 50 << 20, False, 0)


class FormFor(SynchronousTestCase):
    def test_plain_message(self) -> None:
        for deflates in (False, True):
            one = Somebody(deflates=deflates)
            self.assertIs(form_for(one, message()), WireForm.ORIGINAL)

    def test_plain_message_that_is_compressed_for_those_who_take_that(self) -> None:
        forms = [form_for(Somebody(deflates=one), message(), True) for one in (False, True)]
        self.assertEqual(forms, [WireForm.ORIGINAL, WireForm.DEFLATED])

    def test_compressed_message(self) -> None:
        forms = [form_for(Somebody(deflates=one), message(True)) for one in (False, True)]
        self.assertEqual(forms, [WireForm.INFLATED, WireForm.ORIGINAL])

    def test_plain_message_of_a_log_in_which_others_may_be_compressed(self) -> None:
        forms = [
            form_for(Somebody(deflates=one), message(), more_may_be_compressed=True)
            for one in (False, True)
        ]
        self.assertEqual(forms, [WireForm.INFLATED, WireForm.ORIGINAL])

    def test_big_bundle_for_those_who_want_chunks(self) -> None:
        one = Somebody(chunks=True)
        self.assertIs(form_for(one, message()), WireForm.CHUNKS)
        self.assertIs(form_for(one, message(size=None)), WireForm.CHUNKS)
        self.assertIs(form_for(one, message(size=1 << 20)), WireForm.ORIGINAL)
        self.assertIs(form_for(one, message(True, 65 << 10)), WireForm.CHUNKS)
        self.assertIs(form_for(one, message(True, 64 << 10)), WireForm.INFLATED)
        self.assertIs(form_for(one, message(kind="console_log")), WireForm.ORIGINAL)


class FormsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.made: list[WireForm] = []
        self.original = Log(Root(), 1000)
        self.forms = Forms(self.original, self.make)

    def make(self, form: WireForm) -> Log:
        self.made.append(form)
        return Log(Root(), 1000)

    def test_original_is_the_log_itself(self) -> None:
        self.assertIs(self.forms.take(WireForm.ORIGINAL), self.original)
        self.assertEqual(self.made, [])

    def test_form_is_made_once_for_all_who_read_it(self) -> None:
        log = self.forms.take(WireForm.INFLATED)
        Reading(log)
        self.assertIs(self.forms.take(WireForm.INFLATED), log)
        self.assertIsNot(self.forms.take(WireForm.CHUNKS), log)
        self.assertEqual(self.made, [WireForm.INFLATED, WireForm.CHUNKS])

    def test_form_is_made_again_when_nobody_reads_it_any_more(self) -> None:
        log = self.forms.take(WireForm.INFLATED)
        log.detach(Reading(log))
        self.assertIsNot(self.forms.take(WireForm.INFLATED), log)
