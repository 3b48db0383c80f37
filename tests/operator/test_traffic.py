"""`apptuner_relay.operator.traffic`: alone, and as the clients of a relay increase it."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.traffic import BundleWatch, Histogram, Traffic
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, TEXT
from tests.memory import deflated, masked
from tests.operator.meters_case import MetersCase


class HistogramTest(SynchronousTestCase):
    def test_bounds_are_inclusive(self) -> None:
        histogram = Histogram((1, 10))
        for value in (0, 1, 1.5, 10, 11):
            histogram.observe(value)
        self.assertEqual(histogram.cumulative(), [2, 4, 5])
        self.assertEqual((histogram.count, histogram.total), (5, 23.5))

    @given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 100), unique=True).map(sorted))
    def test_each_bucket_counts_all_up_to_its_bound(
        self, values: list[float], bounds: list[float]
    ) -> None:
        histogram = Histogram(bounds)
        for value in values:
            histogram.observe(value)
        expected = [sum(value <= bound for value in values) for bound in bounds]
        self.assertEqual(histogram.cumulative(), [*expected, len(values)])


class BundleTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.traffic = Traffic()
        self.now_s = 100.0
        self.watch = BundleWatch(self.traffic, lambda: self.now_s)

    def message(self, kind: str | None, size: int, head: bytes = b"", takes_s: float = 1) -> None:
        self.watch.begins(kind, head)
        self.now_s += takes_s
        self.watch.ends(size)

    def start(self, chunks: int) -> None:
        head = b'{"type":"bundle_start","totalChunks": %d,"totalSize":9}' % chunks
        self.message("bundle_start", 60, head)

    def assertBundles(self, count: int, size: int) -> None:
        self.assertEqual((self.traffic.bundles, self.traffic.bundle_bytes), (count, size))

    def test_one_message(self) -> None:
        self.message("bundle_update", 5000)
        self.assertBundles(1, 5000)
        self.assertEqual(self.traffic.bundle_durations.total, 1)

    def test_chunks_are_one_bundle_when_the_last_has_come(self) -> None:
        self.start(3)
        self.message("bundle_chunk", 500)
        self.message("console_log", 7000)
        self.message("bundle_chunk", 500)
        self.assertBundles(0, 0)
        self.message("bundle_chunk", 100)
        self.assertBundles(1, 1160)
        self.assertEqual(self.traffic.bundle_durations.total, 5)

    def test_chunks_beyond_those_announced_are_nothing(self) -> None:
        self.message("bundle_chunk", 500)
        self.start(1)
        self.message("bundle_chunk", 500)
        self.message("bundle_chunk", 500)
        self.assertBundles(1, 560)

    def test_a_bundle_that_begins_anew(self) -> None:
        self.start(3)
        self.message("bundle_chunk", 500)
        self.start(2)
        self.message("bundle_chunk", 10)
        self.message("bundle_chunk", 10)
        self.assertBundles(1, 80)

    def test_what_is_no_bundle(self) -> None:
        for kind in ("console_log", "reload", None):
            self.message(kind, 100)
        self.message("bundle_start", 60, b'{"type":"bundle_start"}')
        self.message("bundle_chunk", 60)
        self.assertBundles(0, 0)

    def test_a_clock_that_is_put_back(self) -> None:
        self.message("bundle_update", 5, takes_s=-50)
        self.assertEqual(self.traffic.bundle_durations.total, 0)

    def test_unknown_types_share_a_tally(self) -> None:
        traffic = self.traffic
        self.assertIs(traffic.tally("made-up"), traffic.tally(None))
        self.assertIsNot(traffic.tally("console_log"), traffic.tally(None))
        size = len(traffic.tallies)
        for i in range(100):
            traffic.tally(f"type-{i}").received += 1
        self.assertEqual((len(traffic.tallies), traffic.received), (size, 100))


class TrafficTest(MetersCase):
    def test_a_bundle(self) -> None:
        cli, phones = self.session(phones=2)
        before = self.status()
        text = cli.send(type="bundle_update", payload={"code": "x" * 100_000})
        sent = 0
        for phone in phones:
            sent += len(phone.transport.value())
            phone.read()
        status = self.status()
        self.assertEqual(status["total"]["bundles"], 1)
        self.assertEqual(status["total"]["bundle_bytes"], len(text))
        self.assertEqual(status["last_minute"]["bundles"], 1)
        grown = {key: status["total"][key] - before["total"][key] for key in before["total"]}
        self.assertEqual(grown["bytes_in"], len(masked(TEXT, text)))
        self.assertGreater(grown["bytes_out"], 2 * len(text))
        self.assertLessEqual(grown["bytes_out"], sent)
        self.assertEqual((grown["messages_in"], grown["messages_out"]), (1, 2))
        self.assertEqual(self.tally("bundle_update"), (1, 2))

    def test_a_bundle_byte_by_byte_is_counted_at_its_end(self) -> None:
        cli, _ = self.session()
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 600 + b'"}}'
        wire = masked(TEXT, text[:300], False) + masked(CONTINUATION, text[300:])
        for i in range(len(wire)):
            self.assertEqual(self.meters.counters.traffic.bundles, 0)
            cli.send_raw(wire[i : i + 1])
        self.assertEqual(self.meters.counters.traffic.bundles, 1)
        self.assertEqual(self.meters.counters.traffic.bundle_bytes, len(text))

    def test_a_bundle_that_is_cut_short_is_none(self) -> None:
        cli, _ = self.session()
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","x":"' + b"x" * 5000, False))
        cli.lose()
        self.assertEqual(self.meters.counters.traffic.bundles, 0)
        self.assertEqual(self.tally("bundle_update"), (0, 0))

    def test_a_bundle_for_nobody_is_a_message_but_was_not_passed_on(self) -> None:
        cli, _ = self.session(phones=0)
        cli.send(type="bundle_update", payload={"code": "x" * 5000})
        cli.send(type="bundle_update", payload={"code": "x"})
        self.assertEqual(self.meters.counters.traffic.bundles, 0)
        self.assertEqual(self.tally("bundle_update"), (2, 0))

    def test_a_phone_sends_no_bundles(self) -> None:
        _, (phone,) = self.session()
        phone.send(type="bundle_update", payload={"code": "x" * 5000})
        self.assertEqual(self.meters.counters.traffic.bundles, 0)

    def test_small_bundles_in_one_segment(self) -> None:
        cli, _ = self.session()
        text = b'{"type":"bundle_update","payload":{}}'
        cli.send_raw(masked(TEXT, text) * 3)
        self.assertEqual(self.meters.counters.traffic.bundles, 3)
        self.assertEqual(self.meters.counters.traffic.bundle_bytes, 3 * len(text))

    def test_messages_by_type(self) -> None:
        cli, (one, two) = self.session(phones=2)
        logs = b'{"type":"console_log","payload":{}}'
        one.send_raw(masked(TEXT, logs) * 10 + masked(TEXT, b'{"type":"x"}') + masked(TEXT, logs))
        two.send(type="bundle_ack", success=True)
        two.send(type="ping")
        cli.send(type="console_log", payload={"args": ["x" * 2000]})
        cli.send_raw(masked(BINARY, b"1234"))
        cli.send_raw(masked(TEXT, b"[]"))
        self.assertEqual(self.tally("console_log"), (12, 13))
        self.assertEqual(self.tally("other"), (2, 1))
        self.assertEqual(self.tally("bundle_ack"), (1, 1))
        self.assertEqual(self.tally("ping"), (1, 0))
        self.assertEqual(self.tally("binary"), (1, 2))
        # Three welcomes, two phones announced and listed, a pong and an error.
        self.assertEqual(self.tally("notice"), (0, 9))

    def test_bytes_by_type(self) -> None:
        cli, (one, two) = self.session(phones=2)
        notices = self.tally_bytes("notice")
        logs = b'{"type":"console_log","payload":{}}'
        short, long = b'{"type":"x"}', b'{"type":"x","y":"' + b"y" * 2000 + b'"}'
        one.send_raw(masked(TEXT, logs) * 10 + masked(TEXT, short) + masked(TEXT, logs))
        self.assertEqual(self.tally_bytes("console_log"), (11 * len(logs), 11 * len(logs)))
        wire = masked(TEXT, long[:1000], False) + masked(CONTINUATION, long[1000:])
        for i in range(len(wire)):
            cli.send_raw(wire[i : i + 1])
        self.assertEqual(self.tally_bytes("other"), (len(short + long), len(short) + 2 * len(long)))
        cli.send_raw(masked(BINARY, b"1234"))
        self.assertEqual(self.tally_bytes("binary"), (4, 8))
        self.assertEqual(self.tally_bytes("notice"), notices)
        two.read()
        two.send(type="ping")
        self.assertEqual(
            self.tally_bytes("notice"), (0, notices[1] + len(two.transport.value()) - 2)
        )

    def test_a_long_message_for_nobody_counts_when_it_is_whole(self) -> None:
        cli, _ = self.session(phones=0)
        text = b'{"type":"reload","x":"' + b"x" * 5000
        cli.send_raw(masked(TEXT, text, False))
        self.assertEqual(self.tally("other"), (0, 0))
        cli.send_raw(masked(CONTINUATION, b'"}'))
        self.assertEqual(self.tally("other"), (1, 0))
        self.assertEqual(self.tally_bytes("other"), (len(text) + 2, 0))

    def test_a_compressed_bundle_counts_as_it_came(self) -> None:
        cli = self.relay.connect("/cli/ABC234", deflate=True)
        self.relay.connect("/mobile/ABC234")
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 50_000 + b'"}}'
        payload = deflated(text)
        cli.send_raw(masked(TEXT | COMPRESSED, payload))
        self.assertEqual(self.meters.counters.traffic.bundles, 1)
        self.assertEqual(self.meters.counters.traffic.bundle_bytes, len(payload))
