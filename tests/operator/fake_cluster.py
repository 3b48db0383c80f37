"""A cluster as the meters see it, without one behind it."""

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.cluster.ownership.directory import DirectoryCounts, NodeInfo


class MadeDirectory:
    def __init__(self) -> None:
        self.state = "connected"
        self.unreachable_since_s: float | None = None
        self.eviction_policy: str | None = None
        self.counters = DirectoryCounts(commands=120, claims=17, lost=2)


class MadeClaims:
    def __init__(self) -> None:
        self.state = "connected"
        self.unreachable_since_s: float | None = None
        self.refusal: str | None = None
        self.refusals = 0

    def go_away(self, since_s: float) -> None:
        self.state, self.unreachable_since_s = "away", since_s

    def refuse(self, since_s: float, code: str) -> None:
        self.state, self.unreachable_since_s, self.refusal = "refused", since_s, code
        self.refusals += 1


class MadeCluster:
    """Relay a of a and b; ``looks`` counts how often the nodes were asked for."""

    def __init__(self, *others: str) -> None:
        self.node = "a"
        self.directory = MadeDirectory()
        self.nodes = [
            NodeInfo(name, f"ws://10.0.0.{n}:3000", 10 * n, 20 * n, 900_000, name == "b", "0.1.0")
            for n, name in enumerate(others or ("a", "b"), 1)
        ]
        self.bridged_count = 3
        self.claims: MadeClaims | None = MadeClaims()
        self.looks = 0

    def go_away(self, since_s: float) -> None:
        self.directory.state, self.directory.unreachable_since_s = "away", since_s

    def come_back(self) -> None:
        self.directory.state, self.directory.unreachable_since_s = "connected", None

    def look(self) -> Deferred[bool]:
        self.looks += 1
        return succeed(True)
