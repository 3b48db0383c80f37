"""`apptuner_relay.flow.log_maker`: logs in other forms, of which clients take little."""

import os

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.source import BRIEFLY_S
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.flow.compression import NOISY_BUNDLE, Case, compressed
from tests.memory import Client, finished, masked


class BackPressure(Case):
    """Nothing is kept on a disk here."""

    def sink_of(self, index: int) -> Sink:
        (session,) = self.relay.service.sessions.values()
        return session.mobiles[index].sink

    def form_bytes(self, index: int) -> int:
        """How much is in memory of what a phone follows, in the form that it gets."""
        (follower,) = (one for one in self.sink_of(index)._queue if isinstance(one, Follower))
        return follower.log._storage.memory_bytes

    def sip(self, phone: Client) -> None:
        """Read on until nothing more comes, a little at a time."""
        size = -1
        while size < len(phone.transport.value()):
            size = len(phone.transport.value())
            for _ in range(3):
                phone.transport.producer.pauseProducing()
                phone.transport.producer.resumeProducing()
                self.relay.clock.advance(0.01)

    def test_much_that_inflates_out_of_little_does_not_pile_up(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        text = b'{"type":"bundle_update","payload":"' + b"x" * 40_000_000 + b'"}'
        cli.send_raw(compressed(text) + masked(TEXT, b'{"type":"after"}'))
        self.assertLess(self.form_bytes(0), 2_500_000)
        self.assertLess(self.sink_of(0).waiting, 1000)
        self.relay.clock.advance(0.01)
        self.assertEqual(cli.transport.producerState, "producing")
        self.relay.wait(40)
        self.assertIsNone(ios.closed)
        self.sip(ios)
        self.assertEqual(ios.types(), ["bundle_update", "after"])

    def test_who_takes_nothing_of_a_form_is_cut_while_others_wait_for_it(self) -> None:
        cli, (android, stuck, ios) = self.session("a", "i", "j", deflate="a")
        stuck.transport.producer.pauseProducing()
        text = b'{"type":"bundle_update","payload":"' + b"x" * 40_000_000 + b'"}'
        cli.send_raw(compressed(text))
        self.assertEqual(android.types(), ["bundle_update"])
        self.assertEqual(ios.types(), [])
        self.relay.wait(4)
        stuck.read()
        self.assertEqual((stuck.closed or (0,))[0], 1013)
        self.assertEqual(ios.types(), ["bundle_update"])

    def test_slow_phone_is_judged_among_all_that_the_message_is_for(self) -> None:
        cli, (quick, slow) = self.session("a", "i")
        slow.transport.producer.pauseProducing()
        self.send(cli, masked(TEXT, NOISY_BUNDLE)[:-1])
        self.assertEqual(cli.transport.producerState, "paused")
        for second in range(35):
            self.sink_of(1).written += 100
            self.relay.wait(1)
            for client in (quick, slow):
                client.send(type="ping")
            slow.read()
            self.assertEqual(slow.closed is not None, second >= 29, second)
            if slow.closed:
                break
        self.assertEqual((slow.closed or (0,))[0], 1013)
        self.assertEqual(cli.transport.producerState, "producing")

    def test_many_compressed_messages_do_not_pile_up(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        cli.send(type="bundle_start", totalChunks=2000)
        text = b'{"type":"bundle_chunk","data":"' + b"x" * 60_000 + b'"}'
        for _ in range(200):
            cli.send_raw(compressed(text) * 10)
        self.assertLess(self.form_bytes(0), 2_500_000)
        self.assertLess(self.kept_bytes(cli), 500_000)
        self.sip(ios)
        self.assertEqual(ios.types(), ["bundle_start", *["bundle_chunk"] * 2000])
        self.assertEqual(self.kept_bytes(cli), 0)

    def test_small_message_before_a_bundle_in_one_block(self) -> None:
        cli, (ios,) = self.session("i")
        ios.transport.producer.pauseProducing()
        bundle = b'{"type":"bundle_update","payload":"' + b"x" * 40_000_000 + b'"}'
        cli.send_raw(masked(TEXT, b'{"type":"hi"}') + compressed(bundle))
        self.assertLess(self.sink_of(0).waiting, 500_000)

    def kept_bytes(self, cli: Client) -> int:
        """How much of what the CLI sent is kept in memory; it is held if that is much."""
        (member,) = (one for one in self.relay.service.clients if one.role is Role.CLI)
        kept = member.source._kept_bytes
        self.relay.clock.advance(BRIEFLY_S)
        is_held = cli.transport.producerState == "paused"
        self.assertEqual(is_held, kept > self.relay.service.settings.limits.window)
        return kept

    def test_deflated_for_two_that_do_not_read(self) -> None:
        cli, phones = self.session("a", "b", deflate="ab")
        for phone in phones:
            phone.transport.producer.pauseProducing()
        self.send(cli, masked(TEXT, NOISY_BUNDLE * 3), 100_000)
        self.assertEqual(cli.transport.producerState, "paused")
        # It is in one form or the other; what the connection holds back is not counted.
        self.assertLess(self.kept_bytes(cli), 800_000)
        self.assertEqual([self.sink_of(index).waiting for index in (0, 1)], [0, 0])
        for phone in phones:
            phone.transport.producer.resumeProducing()
            for _ in range(100):
                self.relay.clock.advance(0)
            self.kept_bytes(cli)
        for phone in phones:
            phone.read()
            self.assertEqual(phone.messages, [NOISY_BUNDLE * 3])
        self.assertEqual(self.kept_bytes(cli), 0)

    def test_bundles_that_nobody_has_begun_give_way_to_the_next(self) -> None:
        for deflate in ("ab", "a", ""):
            cli, phones = self.session("a", "b", deflate=deflate)
            for phone in phones:
                phone.transport.producer.pauseProducing()
            for number in range(20):
                cli.send(type="bundle_update", payload={"code": "x" * 200_000, "number": number})
                self.assertEqual(cli.transport.producerState, "producing")
                self.assertLess(self.kept_bytes(cli), 250_000)
            for phone in phones:
                phone.transport.producer.resumeProducing()
                (bundle,) = phone.received()
                self.assertEqual(bundle["payload"]["number"], 19)
            self.assertEqual(self.kept_bytes(cli), 0)
            for client in (cli, *phones):
                client.lose()

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
