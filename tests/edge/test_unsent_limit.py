"""How much may be unsent of a connection, by how fast its peer takes it."""

from twisted.trial.unittest import TestCase

from apptuner_relay.edge.unsent_limit import LITTLE_BYTES, MUCH_BYTES, UnsentLimit


class Limit(TestCase):
    def setUp(self) -> None:
        self.limit = UnsentLimit()
        self.now_s = 1000.0

    def rounds(self, bytes_per_s: float, count: int) -> list[int]:
        """The limits after each of ``count`` times that it was full and had room again."""
        limits = []
        for _ in range(count):
            self.limit.full(self.now_s)
            before = self.limit.bytes
            self.now_s += before / 2 / bytes_per_s
            changed = self.limit.room(self.now_s)
            self.assertEqual(changed, self.limit.bytes != before)
            limits.append(self.limit.bytes)
        return limits

    def test_little_for_a_slow_one(self) -> None:
        self.assertEqual(set(self.rounds(120e3, 100)), {LITTLE_BYTES})

    def test_much_for_one_that_stays_fast(self) -> None:
        limits = self.rounds(20e6, 100)
        self.assertEqual(limits[-1], MUCH_BYTES)
        quick_bytes = limits.count(LITTLE_BYTES) * LITTLE_BYTES // 2
        self.assertLess(quick_bytes, 1024 * 1024)
        self.assertGreater(quick_bytes, 512 * 1024)

    def test_little_for_one_whose_first_bytes_go_into_a_buffer(self) -> None:
        for _ in range(10):
            self.assertEqual(set(self.rounds(1e9, 8)), {LITTLE_BYTES})
            self.assertEqual(set(self.rounds(120e3, 1)), {LITTLE_BYTES})

    def test_little_again_for_one_that_becomes_slow(self) -> None:
        self.rounds(20e6, 100)
        self.assertEqual(self.rounds(120e3, 1), [LITTLE_BYTES])

    def test_room_that_nobody_waited_for_says_nothing(self) -> None:
        self.rounds(20e6, 100)
        self.now_s += 100
        self.assertFalse(self.limit.room(self.now_s))
        self.assertEqual(self.limit.bytes, MUCH_BYTES)
