"""`apptuner_relay.meters.traffic`: which messages make a bundle, and how values are counted."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.meters.traffic import BundleWatch, Histogram, Traffic


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
