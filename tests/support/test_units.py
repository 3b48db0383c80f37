"""`apptuner_relay.support.units`: sizes, durations and counts for people."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.units import show_bytes, show_count, show_duration, show_memory


class Units(SynchronousTestCase):
    def test_amounts(self) -> None:
        for count, traffic, memory in (
            (0, "0 B", "0 B"),
            (999, "999 B", "999 B"),
            (1000, "1.0 kB", "1000 B"),
            (1024, "1.0 kB", "1.0 KiB"),
            (999_949, "999.9 kB", "976.5 KiB"),
            (999_950, "1.0 MB", "976.5 KiB"),
            (2**30 - 1, "1.1 GB", "1.0 GiB"),
            (15_400_000, "15.4 MB", "14.7 MiB"),
            (10**12 - 1, "1.0 TB", "931.3 GiB"),
            (2 * 10**15, "2000.0 TB", "1819.0 TiB"),
        ):
            self.assertEqual((show_bytes(count), show_memory(count)), (traffic, memory), count)

    def test_durations(self) -> None:
        for seconds, shown in (
            (0, "0 s"),
            (5.9, "5 s"),
            (60, "1 min 0 s"),
            (720, "12 min 0 s"),
            (3600, "1 h 0 min"),
            (3661, "1 h 1 min"),
            (273_600, "3 d 4 h"),
            (86_400 * 400, "400 d 0 h"),
        ):
            self.assertEqual(show_duration(seconds), shown)

    def test_counts(self) -> None:
        self.assertEqual(show_count(0, "session"), "0 sessions")
        self.assertEqual(show_count(1, "session"), "1 session")
        self.assertEqual(show_count(2, "entry", "entries"), "2 entries")
