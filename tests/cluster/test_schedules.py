"""Anything may happen to a cluster, in any order. When it is over, everybody meets again, each
session has one owner, and each message has come or somebody was told."""

import os
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cluster.harness import KEY, ClusterCase, ClusterRelay
from tests.cluster.people import Cli, World
from tests.cluster.redis_model import HOST as REDIS
from tests.memory_store import MemoryStore

NAMES = "abc"
CALM_S = 30.0
"""After so long without a fault all is well again: a lease's time, what the failure detector needs,
and what clients wait before they come back."""
RESTART_S = 2.0

relay = st.sampled_from(NAMES)
host = st.sampled_from((*NAMES, REDIS))
person = st.sampled_from(("cli", "p1", "p2", "page"))
wait = st.sampled_from((0.0, 0.05, 0.3, 1.0, 3.0))
delay = st.sampled_from((0.0, 0.1, 0.3))

traffic = st.one_of(
    st.tuples(st.just("talk"), person),
    st.tuples(st.just("save"), st.sampled_from((100, 5_000, 200_000))),
    st.tuples(st.just("begin_to_save"), st.sampled_from((100, 100_000))),
    st.tuples(st.just("leave"), person),
    st.tuples(st.just("vanish"), person),
)
network = st.one_of(
    st.tuples(st.just("reset"), relay, relay),
    st.tuples(st.just("part"), host, host),
    st.tuples(st.just("join")),
    st.tuples(st.just("delay"), delay),
    st.tuples(st.just("jitter"), st.integers(0, 1000)),
)
directory = st.one_of(
    st.tuples(st.just("stop_redis")),
    st.tuples(st.just("start_redis")),
    st.tuples(st.just("empty_redis")),
    st.tuples(st.just("evict")),
)
processes = st.one_of(
    *[st.tuples(st.just("stop"), relay)] * 3,
    st.tuples(st.just("kill"), relay),
)

Step = tuple[tuple[Any, ...], float]
"""What happens, and how many seconds pass then."""
seeds = st.integers(0, 99)
"""By which people choose their relays."""
explored = settings(
    max_examples=int(os.environ.get("SCHEDULES", "15")),
    # A schedule takes a second, and is told whole when it fails.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def schedules(*kinds: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[list[Step]]:
    """What may happen, of these kinds."""
    return st.lists(st.tuples(st.one_of(*kinds), wait), min_size=3, max_size=14)


class Schedule:
    """What may happen, by name."""

    def __init__(self, case: ClusterCase, pick: random.Random) -> None:
        self.case = case
        self.cluster = case.cluster
        self.network, self.redis = case.network, case.redis
        self.world = World(case.cluster, pick)
        self.stopping: set[str] = set()
        # Connections overtake each other.
        self.network.make_delay = lambda: pick.choice((0.0, 0.01, 0.05, self.network.delay_s))
        self.store = pick.choice((None, MemoryStore))
        for name in NAMES:
            self._start(name)
        for role, name in (
            ("mobile", "p1"),
            ("cli", "cli"),
            ("mobile", "p2"),
            ("dashboard", "page"),
        ):
            self.world.add(role, name)
            self.world.run(0.3)

    def do(self, step: tuple[Any, ...]) -> None:
        """The next of it."""
        what, *args = step
        action: Callable[..., None] = getattr(self, what)
        action(*args)

    def talk(self, name: str) -> None:
        self.world.people[name].talk()

    def save(self, size: int) -> None:
        self._cli.save(size)

    def begin_to_save(self, size: int) -> None:
        self._cli.begin_to_save(size)

    def leave(self, name: str) -> None:
        self.world.people[name].leave()

    def vanish(self, name: str) -> None:
        self.world.people[name].vanish()

    def reset(self, one: str, other: str) -> None:
        if not self.stopping & {one, other}:
            self.network.reset(one, other)

    def part(self, one: str, other: str) -> None:
        if one != other and not self.stopping & {one, other}:
            self.network.part(one, other)

    def join(self) -> None:
        self.network.join_all()

    def delay(self, seconds: float) -> None:
        self.network.delay_s = seconds

    def jitter(self, seed: int) -> None:
        """Connections have delays of their own from now on: they overtake each other."""
        source = random.Random(seed)
        for wire in self.cluster.wires:
            wire.delay_s = source.choice((0.0, 0.01, 0.05, 0.25))
        for link in self.redis.links:
            link.delay_s = source.choice((0.0, 0.01, 0.05, 0.25))

    def stop_redis(self) -> None:
        self.redis.stop()

    def start_redis(self) -> None:
        self.redis.start()

    def empty_redis(self) -> None:
        self.redis.model.empty()

    def evict(self) -> None:
        self.redis.model.evict(KEY)

    def stop(self, name: str) -> None:
        """A client that is closed with 1012 takes what it has sent for delivered. A relay that is
        cut off can't keep that promise, so it is killed instead."""
        relay = self.cluster.relays[name]
        if any(self.network.is_parted(name, other) for other in (*NAMES, REDIS)):
            self.kill(name)
        elif not relay.is_dead and name not in self.stopping:
            self.stopping.add(name)
            relay.end().addCallback(lambda _: self._over(relay))

    def kill(self, name: str) -> None:
        relay = self.cluster.relays[name]
        if not relay.is_dead and name not in self.stopping:
            self.cluster.kill(relay, at_once=False)
            self._over(relay)

    def calm(self) -> None:
        """Nothing more happens."""
        self.network.join_all()
        self.network.delay_s = 0.0
        self.network.make_delay = lambda: 0.0
        self.redis.start()
        self.world.is_busy = False
        self.world.run(CALM_S)

    @property
    def _cli(self) -> Cli:
        cli = self.world.people["cli"]
        assert isinstance(cli, Cli)
        return cli

    def _over(self, relay: ClusterRelay) -> None:
        self.stopping.discard(relay.name)
        for one in self.world.people.values():
            if one.relay is relay:
                one.cut()
        self.cluster.clock.callLater(RESTART_S, self._start, relay.name)

    def _start(self, name: str) -> None:
        self.cluster.relay(name, self.store, drain_timeout=5, bundle_ttl=10)


class SchedulesTest(ClusterCase):
    def play(self, steps: list[Step], seed: int, talk_s: float = 0.2) -> None:
        self.played = f"play({steps}, {seed})"
        self.make_cluster()
        schedule = Schedule(self, random.Random(seed))
        world = schedule.world
        world.talk_s = talk_s
        world.run(1)
        for step, wait_s in steps:
            schedule.do(step)
            world.run(wait_s)
        schedule.calm()
        self.assertAllWell(schedule)
        self.assertAllTold(schedule)
        self.assertNothingLeft(schedule)

    def assertAllWell(self, schedule: Schedule) -> None:
        """Everybody is connected, and everybody's session is one and the same."""
        world = schedule.world
        for person in world.people.values():
            is_in = person.client is not None and person.is_welcome
            self.assertTrue(is_in, f"{person.name} is not connected: {self.played}")
        alive = [one for one in self.cluster.relays.values() if not one.is_dead]
        self.assertEqual(
            [one.name for one in alive if KEY in one.service.sessions], [self.owner], self.played
        )
        for person in world.people.values():
            person.talk()
        schedule._cli.save()
        world.run(1)
        for name, others in (
            ("cli", ("p1", "p2")),
            ("p1", ("cli", "page")),
            ("p2", ("cli", "page")),
        ):
            sender = world.people[name]
            for other in others:
                got = world.history.connections[world.people[other].conn].got
                said = [n for who, n in got if who == sender.conn]
                self.assertTrue(said, f"{other} hears nothing of {name}: {self.played}")
        running = {"p1": world.version, "p2": world.version}
        self.assertEqual(world.history.running, running, self.played)

    def assertAllTold(self, schedule: Schedule) -> None:
        world = schedule.world
        world.run(2)
        violations = world.history.judge().violations
        self.assertEqual(violations[:5], [], self.played)

    def assertNothingLeft(self, schedule: Schedule) -> None:
        """When all have gone nothing is kept, and nobody waited for."""
        world = schedule.world
        world.run(3)
        for person in world.people.values():
            person.leave()
        world.people.clear()
        self.turn(30)
        self.assertIsNone(self.owner, self.played)
        for one in self.cluster.relays.values():
            if not one.is_dead:
                self.assertEqual(one.service.sessions, {})
                self.assertEqual(one.placement.bridged_count, 0)
                self.assertEqual(one.placement.directory.held(), [])
                self.assertFalse(one.store is not None and one.store.keeps(KEY))

    @explored
    @given(st.permutations(NAMES), st.sampled_from((0.1, 0.3)), st.sampled_from((4.0, 7.0)), seeds)
    def test_a_rolling_restart(
        self, names: list[str], delay_s: float, wait_s: float, seed: int
    ) -> None:
        """Each is stopped when the one before is back."""
        begin: list[Step] = [(("delay", delay_s), 0.5), (("jitter", seed), 1.0)]
        self.play(begin + [(("stop", name), wait_s) for name in names], seed, talk_s=0.05)

    @explored
    @given(schedules(traffic, processes), seeds)
    def test_relays_stop_and_die(self, steps: list[Step], seed: int) -> None:
        self.play(steps, seed)

    @explored
    @given(schedules(traffic, network), seeds)
    def test_the_network_fails(self, steps: list[Step], seed: int) -> None:
        self.play(steps, seed)

    @explored
    @given(schedules(traffic, directory), seeds)
    def test_the_directory_fails(self, steps: list[Step], seed: int) -> None:
        self.play(steps, seed)

    @explored
    @given(schedules(traffic, network, directory, processes), seeds)
    def test_everything_at_once(self, steps: list[Step], seed: int) -> None:
        self.play(steps, seed)
