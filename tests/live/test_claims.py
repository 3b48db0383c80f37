"""Claims in a real Redis: what two relays see of each other's, and what an outage does."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from apptuner_relay.access.claims import Claim
from apptuner_relay.access.tokens import make_proof
from apptuner_relay.cluster.ownership.claims_maker import make_claims
from apptuner_relay.cluster.ownership.redis_claims import RedisClaims
from apptuner_relay.config.redis_url import parse_redis_url
from apptuner_relay.session.session import session_hash
from tests.live.cluster import Wire
from tests.live.redis import RedisProcess, client_of, missing_redis
from tests.live.test_directory import RIGHTS, SECRET, until

HERE = session_hash("ABC234")
ONE = Claim(make_proof("0123456789abcdef-one", HERE))
OTHER = Claim(make_proof("0123456789abcdef-other", HERE), True)


def state_of(claims: RedisClaims, state: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return claims.state == state

    return is_so


class RedisClaimsTest(TestCase):
    timeout = 120
    skip = missing_redis()

    async def redis(self) -> RedisProcess:
        redis = RedisProcess()
        self.addCleanup(redis.remove)
        await redis.start()
        return redis

    def claims(self, url: str, ttl_s: float = 600.0, authorities: Path | None = None) -> Any:
        claims: RedisClaims = make_claims(reactor, parse_redis_url(url), ttl_s, authorities)
        claims.startService()
        self.addCleanup(claims.stopService)
        return claims

    async def test_the_first_one_counts_everywhere(self) -> None:
        redis = await self.redis()
        a, b = self.claims(redis.url), self.claims(redis.url)
        self.assertIsNone(await a.look(HERE))
        self.assertEqual(await a.take(HERE, ONE), ONE)
        self.assertEqual(await b.take(HERE, OTHER), ONE)
        self.assertEqual(await b.look(HERE), ONE)
        self.assertEqual(await b.take(HERE, ONE._replace(tokens=True)), ONE._replace(tokens=True))
        self.assertEqual((await a.look(HERE)).tokens, True)
        self.assertIsNone(await a.look(session_hash("XYZ567")))

    async def test_one_that_is_tentative(self) -> None:
        """It counts, and is forgotten when it is given back; but not once somebody has used it."""
        redis = await self.redis()
        a, b = self.claims(redis.url), self.claims(redis.url)
        self.assertEqual(await a.take(HERE, ONE, True), ONE)
        self.assertEqual(await b.take(HERE, OTHER, True), ONE)
        await b.give_back(HERE, OTHER)
        self.assertEqual(await b.look(HERE), ONE)
        with client_of(redis) as client:
            left_ms = client("PTTL", f"apptuner:claim:{HERE}")
        assert isinstance(left_ms, int)
        self.assertLessEqual(left_ms, 30_000)
        await a.give_back(HERE, ONE)
        self.assertIsNone(await a.look(HERE))
        await a.take(HERE, ONE, True)
        await b.take(HERE, ONE)
        await a.give_back(HERE, ONE)
        self.assertEqual(await b.look(HERE), ONE)

    async def test_with_no_more_rights_than_the_directory_needs(self) -> None:
        redis = await self.redis()
        with client_of(redis) as client:
            client("ACL", "SETUSER", "relay", "on", f">{SECRET}", *RIGHTS.split())
        claims = self.claims(f"redis://relay:{SECRET}@127.0.0.1:{redis.port}")
        self.assertEqual(await claims.take(HERE, ONE), ONE)
        self.assertEqual(await claims.look(HERE), ONE)

    async def test_it_ends_when_nobody_uses_it(self) -> None:
        redis = await self.redis()
        claims = self.claims(redis.url, ttl_s=1.0)
        await claims.take(HERE, ONE)

        async def is_over() -> bool:
            return await claims.look(HERE) is None

        await until(is_over)
        self.assertEqual(await claims.take(HERE, OTHER), OTHER)

    async def test_what_is_kept_lets_nobody_in(self) -> None:
        redis = await self.redis()
        await self.claims(redis.url).take(HERE, ONE)
        with client_of(redis) as client:
            keys = client("KEYS", "*:claim:*")
            value = client("GET", keys[0])
        self.assertEqual(value, f"{ONE.proof} 0")
        self.assertNotIn("0123456789abcdef", str((keys, value)))

    async def test_an_outage(self) -> None:
        redis = await self.redis()
        claims = self.claims(redis.url)
        await claims.take(HERE, ONE)
        await redis.kill()

        async def is_away() -> bool:
            return claims.state == "away"

        async def is_back() -> bool:
            return claims.state == "connected"

        await until(is_away)
        self.assertEqual(await claims.look(HERE), ONE)
        self.assertEqual(await claims.take(HERE, OTHER), ONE)
        unseen = session_hash("XYZ567")
        self.assertIsNone(await claims.look(unseen))
        self.assertEqual(await claims.take(unseen, ONE), ONE)
        self.assertEqual(await claims.look(unseen), ONE)
        # It comes back empty; who uses a claim writes it there again.
        await redis.start()
        await until(is_back)
        self.assertEqual(await claims.take(HERE, ONE), ONE)
        self.assertEqual(await self.claims(redis.url).look(HERE), ONE)

    async def test_no_redis_from_the_start(self) -> None:
        redis = await self.redis()
        url = redis.url
        await redis.kill()
        claims = self.claims(url)
        self.assertIsNone(await claims.look(HERE))
        self.assertEqual(await claims.take(HERE, ONE), ONE)

    async def test_what_no_relay_wrote(self) -> None:
        redis = await self.redis()
        with client_of(redis) as client:
            client("SET", f"apptuner:claim:{HERE}", "junk")
        claims = self.claims(redis.url)
        self.assertIsNone(await claims.look(HERE))
        self.assertEqual(await claims.take(HERE, ONE), ONE)

    async def test_it_comes_back_empty(self) -> None:
        """Of two claims that are put back the one that was used last stays; and nobody hears that
        a session has none before all had their time."""
        redis = await self.redis()
        a, b = self.claims(redis.url), self.claims(redis.url)
        await a.take(HERE, ONE)
        await b.look(HERE)
        with client_of(redis) as client:

            async def was_a_while_ago() -> bool:
                left_ms = client("PTTL", f"apptuner:claim:{HERE}")
                return isinstance(left_ms, int) and left_ms < 599_900

            await until(was_a_while_ago)
            # Somebody else's from now on, of which only one has heard.
            client("DEL", f"apptuner:claim:{HERE}")
            self.assertIsNone(await b.look(HERE))
            self.assertEqual(await b.take(HERE, OTHER), OTHER)
            client("FLUSHALL")
        newcomer = self.claims(redis.url)
        unknown = newcomer.look(session_hash("XYZ567"))
        await a.compare()
        await b.compare()
        self.assertIsNone(await unknown)
        self.assertEqual(await newcomer.look(HERE), OTHER)
        self.assertEqual(await a.look(HERE), OTHER)

    async def test_a_relay_comes_back_later_than_the_others(self) -> None:
        """What it brings counts against what was claimed in ignorance of it, for good."""
        for claimed in ("while Redis was away", "when it was back"):
            redis = await self.redis()
            wire = Wire()
            self.addCleanup(wire.remove)
            wire.port = redis.port
            late = self.claims(f"redis://127.0.0.1:{wire.listening.getHost().port}")
            b, other = self.claims(redis.url), self.claims(redis.url)
            for claims in (late, b, other):
                await claims.take(session_hash("XYZ567"), ONE)
            await late.take(HERE, ONE)
            await redis.kill()
            wire.port = 1
            for claims in (late, b, other):
                await until(state_of(claims, "away"))
            if claimed == "while Redis was away":
                self.assertEqual(await b.take(HERE, OTHER), OTHER)
                self.assertTrue(b.is_provisional(HERE))
            await redis.start()
            for claims in (b, other):
                await until(state_of(claims, "connected"))
            # Whoever asks waits until the grace time is over.
            self.assertEqual(await b.take(HERE, OTHER), OTHER)
            self.assertEqual(await other.look(HERE), OTHER)
            self.assertEqual((b.is_provisional(HERE), other.is_provisional(HERE)), (True, True))
            lost: list[str] = []
            b.on_lost = lost.append

            async def has_heard(lost: list[str] = lost) -> bool:
                return lost == [HERE]

            wire.port = redis.port
            # Nobody has to ask for it.
            await until(has_heard)
            await until(state_of(late, "connected"))
            for claims in (late, other, b):
                self.assertEqual(await claims.look(HERE), ONE, claimed)
                self.assertFalse(claims.is_provisional(HERE))
            self.assertEqual(await b.take(HERE, OTHER), ONE)

    async def test_what_was_claimed_in_ignorance_yields_after_a_second_loss_as_well(self) -> None:
        redis = await self.redis()
        a, b = self.claims(redis.url), self.claims(redis.url)
        await a.take(HERE, ONE)
        await b.look(session_hash("XYZ567"))
        with client_of(redis) as client:
            client("DEL", f"apptuner:claim:{HERE}")
            client("SET", "apptuner:claims:late", 1, "PX", 60_000)
            self.assertEqual(await b.take(HERE, OTHER), OTHER)
            client("FLUSHALL")
        await b.compare()
        self.assertEqual(await b.look(HERE), OTHER)
        await a.compare()
        self.assertEqual(await b.look(HERE), ONE)

    async def test_a_server_that_is_demoted_and_keeps_its_connections(self) -> None:
        old, new = await self.redis(), await self.redis()
        claims = self.claims(old.url)
        await claims.take(HERE, ONE)
        with client_of(old) as client:
            client("REPLICAOF", "127.0.0.1", new.port)

        async def is_refused() -> bool:
            return claims.state == "refused"

        async def is_shared() -> bool:
            return claims.state == "connected"

        self.assertEqual(await claims.take(HERE, ONE), ONE)
        await until(is_refused)
        self.assertEqual(claims.refusal, "READONLY")
        self.assertEqual(await claims.look(HERE), ONE)
        with client_of(old) as client:
            client("REPLICAOF", "NO", "ONE")
        await until(is_shared)
        self.assertEqual(await self.claims(old.url).look(HERE), ONE)

    async def test_a_server_that_is_full(self) -> None:
        redis = await self.redis()
        claims = self.claims(redis.url)
        await claims.take(HERE, ONE)
        with client_of(redis) as client:
            client("CONFIG", "SET", "maxmemory", "1")
        await claims.take(HERE, ONE)

        async def is_refused() -> bool:
            return claims.refusal == "OOM"

        await until(is_refused)
