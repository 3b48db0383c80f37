"""Redis at its worst: it dies while clients wait for it, is demoted, comes back empty, is full."""

from tests.live.cluster import ClusterCase, owner_in
from tests.live.harness import together
from tests.live.processes import RelayProcess
from tests.live.test_cluster import pause

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
