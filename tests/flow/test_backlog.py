"""`apptuner_relay.flow.backlog`: what waits, counted by source."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.backlog import Backlog
from apptuner_relay.flow.source import Source

WINDOW = 100


def source() -> Source:
    return Source(lambda: None, lambda: None)


class BacklogTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.backlog = Backlog(WINDOW)

    def test_source_is_to_be_held_above_the_window(self) -> None:
        cli = source()
        self.assertFalse(self.backlog.count(cli, WINDOW))
        self.assertTrue(self.backlog.count(cli, 1))
        self.assertEqual(self.backlog.over, {cli})

    def test_source_is_released_at_the_window(self) -> None:
        cli, other = source(), source()
        self.backlog.count(cli, WINDOW + 1)
        self.backlog.count(other, WINDOW + 2)
        self.assertEqual(self.backlog.take_released(), set())
        self.backlog.count(cli, -1)
        self.assertEqual(self.backlog.take_released(), {cli})
        self.assertEqual((self.backlog.over, self.backlog.take_released()), ({other}, set()))

    def test_nobody_is_held_for_notices(self) -> None:
        self.assertFalse(self.backlog.count(None, 10 * WINDOW))
        self.assertEqual((self.backlog.size_of(None), self.backlog.over), (10 * WINDOW, set()))

    def test_all_are_released_when_nothing_waits_any_more(self) -> None:
        cli = source()
        self.backlog.count(cli, 2 * WINDOW)
        self.backlog.clear()
        self.assertEqual((self.backlog.size, self.backlog.take_released()), (0, {cli}))

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 150)), max_size=20))
    def test_who_is_over_is_who_has_more_than_the_window(
        self, counts: list[tuple[int, int]]
    ) -> None:
        backlog, sources = Backlog(WINDOW), [source() for _ in range(3)]
        sizes = [0, 0, 0]
        for index, size in counts:
            backlog.count(sources[index], size)
            sizes[index] += size
        self.assertEqual(backlog.size, sum(sizes))
        over = {one for one, size in zip(sources, sizes, strict=True) if size > WINDOW}
        self.assertEqual(backlog.over, over)
        for one, size in zip(sources, sizes, strict=True):
            if size:
                backlog.count(one, -size)
        self.assertEqual((backlog.take_released(), backlog.size), (over, 0))
