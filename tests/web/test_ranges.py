"""`apptuner_relay.web.ranges`: which bytes a Range field asks for."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.ranges import NotSatisfiable, requested_range

sizes = st.integers(0, 50)
positions = st.integers(0, 60)


class Ranges(SynchronousTestCase):
    def test_what_clients_send(self) -> None:
        for field, expected in (
            ("bytes=0-99", range(0, 100)),
            ("bytes=0-0", range(0, 1)),
            ("bytes=500-", range(500, 1000)),
            ("bytes=999-", range(999, 1000)),
            ("bytes=-1", range(999, 1000)),
            ("bytes=-5000", range(0, 1000)),
            ("bytes=0-", range(0, 1000)),
            ("bytes=10-5000", range(10, 1000)),
            ("BYTES= 10-19 ,", range(10, 20)),
            ("bytes=00010-0019", range(10, 20)),
        ):
            self.assertEqual(requested_range(field, 1000), expected, field)

    def test_the_whole(self) -> None:
        for field in (
            *(None, "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=1"),
            *("bytes=9-5", "bytes=1-2-3", "bytes=1 - 2", "bytes=+1-2", "bytes=--1", "bytes=1.5-2"),
            *("bytes=0-1,5-6", "bytes=0-1,,-1", "lines=0-1", "bytes=²-³", "bytes=٣-٤", "0-1"),
        ):
            self.assertIsNone(requested_range(field, 1000), field)

    def test_not_satisfiable(self) -> None:
        for field in ("bytes=1000-", "bytes=1000-1001", "bytes=-0", f"bytes={'9' * 9000}-"):
            with self.assertRaises(NotSatisfiable):
                requested_range(field, 1000)

    def test_of_nothing(self) -> None:
        self.assertIsNone(requested_range("bytes=-5", 0))
        for field in ("bytes=0-", "bytes=0-5", "bytes=-0"):
            with self.assertRaises(NotSatisfiable):
                requested_range(field, 0)

    def test_huge_numbers(self) -> None:
        self.assertEqual(requested_range(f"bytes=5-{'9' * 9000}", 1000), range(5, 1000))
        self.assertEqual(requested_range(f"bytes=-{'9' * 9000}", 1000), range(0, 1000))
        self.assertEqual(requested_range(f"bytes={'0' * 9000}5-7", 1000), range(5, 8))

    @given(sizes, positions, positions)
    def test_first_and_last(self, size: int, first: int, last: int) -> None:
        wanted = [position for position in range(first, last + 1) if position < size]
        field = f"bytes={first}-{last}"
        if last < first:
            self.assertIsNone(requested_range(field, size))
        elif wanted:
            self.assertEqual(list(requested_range(field, size) or ()), wanted)
        else:
            self.assertRaises(NotSatisfiable, requested_range, field, size)

    @given(sizes, positions)
    def test_suffix(self, size: int, length: int) -> None:
        if not length:
            self.assertRaises(NotSatisfiable, requested_range, "bytes=-0", size)
        else:
            part = requested_range(f"bytes=-{length}", size)
            self.assertEqual(list(part or ()), list(range(size))[-length:])

    @given(st.text(st.sampled_from("bytes=-,0129 \t")), sizes)
    def test_anything(self, rest: str, size: int) -> None:
        try:
            part = requested_range("bytes=" + rest, size)
        except NotSatisfiable:
            return
        if part is not None:
            self.assertTrue(0 <= part.start < part.stop <= size, part)
