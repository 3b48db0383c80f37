"""A relay's process that ends without a word is noticed at once; one that is only slow, stopping or
shut off is not taken for one that has ended."""

from tests.live.clients import NodeClients
from tests.live.cluster import Wire, owner_in
from tests.live.harness import together
from tests.live.processes import RelayProcess
from tests.live.redis import RedisProcess, client_of
from tests.live.test_cluster import FaultCase, pause

ENDED = "relay a: has ended"
FREEZE_S = 20


class CrashCase(FaultCase):
    def assertNotTakenForEnded(self, *relays: RelayProcess) -> None:
        for relay in relays:
            self.assertNotIn(ENDED, relay.log)


class EndedTest(CrashCase):
    async def test_nobody_waits_for_the_lease_of_one_that_was_killed(self) -> None:
        redis, (a, b, c), node, cli, phone = await self.begin()
        with client_of(redis) as client:
            # Its lease would not end within this test.
            client("EXPIRE", "apptuner:node:a", 3600)
            a.child.signal("KILL")
            a.forget()
            await cli.expect("mobile_connected")
            self.assertFalse(client("EXISTS", "apptuner:node:a"))
        self.assertIn(owner_in(redis), ("b", "c"))
        self.assertIn(ENDED, b.log + c.log)
        # Whoever was connected to it finds the session, too.
        here = await self.join(node, b, "mobile", query="deviceId=here")
        await self.works(cli, phone, here)

    async def test_all_of_its_clients_were_connected_to_it(self) -> None:
        redis, (a, b, c), node = await self.cluster(3)
        old = await self.join(node, a, "cli")
        a.child.signal("KILL")
        a.forget()
        await old.closed()
        cli, phone = await together(
            self.join(node, b, "cli"), self.join(node, c, "mobile", query="deviceId=d1")
        )
        await self.works(cli, phone)
        self.assertIn(owner_in(redis), ("b", "c"))
        self.assertIn(ENDED, b.log + c.log)

    async def test_one_of_that_name_that_is_started_again_is_another(self) -> None:
        redis, (a, _, _), node, cli, phone = await self.begin()
        a.child.signal("KILL")
        a.forget()
        again = await self.member(redis.url, "a")
        await cli.expect("mobile_connected")
        await self.works(cli, phone)
        here = await self.join(node, again, "mobile", query="deviceId=here")
        await self.works(cli, phone, here)
        with client_of(redis) as client:
            self.assertTrue(client("EXISTS", "apptuner:node:a"))


class LivingTest(CrashCase):
    async def test_one_that_is_frozen(self) -> None:
        """Its sessions move when its lease is over, and not before."""
        _, (a, b, c), _, cli, phone = await self.begin()
        a.child.signal("STOP")
        self.addCleanup(a.child.signal, "CONT")
        await cli.expect("mobile_connected")
        await self.works(cli, phone)
        await pause(FREEZE_S)
        a.child.signal("CONT")
        await self.works(cli, phone)
        self.assertNotTakenForEnded(b, c)

    async def test_one_that_stops(self) -> None:
        _, (a, b, c), node, cli, phone = await self.begin()
        here = await self.join(node, a, "mobile", query="deviceId=here")
        await a.stop()
        self.assertEqual((await here.closed())[0], 1012)
        await self.works(cli, phone)
        self.assertNotTakenForEnded(b, c)

    async def test_one_whose_host_refuses_connections(self) -> None:
        redis, a, b, node, wire = await self.behind_a_wire()
        phone = await self.join(node, a, "mobile", query="deviceId=d1")
        cli = await self.join(node, b, "cli")
        await self.works(cli, phone)
        await wire.remove()
        # The session stays where it is, and who can't be brought there is sent away.
        self.assertEqual((await cli.closed())[0], 1013)
        self.assertEqual(owner_in(redis), "a")
        elsewhere = await self.join(node, a, "cli")
        await self.works(elsewhere, phone)
        self.assertNotTakenForEnded(b)

    async def behind_a_wire(
        self,
    ) -> tuple[RedisProcess, RelayProcess, RelayProcess, NodeClients, Wire]:
        redis, wire = await self.redis(), Wire()
        a = await self.member(redis.url, "a", "--node-address", wire.address)
        wire.lead_to(a)
        b = await self.member(redis.url, "b")
        return redis, a, b, await self.node(a), wire
