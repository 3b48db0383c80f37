"""What is done to a cluster and its clients, and when: all of it follows from a seed. Pure."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

SAVE_EVERY_S = 0.4
"""Some session saves so often."""
CLIENT_EVERY_S = 0.9
HOST_EVERY_S = 5.0
FIRST_S = 3.0
"""Until clients are there."""
QUIET_END_S = 2.0

REDIS = "redis"

HOST_FAULTS = {
    "kill": 3,
    "stop": 5,
    "freeze": 3,
    "unplug": 2,
    "cut-redis": 2,
    "cut-relays": 2,
    "reset-bridges": 3,
    "kill-redis": 2,
    "freeze-redis": 2,
    "empty-redis": 1,
    "fill-redis": 1,
}
"""How often each is chosen, against the others."""
CLIENT_FAULTS = {"takeover": 2, "vanish": 4, "lock": 3, "crawl": 2, "reset": 3, "die": 3}
ALL_FAULTS = frozenset(HOST_FAULTS | CLIENT_FAULTS)


@dataclass(frozen=True)
class Step:
    """Something that is done.

    :ivar at_s: when, in seconds from the start.
    :ivar kind: one of `HOST_FAULTS` or `CLIENT_FAULTS`, or ``save``.
    :ivar target: a relay, a client, a session's number, or ``redis``.
    :ivar other: the other relay of a cut, or the CLI that takes over.
    :ivar lasts_s: for how long, where it ends.
    """

    at_s: float
    kind: str
    target: str
    other: str = ""
    lasts_s: float = 0.0

    def __str__(self) -> str:
        other = f" and {self.other}" if self.other else ""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:6.1f} s  {self.kind} {self.target}{other}{lasts}"


def plan(
    seed: int,
    seconds: float,
    relays: list[str],
    sessions: int,
    phones: int,
    kinds: Collection[str] = ALL_FAULTS,
) -> list[Step]:
    """All steps, by time. At least one relay runs and reaches its network at any time.

    :param kinds: the faults to choose from; as many happen, however few kinds there are.
    """
    host_faults = {kind: weight for kind, weight in HOST_FAULTS.items() if kind in kinds}
    client_faults = {kind: weight for kind, weight in CLIENT_FAULTS.items() if kind in kinds}
    steps = list(_saves(random.Random(f"saves {seed}"), seconds, sessions))
    if client_faults:
        rng = random.Random(f"clients {seed}")
        steps += _client_faults(rng, seconds, sessions, phones, client_faults)
    if host_faults:
        steps += _host_faults(random.Random(f"hosts {seed}"), seconds, relays, host_faults)
    return sorted(steps, key=lambda step: step.at_s)


def _times(rng: random.Random, every_s: float, seconds: float) -> Iterator[float]:
    at_s = FIRST_S
    while (at_s := at_s + every_s * rng.uniform(0.5, 1.5)) < seconds - QUIET_END_S:
        yield at_s


def _choice(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _saves(rng: random.Random, seconds: float, sessions: int) -> Iterator[Step]:
    for number in range(sessions):
        yield Step(FIRST_S / 2, "save", f"s{number}cli1")
    for at_s in _times(rng, SAVE_EVERY_S, seconds):
        yield Step(at_s, "save", f"s{rng.randrange(sessions)}cli1")


def _client_faults(
    rng: random.Random, seconds: float, sessions: int, phones: int, kinds: dict[str, int]
) -> Iterator[Step]:
    second_until_s = [0.0] * sessions
    for at_s in _times(rng, CLIENT_EVERY_S, seconds):
        session = rng.randrange(sessions)
        kind = _choice(rng, kinds)
        phone = f"s{session}p{rng.randrange(phones) + 1}"
        cli = f"s{session}cli1"
        if kind == "takeover":
            lasts_s = rng.uniform(4, 20)
            if at_s > second_until_s[session] and at_s + lasts_s < seconds:
                second_until_s[session] = at_s + lasts_s + 2
                yield Step(at_s, kind, str(session), f"s{session}cli2", lasts_s)
        elif kind == "die":
            yield Step(at_s, kind, cli)
        elif kind == "reset":
            yield Step(at_s, kind, rng.choice([phone, cli, f"s{session}page"]))
        else:
            lasts_s = rng.uniform(0.5, 8) if kind in ("lock", "crawl") else 0.0
            yield Step(at_s, kind, phone, lasts_s=lasts_s)


def _host_faults(
    rng: random.Random, seconds: float, relays: list[str], kinds: dict[str, int]
) -> Iterator[Step]:
    busy_until_s = dict.fromkeys([*relays, REDIS], 0.0)
    for at_s in _times(rng, HOST_EVERY_S, seconds):
        kind = _choice(rng, kinds)
        lasts_s = min(rng.uniform(0.5, 9), seconds - at_s)
        if kind.endswith("-redis") and kind != "cut-redis":
            if at_s < busy_until_s[REDIS]:
                continue
            if kind == "empty-redis":
                lasts_s = 0.0
            busy_until_s[REDIS] = at_s + lasts_s + 3
            yield Step(at_s, kind, REDIS, lasts_s=lasts_s)
            continue
        free = [relay for relay in relays if at_s >= busy_until_s[relay]]
        if len(free) < 2:
            continue
        target, other = rng.sample(free, 2)
        if kind == "reset-bridges":
            yield Step(at_s, kind, target, other)
            continue
        busy_until_s[target] = at_s + lasts_s + 3
        if kind == "cut-relays":
            busy_until_s[other] = at_s + lasts_s + 1
            yield Step(at_s, kind, target, other, lasts_s)
        else:
            yield Step(at_s, kind, target, lasts_s=lasts_s)
