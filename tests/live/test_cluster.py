"""Relays that share sessions, and what may become of them: killed, frozen, drained, cut off."""

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tests.live.clients import Client, NodeClients
from tests.live.cluster import SECRET, ClusterCase, Wire, owner_in
from tests.live.harness import together
from tests.live.namespaces import TwoHosts, missing_namespaces
from tests.live.ports import free_port
from tests.live.processes import PATIENCE_S, RelayProcess
from tests.live.redis import RedisProcess, SentinelProcess, client_of

SIZE = 3_000_000


class FaultCase(ClusterCase):
    """Three relays: a has the session, b and c have clients of it."""

    async def begin(
        self, *options: str
    ) -> tuple[RedisProcess, list[RelayProcess], NodeClients, Client, Client]:
        redis, relays, node = await self.cluster(3, *options)
        a, b, c = relays
        first = await self.join(node, a, "dashboard")
        cli = await self.join(node, b, "cli")
        phone = await self.join(node, c, "mobile", query="deviceId=far")
        self.assertEqual(owner_in(redis), "a")
        await first.settle()
        await self.works(cli, phone)
        return redis, relays, node, cli, phone

    async def works(self, cli: Client, *phones: Client) -> None:
        """A bundle arrives, whole and once, and is acknowledged."""
        for client in (cli, *phones):
            await client.settle()
        sent = await cli.push_filler(SIZE)
        for phone in phones:
            message = await phone.next()
            self.assertEqual(message.sha256, sent.sha256[0])
            self.assertEqual(await phone.settle(), [])
            await phone.send({"type": "bundle_ack", "success": True})
        for _ in phones:
            await cli.expect("bundle_ack")

    async def owned_by_one_of(self, redis: RedisProcess, *nodes: str) -> str:
        """Wait until one of these has the session."""
        for _ in range(int(PATIENCE_S / 0.05)):
            owner = owner_in(redis)
            if owner in nodes:
                return owner
            await pause(0.05)
        raise AssertionError(f"{owner_in(redis)} has the session")


async def pause(seconds: float) -> None:
    """For waiting on what can only be looked at again and again."""
    from twisted.internet import reactor

    await deferLater(reactor, seconds)  # type: ignore[arg-type]


class KilledTest(FaultCase):
    async def test_the_owner_is_killed(self) -> None:
        redis, (a, _, _), _, cli, phone = await self.begin()
        a.child.signal("KILL")
        a.forget()
        # Who was not connected to it stays connected, and the CLI is told to send again.
        await cli.expect("mobile_connected")
        self.assertIn(await self.owned_by_one_of(redis, "b", "c"), "bc")
        await self.works(cli, phone)

    async def test_the_owner_is_killed_in_the_middle_of_chunks(self) -> None:
        _, (a, _, c), node, cli, phone = await self.begin()
        first = {"type": "bundle_start", "totalChunks": 4, "totalSize": 40_000}
        chunks = [
            {"type": "bundle_chunk", "index": n, "totalChunks": 4, "data": "x" * 10_000}
            for n in range(4)
        ]
        for message in (first, *chunks[:2]):
            await cli.send(message)
        await phone.expect("bundle_chunk")
        await phone.expect("bundle_chunk")
        a.child.signal("KILL")
        a.forget()
        for message in chunks[2:]:
            await cli.send(message)
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)
        again = await self.join(node, c, "mobile", query="deviceId=far")
        await cli.expect("mobile_connected")
        await self.works(cli, again)

    async def test_the_owner_is_frozen_and_thawed(self) -> None:
        redis, (a, _, _), node, cli, phone = await self.begin()
        here = await self.join(node, a, "mobile", query="deviceId=here")
        await cli.expect("mobile_connected")
        a.child.signal("STOP")
        self.addCleanup(a.child.signal, "CONT")
        await cli.expect("mobile_connected")
        await self.owned_by_one_of(redis, "b", "c")
        await self.works(cli, phone)
        a.child.signal("CONT")
        # Its own clients come after the session, without a new connection.
        await cli.expect("mobile_connected")
        await self.works(cli, phone, here)

    async def test_a_relay_that_is_not_the_owner_is_killed(self) -> None:
        redis, (_, b, c), node, cli, _ = await self.begin()
        c.child.signal("KILL")
        c.forget()
        await cli.expect("mobile_disconnected")
        self.assertEqual(owner_in(redis), "a")
        again = await self.join(node, b, "mobile", query="deviceId=far")
        await self.works(cli, again)


class DrainedTest(FaultCase):
    async def test_the_owner_is_stopped(self) -> None:
        redis, (a, _, _), node, cli, phone = await self.begin()
        here = await self.join(node, a, "mobile", query="deviceId=here")
        await cli.settle()
        told_before = len(cli.seen)
        stopping = ensureDeferred(a.stop())
        code, _ = await here.closed()
        self.assertEqual(code, 1012)
        await stopping
        self.assertIn(owner_in(redis), ("b", "c"))
        # Nobody is told anything but that the clients of the relay that stopped have gone.
        await cli.expect("mobile_disconnected")
        await cli.settle()
        told = [message.type for message in cli.seen[told_before:]]
        self.assertNotIn("mobile_connected", told)
        self.assertEqual(told.count("mobile_disconnected"), 1)
        await self.works(cli, phone)

    async def test_while_bundles_pass(self) -> None:
        _, (a, _, _), _, cli, phone = await self.begin()
        codes = [await cli.start_filler(SIZE + n) for n in range(5)]
        got = [(await phone.bundle()).code]
        await a.stop()
        while got[-1] != codes[-1]:
            got.append((await phone.bundle()).code)
        # One that a newer one has taken the place of in time need not come.
        self.assertEqual(got, [code for code in codes if code in got])
        self.assertEqual(await phone.settle(), [])
        await self.works(cli, phone)

    async def test_all_but_one(self) -> None:
        redis, (a, b, c), node, cli, phone = await self.begin()
        await a.stop()
        last = await self.join(node, c, "cli")
        await cli.closed()
        await b.stop()
        self.assertEqual(owner_in(redis), "c")
        await self.works(last, phone)


class CutTest(FaultCase):
    """Relays that can't reach each other."""

    async def test_the_bridge_is_cut(self) -> None:
        redis = await self.redis()
        wire = Wire()
        self.addCleanup(wire.remove)
        a = await self.member(redis.url, "a", "--node-address", wire.address)
        wire.lead_to(a)
        b = await self.member(redis.url, "b")
        node = await self.node(a)
        near = await self.join(node, a, "mobile", query="deviceId=near")
        phone = await self.join(node, b, "mobile", query="deviceId=far")
        cli = await self.join(node, b, "cli")
        await self.works(cli, near, phone)
        for _ in range(3):
            wire.cut()
            await cli.expect("mobile_connected")
            await phone.settle()
            await self.works(cli, near, phone)
        self.assertEqual(owner_in(redis), "a")
        # In the middle of a bundle, a phone can only be closed.
        before = await phone.bytes_read()
        start = '{"type":"bundle_update","payload":{"code":"'
        await cli.send_half(start + "x" * 100_000, claim=1_000_000)
        await phone.bytes_arrived(before + 50_000)
        wire.cut()
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)
        again = await self.join(node, b, "mobile", query="deviceId=far")
        await cli.expect("mobile_connected")
        await again.settle()

    async def test_two_relays_ask_at_once(self) -> None:
        redis, (a, b), node = await self.cluster(2)
        for n in range(10):
            session = f"SESSION{n}"
            cli, phone = await together(
                self.join(node, a, "cli", session),
                self.join(node, b, "mobile", session),
            )
            await cli.expect("mobile_connected")
            await self.works(cli, phone)
            self.assertIn(owner_in(redis, session), ("a", "b"))


class NetworkTest(FaultCase):
    """Relays on hosts of their own, and a network that is cut between them."""

    skip = FaultCase.skip or missing_namespaces()

    async def hosts(self) -> tuple[TwoHosts, RedisProcess, RelayProcess, RelayProcess]:
        hosts = TwoHosts()
        self.addCleanup(hosts.remove)
        redis = RedisProcess("--bind", "127.0.0.1", *hosts.here.values(), "--protected-mode", "no")
        self.addCleanup(redis.remove)
        await redis.start()
        a, b = [await self.on_host(hosts, redis, one) for one in "ab"]
        return hosts, redis, a, b

    async def on_host(self, hosts: TwoHosts, redis: RedisProcess, name: str) -> RelayProcess:
        port = free_port()
        relay = RelayProcess(
            [
                *("--listen", f"tcp:{port}:interface={hosts.outside[name]}"),
                *("--listen", f"tcp:{port}:interface={hosts.between[name]}"),
                *(
                    "--redis",
                    f"redis://{hosts.here[name]}:{redis.port}",
                    "--cluster-secret",
                    SECRET,
                ),
                *("--node", name, "--node-address", f"ws://{hosts.between[name]}:{port}"),
            ],
            host=hosts.outside[name],
            within=hosts.within(name),
        )
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def test_relays_that_do_not_reach_each_other(self) -> None:
        hosts, redis, a, b = await self.hosts()
        node = await self.node(a)
        phone = await self.join(node, a, "mobile", query="deviceId=d1")
        cli = await self.join(node, b, "cli")
        await self.works(cli, phone)
        hosts.cut("a", "across")
        # The session stays where it is, and who can't be brought there is sent away.
        code, _ = await cli.closed()
        self.assertEqual(code, 1013)
        self.assertEqual(owner_in(redis), "a")
        refusal = await node.refused("cli", "ABC234", url=b.url("cli", "ABC234"))
        self.assertEqual(refusal.status, 503)
        self.assertIn("can't be reached", refusal.json()["error"])
        await phone.settle()
        elsewhere = await self.join(node, a, "cli")
        await self.works(elsewhere, phone)
        hosts.mend("a", "across")
        second = await self.join(node, b, "mobile", query="deviceId=d2")
        await self.works(elsewhere, phone, second)

    async def test_a_relay_that_reaches_nobody(self) -> None:
        hosts, redis, a, b = await self.hosts()
        node = await self.node(a)
        here = await self.join(node, a, "mobile", query="deviceId=here")
        cli = await self.join(node, b, "cli")
        phone = await self.join(node, b, "mobile", query="deviceId=there")
        await self.works(cli, here, phone)
        hosts.cut("a", "across")
        hosts.cut("a", "out")
        # b takes the session when a's lease is over.
        await cli.expect("mobile_connected")
        await self.owned_by_one_of(redis, "b")
        await self.works(cli, phone)
        hosts.mend("a", "across")
        hosts.mend("a", "out")
        # The one that was cut off with a comes after it, on the connection that it has.
        await cli.expect("mobile_connected")
        await self.works(cli, phone, here)


class RedisTest(FaultCase):
    async def test_redis_is_killed_and_started_again(self) -> None:
        redis, (a, b, c), node, cli, phone = await self.begin()
        await redis.kill()
        await together(*(relay.logged("unreachable, trying again") for relay in (a, b, c)))
        await self.works(cli, phone)
        # A client of a session that is known finds it.
        near = await self.join(node, b, "mobile", query="deviceId=near")
        await self.works(cli, phone, near)
        await redis.start()
        await together(*(relay.logged("reached again") for relay in (a, b, c)))
        await self.owned_by_one_of(redis, "a")
        await self.works(cli, phone, near)

    async def test_redis_comes_after_the_relays(self) -> None:
        redis = await self.redis()
        await redis.kill()
        a, b = [await self.member(redis.url, name) for name in "ab"]
        node = await self.node(a)
        await together(*(relay.logged("unreachable, trying again") for relay in (a, b)))
        cli = await self.join(node, a, "cli")
        here = await self.join(node, a, "mobile", query="deviceId=here")
        await self.works(cli, here)
        there = await self.join(node, b, "mobile", query="deviceId=there")
        await redis.start()
        # Whoever gets the session, all of them meet there.
        await cli.expect("mobile_connected")
        await self.owned_by_one_of(redis, "a", "b")
        await self.works(cli, here, there)

    async def test_sentinel_names_another_server(self) -> None:
        master, replica = await self.redis(), await self.redis()
        with client_of(replica) as client:
            client("REPLICAOF", "127.0.0.1", master.port)
        sentinel = SentinelProcess(master)
        self.addCleanup(sentinel.remove)
        await sentinel.start()
        await sentinel.logged("+slave ")
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/relay"
        a, b = [await self.member(url, name) for name in "ab"]
        node = await self.node(a)
        phone = await self.join(node, a, "mobile", query="deviceId=d1")
        cli = await self.join(node, b, "cli")
        await self.works(cli, phone)
        await master.kill()
        await together(*(relay.logged("unreachable, trying again") for relay in (a, b)))
        await self.works(cli, phone)
        await together(*(relay.logged("reached again") for relay in (a, b)))
        await self.owned_by_one_of(replica, "a")
        await self.works(cli, phone)
