"""The rules of claims: a few relays and whatever may happen to them and to a real Redis, of which
the claims are lost now and then. As in `test_ownership`, scripts run at once, and what would take
time is done by hand.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.claims import Claim, MemoryClaims
from apptuner_relay.cluster.ownership.redis_claims import ANSWER_S, PATIENCE_S, RedisClaims
from apptuner_relay.cluster.ownership.redis_link import LinkLost
from tests.live.redis import RedisClient, blocking_server, missing_redis

SESSIONS = [digit * 64 for digit in "ab"]
PROOFS = [letter * 43 for letter in "xyz"]
TTL_S = 100_000.0
"""Nothing of this passes in a test by itself."""


class InlineCommands:
    """Runs scripts before it returns, over a connection that the test can cut."""

    def __init__(self, path: Path) -> None:
        self._client = RedisClient(path)
        self.is_up = False
        self.on_connected: Callable[[], None] = lambda: None
        self.on_disconnected: Callable[[str], None] = lambda reason: None
        self.greet: Any = None

    def start(self) -> None:
        greeting: Deferred[None] = Deferred.fromCoroutine(self.greet(self._run))
        greeting.addCallback(self._greeted)

    def _greeted(self, _: None) -> None:
        self.is_up = True
        self.on_connected()

    async def stop(self) -> None:
        self.is_up = False
        self._client.close()

    def cut(self) -> None:
        self.is_up = False
        self.on_disconnected("cut")

    def run(self, script: str, *args: str | int) -> Deferred[Any]:
        return self._run(script, *args) if self.is_up else fail(LinkLost("cut"))

    def _run(self, script: str, *args: str | int) -> Deferred[Any]:
        return succeed(self._client("EVAL", script, 0, *args))


class Relay:
    """One relay's claims, and what the test expects it to have seen."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.clock.advance(1e6)
        self.commands = InlineCommands(path)
        self.claims = RedisClaims(
            self.commands, MemoryClaims(TTL_S, self.clock.seconds), self.clock
        )
        self.lost: list[str] = []
        self.claims.on_lost = self.lost.append
        self.claims.startService()

    def _result(self, asked: Deferred[Any]) -> Any:
        results: list[Any] = []
        asked.addBoth(results.append)
        if not results:
            self.clock.pump([PATIENCE_S, ANSWER_S])
        (result,) = results
        assert not isinstance(result, Failure), result
        return result

    def look(self, session: str) -> str | None:
        claim = self._result(self.claims.look(session))
        return None if claim is None else str(claim.proof)

    def take(self, session: str, proof: str) -> str:
        return str(self._result(self.claims.take(session, Claim(proof))).proof)


class Rules(RuleBasedStateMachine):
    """Three relays, two sessions, three secrets."""

    path: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.redis = RedisClient(self.path)
        self.redis("FLUSHALL")
        self.relays = [Relay(self.path) for _ in range(3)]
        self.settle()
        self.counts: dict[str, str] = {}
        """Whose secret counts where Redis is reached."""

    def settle(self) -> None:
        """The grace time is over, and so is the time of provisional claims, which
        `test_claims` has."""
        self.redis("DEL", "apptuner:claims:settling", "apptuner:claims:late")
        for session in SESSIONS:
            self.redis("DEL", f"apptuner:provisional:{session}")
        for relay in self.relays:
            relay.clock.pump([0.0] * 3)

    @property
    def in_touch(self) -> list[Relay]:
        return [relay for relay in self.relays if relay.commands.is_up]

    relay = st.integers(0, 2)
    session = st.sampled_from(SESSIONS)
    proof = st.sampled_from(PROOFS)

    @rule(n=relay, session=session, proof=proof)
    def take(self, n: int, session: str, proof: str) -> None:
        relay = self.relays[n]
        if relay.commands.is_up:
            assert relay.take(session, proof) == self.counts.setdefault(session, proof)

    @rule(n=relay, session=session)
    def look(self, n: int, session: str) -> None:
        relay = self.relays[n]
        if relay.commands.is_up:
            assert relay.look(session) == self.counts.get(session)

    @rule(n=relay)
    def cut(self, n: int) -> None:
        if self.relays[n].commands.is_up:
            self.relays[n].commands.cut()
            self.relays[n].clock.advance(PATIENCE_S)

    @rule(n=relay, session=session, proof=proof)
    def take_alone(self, n: int, session: str, proof: str) -> None:
        """What a relay decides alone is by what it has seen, and binds nobody else."""
        relay = self.relays[n]
        if not relay.commands.is_up:
            assert relay.take(session, proof) == relay.look(session)

    @rule(n=relay)
    def come_back(self, n: int) -> None:
        """It brings what nobody else has claimed since."""
        relay = self.relays[n]
        if relay.commands.is_up:
            return
        alone = {session: relay.look(session) for session in SESSIONS}
        relay.commands.start()
        self.settle()
        for session, proof in alone.items():
            if proof is not None:
                counts = self.counts.setdefault(session, proof)
                assert relay.look(session) == counts

    @rule(n=relay, session=session)
    def empty(self, n: int, session: str) -> None:
        """Everything is deleted. One relay is asked for something; the others hear of it."""
        in_touch = self.in_touch
        if not in_touch:
            return
        known = {
            session: [relay for relay in in_touch if self.has_seen(relay, session)]
            for session in SESSIONS
        }
        self.redis("FLUSHALL")
        asked = in_touch[n % len(in_touch)]
        looking = asked.claims.look(session)
        for relay in in_touch:
            relay.claims.compare()
        self.settle()
        asked.clock.pump([ANSWER_S])
        looking.addErrback(lambda failure: failure.raiseException())
        for each in SESSIONS:
            if not known[each]:
                self.counts.pop(each, None)

    def has_seen(self, relay: Relay, session: str) -> bool:
        """Whether it knows the claim that counts."""
        seen = relay.claims._seen.find(session)
        return seen is not None and seen.proof == self.counts.get(session)

    @invariant()
    def what_counts_is_written(self) -> None:
        if self.in_touch:
            for session, proof in self.counts.items():
                value = self.redis("GET", f"apptuner:claim:{session}")
                assert str(value).startswith(proof), (session, proof, value)

    def teardown(self) -> None:
        for relay in self.relays:
            relay.claims.stopService()
        self.redis.close()


class RulesTest(SynchronousTestCase):
    skip = missing_redis()

    def test_a_claim_that_a_relay_knows_is_never_lost_to_another(self) -> None:
        with blocking_server() as path:
            Rules.path = path
            run_state_machine_as_test(
                Rules,
                settings=settings(
                    max_examples=60,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
