"""Claims while Redis refuses, or is another one than it was: with a server that is made up, for
what Debian's doesn't say. `tests.live.test_claims` has the real one.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.claims import Claim, MemoryClaims
from apptuner_relay.access.tokens import make_proof
from apptuner_relay.cluster.ownership import claim_scripts
from apptuner_relay.cluster.ownership.redis_claims import ANSWER_S, PATIENCE_S, RedisClaims
from apptuner_relay.cluster.ownership.redis_link import CommandLink
from apptuner_relay.config.redis_url import parse_redis_url
from apptuner_relay.session.session import session_hash
from tests.cluster.ownership.test_redis_errors import AT, RUNNING
from tests.fake_redis import FakeRedis
from tests.log_capture import capture_log

TTL_S = 600.0
HERE, THERE = session_hash("ABC234"), session_hash("XYZ567")
ONE = Claim(make_proof("0123456789abcdef-one", HERE))
OTHER = Claim(make_proof("0123456789abcdef-other", HERE))
REFUSALS = (
    ("READONLY", RUNNING + AT + "-READONLY You can't write against a read only replica."),
    ("READONLY", "READONLY You can't write against a read only replica."),
    ("OOM", RUNNING + AT + "-OOM command not allowed when used memory > 'maxmemory'."),
    ("MISCONF", "MISCONF Redis is configured to save RDB snapshots, but it can't"),
    ("NOREPLICAS", RUNNING + AT + "-NOREPLICAS Not enough good replicas to write."),
    ("NOPERM", RUNNING + AT + "-NOPERM this user has no permissions to run 'set'"),
    ("CLUSTERDOWN", "CLUSTERDOWN The cluster is down"),
    ("BUSY", "BUSY Redis is busy running a script."),
)


class Server:
    """As much of a Redis as claims need, without their times."""

    def __init__(self) -> None:
        self.claims: dict[str, str] = {}
        self.generation = ""
        self.refusal: str | None = None
        """With what it refuses whatever writes."""
        self.scripts: list[str] = []

    def __call__(self, words: Sequence[str]) -> Any:
        script, _, generation, *rest = words
        self.scripts.append(script)
        if script != claim_scripts.LOOK and self.refusal is not None:
            return Exception(self.refusal)
        if script == claim_scripts.ENTER:
            self.generation = self.generation or generation
            return self.generation
        if generation != self.generation:
            return "emptied"
        if script == claim_scripts.LOOK:
            return self.found(rest[0])
        if script == claim_scripts.TAKE:
            session, ttl_ms, _, proof, tokens, _, _ = rest
            if self.claims.get(session, proof).startswith(proof):
                self.claims[session] = f"{proof} {tokens} {ttl_ms}"
            return self.found(session)
        if script == claim_scripts.GIVE_BACK:
            self.claims.pop(rest[0], None)
            return "done"
        for at in range(0, len(rest), 5):
            session, proof, tokens, left_ms, _ = rest[at : at + 5]
            self.claims.setdefault(session, f"{proof} {tokens} {left_ms}")
        return "done"

    def found(self, session: str) -> str:
        return f"{self.claims[session]} 0" if session in self.claims else "none"

    def lose_everything(self) -> None:
        self.claims.clear()
        self.generation = ""


class ClaimsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e6)
        self.server = Server()
        self.redis = FakeRedis(self.clock, self.server)
        self.claims = self.relay()
        self.wait(0)

    def relay(self) -> RedisClaims:
        link = CommandLink(
            self.redis,  # type: ignore[arg-type]
            parse_redis_url("redis://127.0.0.1"),
            self.clock,
            ANSWER_S,
        )
        claims = RedisClaims(link, MemoryClaims(TTL_S, self.clock.seconds), self.clock)
        claims.startService()
        self.addCleanup(claims.stopService)
        return claims

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.0] * 3 + [0.05] * int(seconds / 0.05) + [0.0] * 3)

    def take(self, session: str, claim: Claim, claims: RedisClaims | None = None) -> Claim:
        taking = (claims or self.claims).take(session, claim)
        self.wait(ANSWER_S)
        return self.successResultOf(taking)

    def look(self, session: str, claims: RedisClaims | None = None) -> Claim | None:
        looking = (claims or self.claims).look(session)
        self.wait(ANSWER_S)
        return self.successResultOf(looking)


class RefusedTest(ClaimsCase):
    def test_whatever_the_refusal_is_it_is_told_and_another_connection_is_made(self) -> None:
        for code, text in REFUSALS:
            log = capture_log(self)
            self.assertEqual(self.claims.state, "connected")
            made = len(self.redis.connections)
            self.server.refusal = text
            taking = self.claims.take(HERE, ONE)
            self.wait(ANSWER_S + PATIENCE_S)
            # It counts here meanwhile.
            self.assertEqual(self.successResultOf(taking), ONE)
            self.assertEqual(self.look(HERE), ONE)
            self.assertEqual((self.claims.state, self.claims.refusal), ("refused", code))
            self.assertGreater(self.claims.refusals, 1)
            self.assertGreater(len(self.redis.connections), made + 1)
            said = [line for line in log if line.startswith("claims: Redis refuses")]
            self.assertEqual(said, [f"claims: Redis refuses to keep them: {text}"])
            self.server.refusal = None
            self.wait(10)
            self.assertEqual((self.claims.state, self.claims.refusal), ("connected", None))
            self.assertIn(HERE, self.server.claims)
            self.server.claims.clear()
            self.claims.give_back(HERE, ONE)
            self.wait(0)

    def test_what_answers_at_the_next_connection_may_be_the_new_master(self) -> None:
        """Nothing is decided by what this relay has seen as long as that may be so."""
        self.server.claims[HERE] = f"{OTHER.proof} 0 600000"
        self.server.refusal = REFUSALS[0][1]
        taking = self.claims.take(HERE, ONE)
        self.wait(0)
        self.server.refusal = None
        self.wait(1)
        self.assertEqual(self.successResultOf(taking), OTHER)


class LostDataTest(ClaimsCase):
    def test_what_is_in_use_is_back_before_anybody_is_answered(self) -> None:
        self.take(HERE, ONE)
        self.redis.die()
        self.server.lose_everything()
        self.server.scripts.clear()
        self.redis.is_there = True
        self.assertEqual(self.take(HERE, OTHER), ONE)
        self.assertEqual(
            self.server.scripts[:3],
            [claim_scripts.ENTER, claim_scripts.PUT_BACK, claim_scripts.TAKE],
        )

    def test_it_is_emptied_while_connected(self) -> None:
        self.take(HERE, ONE)
        self.server.lose_everything()
        log = capture_log(self)
        self.assertEqual(self.look(HERE), ONE)
        self.assertIn(HERE, self.server.claims)
        self.assertEqual(len([line for line in log if "has lost its data" in line]), 1)

    def test_another_relay_finds_it(self) -> None:
        other = self.relay()
        self.wait(0)
        self.take(HERE, ONE)
        self.server.lose_everything()
        self.look(THERE, other)
        self.assertNotIn(HERE, self.server.claims)
        self.claims.compare()
        self.wait(0)
        self.assertEqual(self.look(HERE, other), ONE)

    def test_what_was_seen_and_is_not_in_use_comes_back_as_well(self) -> None:
        other = self.relay()
        self.wait(0)
        self.take(HERE, ONE)
        self.wait(200)
        self.server.lose_everything()
        self.assertEqual(self.look(HERE), None if HERE not in self.server.claims else ONE)
        self.wait(0)
        self.assertEqual(self.look(HERE, other), ONE)

    def test_nothing_comes_back_where_nothing_was_lost(self) -> None:
        """Somebody may have taken it away on purpose."""
        self.take(HERE, ONE)
        self.wait(200)
        del self.server.claims[HERE]
        self.redis.connections[-1].lose(ConnectionError())
        self.wait(1)
        self.assertIsNone(self.look(HERE))


class AloneTest(ClaimsCase):
    def away(self, do: Callable[[], None]) -> None:
        self.redis.die()
        self.wait(PATIENCE_S + 1)
        self.assertEqual(self.claims.state, "away")
        do()
        self.redis.is_there = True
        self.wait(1)

    def test_what_was_claimed_meanwhile_counts_if_nobody_else_has(self) -> None:
        self.away(lambda: self.assertEqual(self.take(HERE, ONE), ONE))
        self.assertTrue(self.server.claims[HERE].startswith(ONE.proof))

    def test_what_was_claimed_meanwhile_does_not_count_against_another_claim(self) -> None:
        """However short a time ago it was used."""
        self.server.claims[HERE] = f"{OTHER.proof} 0 60000"
        lost: list[str] = []
        self.claims.on_lost = lost.append
        self.away(lambda: self.assertEqual(self.take(HERE, ONE), ONE))
        self.assertEqual(lost, [HERE])
        self.assertEqual(self.look(HERE), OTHER)

    def test_whoever_asks_first_those_who_came_in_meanwhile_go(self) -> None:
        """A client that comes before the relay has sent what was claimed here."""
        asks: tuple[Callable[[], Any], ...] = (
            lambda: self.claims.look(HERE),
            lambda: self.claims.take(HERE, OTHER),
            lambda: self.claims.take(HERE, ONE),
        )
        for ask in asks:
            self.server.claims.clear()
            self.claims = self.relay()
            lost: list[str] = []
            self.claims.on_lost = lost.append
            self.wait(0)
            self.server.claims[HERE] = f"{OTHER.proof} 0 60000"
            self.redis.die()
            self.wait(PATIENCE_S + 1)
            self.take(HERE, ONE)
            self.assertTrue(self.claims.is_provisional(HERE))
            # The next answer is that of `ask`, as the sending of others takes a while.
            self.claims._sending = Deferred()
            self.redis.is_there = True
            self.wait(1)
            asked = ask()
            self.wait(0)
            self.assertEqual(self.successResultOf(asked), OTHER)
            self.assertEqual((lost, self.claims.is_provisional(HERE)), ([HERE], False))
            self.claims._sending = None
