"""Redis at its worst: it dies while clients wait for it, is demoted, comes back empty, is full."""

from tests.live.clients import Client, NodeClients
from tests.live.cluster import ClusterCase, Wire, owner_in
from tests.live.harness import together
from tests.live.processes import RelayProcess
from tests.live.redis import RedisProcess, client_of
from tests.live.test_access import KEY, OTHER, bearer
from tests.live.test_cluster import pause

AGAIN_S = 0.1
FROZEN_S = 1.0
"""Long enough for clients to ask, and less than a relay waits for an answer."""


class DyingTest(ClusterCase):
    def assertNothingFailed(self, *relays: RelayProcess) -> None:
        for relay in relays:
            self.assertNotIn("Traceback", relay.log)

    async def test_newcomers_whose_claims_wait_are_served(self) -> None:
        """A session that nobody is known to have is served where its client came in."""
        redis, (a, b), node = await self.cluster(2)
        redis.freeze()
        coming = [
            self.join(node, relay, "cli", f"S-{name}-{n}")
            for n in range(20)
            for name, relay in (("a", a), ("b", b))
        ]

        async def kill() -> None:
            await pause(FROZEN_S)
            await redis.kill()

        *clients, _ = await together(*coming, kill())  # type: ignore[arg-type]
        for client in clients:
            assert client is not None
            await client.settle()
        self.assertNothingFailed(a, b)

    async def test_bridged_clients_whose_place_is_looked_for_stay(self) -> None:
        redis, (a, b), node = await self.cluster(2)
        phones = []
        for n in range(4):
            await self.join(node, a, "cli", f"S-{n}")
            phones.append(await self.join(node, b, "mobile", f"S-{n}"))
            self.assertEqual(owner_in(redis, f"S-{n}"), "a")
        redis.freeze()
        a.child.signal("KILL")
        await a.child.over()
        a.forget()
        await pause(FROZEN_S)
        await redis.kill()
        for n, phone in enumerate(phones):
            cli = await self.join(node, b, "cli", f"S-{n}")
            await cli.expect("mobile_connected")
            self.assertFalse(phone.is_closed)
        self.assertNothingFailed(b)


class EmptyTest(ClusterCase):
    """Redis comes back without its data. The secrets of sessions that are in use go on to count,
    and each session goes on to have one owner."""

    async def begin(self) -> tuple[RedisProcess, list[RelayProcess], NodeClients, list[Client]]:
        redis, relays, node = await self.cluster(2)
        clis = [
            await self.join(node, relays[0], "cli", f"S-{n}", query="tokens=1", **bearer(KEY))
            for n in range(4)
        ]
        return redis, relays, node, clis

    async def nobody_gets_in(
        self, node: NodeClients, relays: list[RelayProcess], clis: list[Client]
    ) -> None:
        """Neither without a secret nor with a wrong one, through whichever relay; and those who
        are there aren't disturbed."""
        tries = [
            node.refused(role, f"S-{n}", url=relay.url(role, f"S-{n}"), **shown)
            for n in range(len(clis))
            for relay in relays
            for role, shown in (("cli", bearer(OTHER)), ("dashboard", {}), ("mobile", {}))
        ]
        statuses = {refusal.status for refusal in await together(*tries)}
        self.assertLessEqual(statuses, {401, 403})
        for n, cli in enumerate(clis):
            await cli.settle()
            self.assertFalse(cli.is_closed)
            url = relays[-1].url("dashboard", f"S-{n}")
            dashboard = await self.let_in(node, "dashboard", f"S-{n}", url)
            await dashboard.send({"type": "hello"})
            await dashboard.close()

    async def let_in(self, node: NodeClients, role: str, session: str, url: str) -> Client:
        """The one who has the secret comes again as long as relays can't compare their claims, and
        is never told that the secret is wrong."""
        while True:
            client = node.start(role, session, url=url, **bearer(KEY))
            if (refusal := await client.outcome()) is None:
                return client
            self.assertEqual((refusal.status, refusal.headers["retry-after"]), (503, "2"))
            await pause(AGAIN_S)

    async def test_it_is_started_again(self) -> None:
        redis, relays, node, clis = await self.begin()
        await redis.kill()
        for relay in relays:
            await relay.logged("claims: Redis: unreachable")
        await redis.start()
        await self.nobody_gets_in(node, relays, clis)
        for n in range(len(clis)):
            self.assertEqual(owner_in(redis, f"S-{n}"), "a")

    async def test_who_was_let_in_meanwhile_goes(self) -> None:
        """While Redis is away a relay that has not seen a claim can't know of it."""
        redis, (a, b), node, clis = await self.begin()
        await redis.kill()
        await b.logged("claims: Redis: unreachable")
        strangers = [
            await self.join(node, b, "cli", f"S-{n}", **bearer(OTHER)) for n in range(len(clis))
        ]
        await redis.start()
        for stranger in strangers:
            self.assertEqual((await stranger.closed())[0], 1008)
        await self.nobody_gets_in(node, [a, b], clis)

    async def test_it_is_emptied_while_it_runs(self) -> None:
        redis, relays, node, clis = await self.begin()
        with client_of(redis) as client:
            client("FLUSHALL")
        # All at once, before any relay would look at it by itself.
        await self.nobody_gets_in(node, relays[1:], clis)
        for n in range(len(clis)):
            self.assertEqual(owner_in(redis, f"S-{n}"), "a")

    async def test_a_lease_is_evicted(self) -> None:
        """Who comes through another relay is in the same session within a moment."""
        redis, (_, b), node, clis = await self.begin()
        with client_of(redis) as client:
            for key in client("KEYS", "apptuner:session:*"):  # type: ignore[union-attr]
                client("DEL", str(key))
        phones = [
            await self.join(node, b, "mobile", f"S-{n}", query=f"key={KEY}")
            for n in range(len(clis))
        ]
        for cli, phone in zip(clis, phones, strict=True):
            await cli.expect("mobile_connected")
            await cli.send({"type": "reload"})
            await phone.expect("reload")


class DemotedTest(ClusterCase):
    async def test_claims_follow_the_address_to_the_new_master(self) -> None:
        """The old one keeps its connections open, and is a replica from now on."""
        old, new = await self.redis(), await self.redis()
        wire = Wire()
        self.addCleanup(wire.remove)
        wire.port = old.port
        url = f"redis://127.0.0.1:{wire.listening.getHost().port}"
        a, b = [await self.member(url, name) for name in "ab"]
        node = await self.node(a)
        await self.join(node, a, "cli", "S-1", **bearer(KEY))
        with client_of(new) as client:
            client("REPLICAOF", "127.0.0.1", old.port)
            while "master_link_status:up" not in str(client("INFO", "replication")):
                await pause(0.05)
            client("REPLICAOF", "NO", "ONE")
        with client_of(old) as client:
            client("REPLICAOF", "127.0.0.1", new.port)
        wire.port = new.port
        await self.join(node, a, "cli", "S-2", **bearer(KEY))
        for session in ("S-1", "S-2"):
            for role, shown in (("dashboard", {}), ("cli", bearer(OTHER))):
                url = b.url(role, session)
                refusal = await node.refused(role, session, url=url, **shown)
                self.assertIn(refusal.status, (401, 403))
        await a.logged("claims: Redis refuses to keep them: READONLY")
        cluster = (await a.get("/health")).json()["cluster"]
        self.assertEqual((cluster["claims"], cluster["redis"]), ("connected", "connected"))


class PolicyTest(ClusterCase):
    async def test_a_redis_that_may_drop_keys_is_told(self) -> None:
        redis = await self.redis()
        with client_of(redis) as client:
            client("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        relay = await self.member(redis.url, "a")
        await relay.logged("its maxmemory-policy is allkeys-lru; set it to noeviction")
        metrics = (await relay.get("/metrics")).body
        self.assertIn("apptuner_relay_redis_evicts 1.0", metrics)

    async def test_claims_that_are_refused_are_told(self) -> None:
        redis = await self.redis()
        relay = await self.member(redis.url, "a")
        node = await self.node(relay)
        with client_of(redis) as client:
            client("CONFIG", "SET", "maxmemory", "1")
        await self.join(node, relay, "cli", **bearer(KEY))
        await relay.logged("claims: Redis refuses to keep them: OOM")
        cluster = (await relay.get("/health")).json()["cluster"]
        self.assertEqual((cluster["claims"], cluster["claims_refusal"]), ("refused", "OOM"))
