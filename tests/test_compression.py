"""Compressed messages and big bundles on their ways: `apptuner_relay.ways` and `stages`, with the
protocol on transports in memory."""

import base64
import json
import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow import Sink
from apptuner_relay.wire.chunks import CHUNK_BYTES
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, Relay, deflated, finished, masked

CODE = "".join(
    f"function f{i}(a, b) {{ return a[{i * 7919 % 9973}] + 'é' }}\n" for i in range(9000)
)
BUNDLE = json.dumps({"type": "bundle_update", "payload": {"code": CODE}}, ensure_ascii=False)
TEXT_OF_BUNDLE = BUNDLE.replace(": ", ":").replace(", ", ",").encode()


def compressed(text: bytes) -> bytes:
    """A client's compressed text message, in one frame."""
    return masked(TEXT | COMPRESSED, deflated(text))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()

    def session(self, *phones: str, deflate: str = "") -> tuple[Client, list[Client]]:
        """A CLI that offers compression, and phones; those named in ``deflate`` offer it too."""
        cli = self.relay.connect("/cli/ABC234", deflate=True)
        mobiles = [
            self.relay.connect(f"/mobile/ABC234?deviceId={name}", deflate=name[0] in deflate)
            for name in phones
        ]
        cli.received()
        for phone in mobiles:
            phone.frames.clear()
        return cli, mobiles

    def send(self, client: Client, wire: bytes, step: int = 20_000) -> None:
        for at in range(0, len(wire), step):
            client.send_raw(wire[at : at + step])


class PassedThrough(Case):
    def test_untouched_to_those_who_negotiated(self) -> None:
        cli, (one, two) = self.session("a", "b", deflate="ab")
        self.send(cli, compressed(TEXT_OF_BUNDLE))
        for phone in (one, two):
            phone.read()
            payload = b"".join(frame[2] for frame in phone.frames)
            self.assertEqual(payload, deflated(TEXT_OF_BUNDLE))
            self.assertEqual(phone.frames[0][0], TEXT | COMPRESSED)
            self.assertEqual({frame[0] for frame in phone.frames[1:]}, {CONTINUATION})
            self.assertEqual(phone.messages, [TEXT_OF_BUNDLE])

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
        wire = compressed(TEXT_OF_BUNDLE)
        cli.send_raw(wire[:20_000])
        for phone in phones:
            self.assertGreater(len(phone.transport.value()), 15_000)

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


class Bad(Case):
    def test_bomb_behind_a_final_block(self) -> None:
        start, rest = b'{"type":"bundle_update","payload":"', b"x" * 60_000_000 + b'"}'
        bomb = masked(TEXT | COMPRESSED, finished(start, rest))
        for deflate in ("a", "", "ab"):
            cli, phones = self.session("a", "b", deflate=deflate)
            self.send(cli, bomb, 65_000)
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1009)
            for phone in phones:
                phone.read()
                self.assertEqual(phone.messages, [])

    def test_bomb_ends_its_sender_and_nobody_else_notices(self) -> None:
        bomb = compressed(b'{"type":"bundle_update","payload":"' + b"x" * 60_000_000 + b'"}')
        for deflate in ("a", "", "ab"):
            cli, phones = self.session("a", "b", deflate=deflate)
            dashboard = self.relay.connect("/dashboard/ABC234")
            self.send(cli, bomb, 65_000)
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1009)
            for client in (*phones, dashboard):
                client.read()
                self.assertIsNone(client.closed)
            for phone in phones:
                self.assertEqual(phone.frames, [])
            cli.lose()
            cli = self.relay.connect("/cli/ABC234", deflate=True)
            cli.send(type="reload")
            for phone in phones:
                self.assertEqual(phone.types(), ["reload"])
                phone.lose()

    def test_phone_cannot_bomb_the_desktop_side(self) -> None:
        varied = b'{"type":"x","y":"'
        varied += b"".join(b"%d %d " % (i, i * i) * 99 for i in range(40_000))
        _cli, (phone,) = self.session("a", deflate="a")
        self.send(phone, compressed(varied), 65_000)
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1009)

    def test_what_cannot_be_inflated(self) -> None:
        for deflate in ("a", ""):
            cli, (phone,) = self.session("a", deflate=deflate)
            payload = deflated(TEXT_OF_BUNDLE)
            noise = bytes(i * 31 % 256 for i in range(len(payload) // 2))
            self.send(cli, masked(TEXT | COMPRESSED, b"\x07" + noise + payload))
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1007)
            phone.read()
            self.assertIsNone(phone.closed)
            phone.lose()

    def test_bad_text_is_found_where_it_is_inflated(self) -> None:
        cli, (phone,) = self.session("i")
        self.send(cli, compressed(b'{"type":"x","y":"' + b"\xff" * 5000))
        cli.read()
        self.assertEqual((cli.closed or (0,))[0], 1007)
        phone.read()
        self.assertIsNone(phone.closed)

    def test_sender_dies_in_mid_message(self) -> None:
        cli, phones = self.session("a", "i", deflate="a")
        cli.send_raw(compressed(TEXT_OF_BUNDLE)[:20_000])
        cli.lose()
        for phone in phones:
            phone.read()
            self.assertEqual((phone.closed or (0,))[0], 1011)


class BackPressure(Case):
    def test_much_that_inflates_out_of_little_does_not_pile_up(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        text = b'{"type":"bundle_update","payload":"' + b"x" * 40_000_000 + b'"}'
        cli.send_raw(compressed(text) + masked(TEXT, b'{"type":"after"}'))
        self.assertEqual(cli.transport.producerState, "paused")
        sink = next(iter(self.relay.service.sessions.values())).mobiles[0].sink
        self.assertLess(sink.waiting, 600_000)
        for _ in range(5000):
            ios.transport.producer.resumeProducing()
            self.relay.clock.advance(0)
            if cli.transport.producerState == "producing":
                break
            ios.transport.producer.pauseProducing()
        ios.transport.producer.resumeProducing()
        got = ios.types()
        self.assertEqual(got, ["bundle_update", "after"])

    def test_slow_phone_is_judged_among_all_that_the_message_is_for(self) -> None:
        cli, (android, ios) = self.session("a", "i", deflate="a")
        ios.transport.producer.pauseProducing()
        bundle = compressed(TEXT_OF_BUNDLE)
        for _ in range(4):
            self.send(cli, bundle)
        self.assertEqual(cli.transport.producerState, "paused")
        sink = next(iter(self.relay.service.sessions.values())).mobiles[1].sink
        for _ in range(35):
            sink.written += 100
            self.relay.wait(1)
            for client in (android, ios):
                client.send(type="ping")
        ios.read()
        self.assertEqual((ios.closed or (0,))[0], 1013)
        self.assertEqual(cli.transport.producerState, "producing")


class StagesHold(Case):
    def sink_of(self, index: int) -> Sink:
        (session,) = self.relay.service.sessions.values()
        return session.mobiles[index].sink

    def test_many_compressed_messages_do_not_pile_up(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        cli.send(type="bundle_start", totalChunks=2000)
        text = b'{"type":"bundle_chunk","data":"' + b"x" * 60_000 + b'"}'
        for _ in range(200):
            cli.send_raw(compressed(text) * 10)
        self.assertEqual(cli.transport.producerState, "paused")
        self.assertLess(self.sink_of(0).waiting, 500_000)
        for _ in range(20_000):
            ios.transport.producer.resumeProducing()
            self.relay.clock.advance(0)
            if cli.transport.producerState == "producing":
                break
        self.assertEqual(ios.types(), ["bundle_start", *["bundle_chunk"] * 2000])

    def test_small_message_before_a_bundle_in_one_block(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        bundle = b'{"type":"bundle_update","payload":"' + b"x" * 40_000_000 + b'"}'
        cli.send_raw(masked(TEXT, b'{"type":"hi"}') + compressed(bundle))
        self.assertLess(self.sink_of(0).waiting, 500_000)

    def test_deflated_for_two_that_do_not_read(self) -> None:
        cli, phones = self.session("a", "b", deflate="ab")
        for phone in phones:
            phone.transport.producer.pauseProducing()
        noise = "".join(chr(33 + i * i % 7919 % 90) for i in range(300_000))
        for _ in range(20):
            cli.send(type="bundle_update", payload={"code": noise})
        self.assertEqual(cli.transport.producerState, "paused")
        self.assertLess(self.sink_of(0).waiting, 700_000)

    def test_noise_behind_a_final_block_ends_its_sender(self) -> None:
        cli, (ios,) = self.session("i")
        payload = finished(b'{"type":"x"}')[:-1] + b"\x06\xff\xff" + os.urandom(3_000_000)
        self.send(cli, masked(TEXT | COMPRESSED, payload), 65_000)
        cli.read()
        self.assertEqual((cli.closed or (0,))[0], 1007)
        self.assertEqual(ios.types(), [])
        self.assertIsNone(ios.closed)

    def test_bad_text_from_a_phone_reaches_nobody(self) -> None:
        cli, (phone,) = self.session("a", deflate="a")
        phone.send_raw(compressed(b'{"type":"x","y":"\xff"}'))
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1007)
        self.assertNotIn("x", cli.types())
        self.assertIsNone(cli.closed)


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
