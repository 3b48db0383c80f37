"""`apptuner-relay claims` and relays: one by itself, and two that share their claims in a real
Redis. What is released does not come back from another relay's memory.
"""

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from apptuner_relay.access.claim_register import KeptClaim, Outcome
from apptuner_relay.access.claims import Claim
from apptuner_relay.access.tokens import make_proof
from apptuner_relay.cluster.ownership.claims_maker import make_claims
from apptuner_relay.cluster.ownership.redis_claim_register import RedisClaimRegister
from apptuner_relay.cluster.ownership.redis_claims import RedisClaims
from apptuner_relay.config.redis_url import parse_redis_url
from apptuner_relay.session.session import session_hash
from tests.live.harness import LiveCase
from tests.live.processes import Child, RelayProcess, checkout_env, run, within_patience
from tests.live.redis import RedisProcess, missing_redis
from tests.live.test_access import KEY, OTHER, bearer

HASH = session_hash("ABC234")
ONE, TWO = (Claim(make_proof(f"0123456789abcdef-{n}", HASH)) for n in range(2))
SECRET = "the-secret-of-the-cluster"


class OperatorCase(LiveCase):
    async def claims(self, relay: RelayProcess, *arguments: str, code: int = 0) -> Child:
        at = ("--relay", f"http://127.0.0.1:{relay.port}")
        child = await run(
            [sys.executable, "-m", "apptuner_relay.client.main", "claims", *arguments, *at],
            env=checkout_env(),
        )
        self.assertEqual(child.exit_code, code, repr(child))
        return child

    async def listed(self, relay: RelayProcess) -> list[dict[str, Any]]:
        child = await self.claims(relay, "--json")
        rows: list[dict[str, Any]] = json.loads(child.out)["claims"]
        return rows


class AloneTest(OperatorCase):
    async def test_a_lost_secret_and_a_move(self) -> None:
        state = str(Path(self.mktemp()).absolute())
        first = await self.relay("--state-dir", state)
        node = await self.node(first)
        cli = await node.join("cli", "ABC234", **bearer(KEY))
        await node.join("cli", "XYZ567", **bearer(KEY))
        rows = await self.listed(first)
        self.assertEqual([row["in_use"] for row in rows], [True, True])
        file = Path(self.mktemp()).absolute()
        await self.claims(first, "export", str(file))
        self.assertEqual(len(file.read_text().splitlines()), 2)
        self.assertNotIn("ABC234", file.read_text())

        refused = await self.claims(first, "release", HASH[:8], code=1)
        self.assertIn("409", refused.err)
        self.assertIn("would claim it again", refused.err)
        await cli.close()
        await first.logged("cli disconnected")
        await self.claims(first, "release", "--id", "ABC234")
        await first.logged(r"release claim, from 127\.0\.0\.1 \(loopback\): done")
        first.child.signal("KILL")
        await within_patience(first.child.over(), lambda: repr(first.child))
        first.forget()

        # It does not come back, not even after a crash, and can be claimed anew.
        second = await self.relay("--state-dir", state)
        self.assertEqual(len(await self.listed(second)), 1)
        node = await self.node(second)
        await node.join("cli", "ABC234", **bearer(OTHER))
        conflict = await self.claims(second, "import", str(file), code=1)
        self.assertIn("1 known, 1 conflicting", conflict.out)

        # To another machine.
        third = await self.relay("--state-dir", str(Path(self.mktemp()).absolute()))
        moved = await self.claims(third, "import", str(file))
        self.assertEqual(moved.out, "2 added\n")
        node = await self.node(third)
        for session in ("ABC234", "XYZ567"):
            self.assertEqual((await node.refused("cli", session, **bearer(OTHER))).status, 403)


class SharedTest(OperatorCase):
    skip = missing_redis()

    async def test_two_relays(self) -> None:
        redis = RedisProcess()
        self.addCleanup(redis.remove)
        await redis.start()
        options = ("--redis", redis.url, "--cluster-secret", SECRET)
        a, b = await self.relay(*options), await self.relay(*options)
        node = await self.node(a)
        url = b.url("cli", "ABC234")
        cli = await node.join("cli", "ABC234", url=url, **bearer(KEY))
        (row,) = await self.listed(a)
        self.assertTrue(row["in_use"])
        await self.claims(a, "release", HASH, code=1)
        # The client at the other relay stays, and its relay does not claim it again.
        await self.claims(a, "release", HASH, "--force")
        self.assertEqual(await self.listed(a), [])
        self.assertEqual(await self.listed(b), [])
        # Redis loses its data: what was released is put back by nobody.
        await cli.close()
        await redis.kill()
        await redis.start()
        for relay in (a, b):
            while (await relay.get("/api/nodes")).json()["cluster"]["claims"] != "connected":
                await self.pause()
        self.assertEqual(await self.listed(b), [])
        await node.join("cli", "ABC234", url=a.url("cli", "ABC234"), **bearer(OTHER))
        # Of a claim that is made so soon after a loss, others are told to come again, not no.
        self.assertEqual((await node.refused("cli", "ABC234", url=url, **bearer(KEY))).status, 503)

    async def pause(self) -> None:
        done: Deferred[None] = Deferred()
        reactor.callLater(0.1, done.callback, None)  # type: ignore[attr-defined]
        await done


class RulesTest(TestCase):
    """The scripts in a real Redis."""

    timeout = 120
    skip = missing_redis()

    async def relays(self) -> tuple[RedisProcess, RedisClaims, RedisClaims]:
        redis = RedisProcess()
        self.addCleanup(redis.remove)
        await redis.start()
        return redis, self.claims(redis), self.claims(redis)

    def claims(self, redis: RedisProcess) -> RedisClaims:
        claims = make_claims(reactor, parse_redis_url(redis.url), 600.0)
        claims.startService()
        self.addCleanup(claims.stopService)
        return claims

    async def every(self, register: RedisClaimRegister, prefix: str = "") -> dict[str, KeptClaim]:
        found: dict[str, KeptClaim] = {}
        cursor = None
        while True:
            page = await register.page(cursor, prefix)
            found |= {one.session: one for one in page.claims}
            cursor = page.cursor
            if cursor is None:
                return found

    async def test_a_relay_that_has_not_heard_of_it_puts_nothing_back(self) -> None:
        _, a, b = await self.relays()
        await a.take(HASH, ONE)
        self.assertEqual(await b.look(HASH), ONE)
        register = RedisClaimRegister(a)
        self.assertTrue(await register.release(HASH))
        self.assertFalse(await register.release(HASH))
        await b.compare()
        self.assertIsNone(await a.look(HASH))
        # A renewal is told so, by a relay with clients that have shown the secret.
        told: list[str] = []
        b.on_released = told.append
        self.assertIsNone(await b.renew(HASH, ONE))
        self.assertEqual(told, [HASH])
        self.assertIsNone(await a.look(HASH))
        # Who comes with a secret claims it, be it the old one.
        self.assertEqual(await b.take(HASH, ONE), ONE)
        self.assertEqual(await a.renew(HASH, ONE), ONE)
        self.assertEqual(await a.take(HASH, TWO), ONE)

    async def test_the_old_claim_does_not_displace_the_new_one(self) -> None:
        _, a, b = await self.relays()
        await a.take(HASH, ONE)
        await b.look(HASH)
        await RedisClaimRegister(a).release(HASH)
        self.assertEqual(await a.take(HASH, TWO), TWO)
        await b.compare()
        self.assertEqual(await b.look(HASH), TWO)
        self.assertEqual(await b.renew(HASH, ONE), TWO)

    async def test_lists_and_imports(self) -> None:
        _, a, b = await self.relays()
        register = RedisClaimRegister(a)
        names = [session_hash(f"S{n}") for n in range(1200)]
        rows = [KeptClaim(name, ONE, 10.0) for name in names]
        self.assertEqual(await register.take_in(rows, False), [Outcome.ADDED] * 1200)
        found = await self.every(RedisClaimRegister(b))
        self.assertEqual(set(found), set(names))
        self.assertTrue(all(9 < one.idle_s < 100 for one in found.values()))
        self.assertEqual(set(await self.every(register, names[7][:10])), {names[7]})
        again = [
            KeptClaim(names[0], ONE._replace(tokens=True), 0.0),
            KeptClaim(names[1], TWO, 0.0),
            KeptClaim(names[2], TWO, 600.0),
        ]
        self.assertEqual(
            await register.take_in(again, False),
            [Outcome.KNOWN, Outcome.CONFLICTING, Outcome.EXPIRED],
        )
        self.assertEqual(await b.look(names[0]), ONE)
        self.assertEqual(await register.take_in(again[1:2], True), [Outcome.REPLACED])
        await b.compare()
        self.assertEqual(await b.look(names[1]), TWO)
        with self.assertRaises(ValueError):
            await register.page("x", "")
