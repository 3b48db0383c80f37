"""What a seed makes up for `ops/chaos`."""

from chaos_lib.schedule import CLIENT_FAULTS, HOST_FAULTS, Step, plan
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

RELAYS = ["a", "b", "c"]
SEEDS = st.integers(0, 1 << 31)


def made(seed: int, seconds: float = 60) -> list[Step]:
    return plan(seed, seconds, RELAYS, 6, 3)


class PlanTest(SynchronousTestCase):
    @given(SEEDS)
    def test_follows_from_the_seed(self, seed: int) -> None:
        self.assertEqual(made(seed), made(seed))

    @given(SEEDS)
    def test_one_relay_is_left_alone_at_any_time(self, seed: int) -> None:
        # Relays that don't reach each other run, and reach Redis.
        steps = [step for step in made(seed) if step.target in RELAYS and not step.other]
        for step in steps:
            hit = {
                other.target
                for other in steps
                if other.at_s <= step.at_s <= other.at_s + other.lasts_s
            }
            self.assertLess(len(hit), len(RELAYS), step)

    def test_everything_happens(self) -> None:
        kinds = {step.kind for step in made(1, 3600)}
        self.assertEqual(kinds, {"save", *HOST_FAULTS, *CLIENT_FAULTS})

    @given(SEEDS)
    def test_of_few_kinds_as_much_happens(self, seed: int) -> None:
        steps = plan(seed, 60, RELAYS, 6, 3, {"stop"})
        self.assertEqual({step.kind for step in steps}, {"save", "stop"})
        self.assertGreater(sum(step.kind == "stop" for step in steps), 5)

    @given(SEEDS)
    def test_it_ends_in_time(self, seed: int) -> None:
        steps = made(seed)
        self.assertEqual(steps, sorted(steps, key=lambda step: step.at_s))
        self.assertLess(max(step.at_s for step in steps), 60)
