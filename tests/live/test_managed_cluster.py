"""Relays that share their sessions, and a channel: the relay that has a session speaks there."""

from twisted.internet.defer import ensureDeferred

from tests.live.channel_phones import ChannelClient
from tests.live.clients import Client, NodeClients
from tests.live.cluster import ClusterCase, owner_in
from tests.live.processes import RelayProcess
from tests.live.pusher_clients import PusherClients
from tests.live.redis import RedisProcess, missing_redis
from tests.live.soketi import SoketiProcess
from tests.live.test_managed import ManagedCase, log, managed_by

LINES = 20


class ManagedClusterTest(ManagedCase, ClusterCase):
    skip = ManagedCase.skip or missing_redis()

    async def on_cluster(
        self, *options: str
    ) -> tuple[RedisProcess, list[RelayProcess], SoketiProcess, NodeClients, PusherClients]:
        soketi = await self.soketi()
        redis, relays, node = await self.cluster(2, *managed_by(soketi), *options)
        return redis, relays, soketi, node, await self.pushers()

    async def test_a_phone_may_ask_any_relay(self) -> None:
        _, [a, b], soketi, node, clients = await self.on_cluster()
        cli = await self.join(node, a, "cli")
        phone = await self.phone(clients, b, soketi.port)
        self.assertEqual((await cli.expect("mobile_connected")).data["deviceId"], "p1")
        sent = await cli.push_filler(300_000)
        bundle = await phone.hears("bundle_available")
        self.assertEqual(bundle["sha256"], sent.code.sha256)
        await self.fetch(b, bundle)
        phone.say({"type": "bundle_ack", "success": True}, log(1))
        await cli.expect("bundle_ack")
        await cli.expect("console_log")

    async def test_a_session_that_moves_takes_its_phones_along(self) -> None:
        redis, [a, b], soketi, node, clients = await self.on_cluster()
        # Whoever is first makes its relay the owner.
        first = await self.join(node, a, "desktop")
        self.assertEqual(owner_in(redis), "a")
        cli, page = [await self.join(node, b, role) for role in ("cli", "dashboard")]
        phone = await self.phone(clients, a, soketi.port)
        await cli.expect("mobile_connected")
        await self.talk(phone, cli, page, range(LINES))
        await a.stop()
        await first.closed()
        await b.logged("mobile is connected here now")
        self.assertEqual(owner_in(redis), "b")
        await self.talk(phone, cli, page, range(LINES, 2 * LINES))
        self.check_once(phone, cli, page, 2 * LINES)
        # It stayed where it was, and nobody was told that it went.
        self.assertEqual(len(phone.pusher.those("subscribed")), 1)
        self.assertEqual([one for one in cli.seen if one.type == "mobile_disconnected"], [])

    async def test_what_is_said_while_a_session_moves_comes_once(self) -> None:
        # More is said than a client may by default.
        _, [a, b], soketi, node, clients = await self.on_cluster("--message-rate", "0")
        await self.join(node, a, "desktop")
        cli, page = [await self.join(node, b, role) for role in ("cli", "dashboard")]
        phone = await self.phone(clients, a, soketi.port)
        await cli.expect("mobile_connected")
        stopping = ensureDeferred(a.stop())
        count = 0
        while not stopping.called:
            await cli.send({"type": "reload", "n": count})
            phone.say(log(count))
            count += 1
        await stopping
        await b.logged("mobile is connected here now")
        await cli.send({"type": "reload", "n": count})
        phone.say(log(count))
        await phone.pusher.until(lambda: count in numbers_of(phone) or None)
        for client in (cli, page):
            while (await client.expect("console_log")).data["payload"]["args"] != [count]:
                pass
        self.assertEqual(numbers_of(phone), sorted(set(numbers_of(phone))))
        for client in (cli, page):
            logs = [one.data["payload"]["args"] for one in client.seen if one.type == "console_log"]
            self.assertEqual([n for [n] in logs], sorted({n for [n] in logs}))

    async def test_a_relay_that_dies_is_followed_by_another(self) -> None:
        redis, [a, b], soketi, node, clients = await self.on_cluster()
        await self.join(node, a, "desktop")
        phone = await self.phone(clients, b, soketi.port)
        self.assertEqual(owner_in(redis), "a")
        a.forget()
        a.child.signal("KILL")
        await a.child.over()
        cli, page = [await self.join(node, b, role) for role in ("cli", "dashboard")]
        for client in (cli, page):
            await client.expect("mobile_connected")
        await self.talk(phone, cli, page, range(LINES))
        self.check_once(phone, cli, page, LINES)

    async def talk(self, phone: ChannelClient, cli: Client, page: Client, numbers: range) -> None:
        """Have both sides say something so often, and hear it."""
        for n in numbers:
            await cli.send({"type": "reload", "n": n})
            phone.say(log(n))
        await phone.hears("reload", numbers.stop)
        for client in (cli, page):
            for _ in numbers:
                await client.expect("console_log")

    def check_once(self, phone: ChannelClient, cli: Client, page: Client, count: int) -> None:
        """All of it came, in order, and nothing twice."""
        self.assertEqual([one["n"] for one in phone.those("reload")], list(range(count)))
        for client in (cli, page):
            logs = [one.data for one in client.seen if one.type == "console_log"]
            self.assertEqual([one["payload"]["args"] for one in logs], [[n] for n in range(count)])


def numbers_of(phone: ChannelClient) -> list[int]:
    """What it was told to reload."""
    return [one["n"] for one in phone.those("reload")]
