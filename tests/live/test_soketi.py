"""Soketi, and clients of its protocol that others wrote, by themselves.

What they do here is what `apptuner_relay.managed` relies on.
"""

import json

from twisted.trial.unittest import TestCase

from tests.live.pusher_clients import PusherClient, PusherClients, signed
from tests.live.soketi import SoketiProcess, missing_soketi

CHANNEL = "presence-apptuner.aa"


class SoketiTest(TestCase):
    timeout = 180
    skip = missing_soketi()

    async def stage(self) -> tuple[SoketiProcess, PusherClients]:
        soketi, clients = SoketiProcess(), PusherClients()
        self.addCleanup(clients.stop)
        self.addCleanup(soketi.remove)
        await clients.ready()
        await soketi.start()
        return soketi, clients

    async def join(
        self, clients: PusherClients, soketi: SoketiProcess, user_id: str
    ) -> PusherClient:
        client = clients.start(soketi.port, signed(user_id, name=user_id))
        client.subscribe(CHANNEL)
        await client.happens("subscribed")
        return client

    async def test_who_is_there_is_told_of_who_comes_says_something_and_leaves(self) -> None:
        soketi, clients = await self.stage()
        a = await self.join(clients, soketi, "a")
        b = await self.join(clients, soketi, "b")
        self.assertEqual(set((await b.happens("subscribed"))["members"]), {"a", "b"})
        added = await a.happens("added")
        self.assertEqual((added["user"], added["info"]), ("b", {"name": "b"}))
        b.trigger(CHANNEL, "a text")
        told = await a.happens("told")
        # The server says who it was.
        self.assertEqual((told["data"], told["user"]), ("a text", "b"))
        b.leave()
        self.assertEqual((await a.happens("removed"))["user"], "b")

    async def test_a_server_publishes_to_all(self) -> None:
        soketi, clients = await self.stage()
        a = await self.join(clients, soketi, "a")
        answer = await clients.server(
            soketi.port, "trigger", CHANNEL, "client-apptuner", json.dumps({"n": 1})
        )
        self.assertEqual(json.loads(answer["body"]), {"ok": True})
        told = await a.happens("told")
        self.assertEqual((told["data"], told["user"]), ({"n": 1}, None))

    async def test_a_refused_secret_comes_as_a_success(self) -> None:
        soketi, clients = await self.stage()
        answer = await clients.server(
            soketi.port, "trigger", CHANNEL, "client-apptuner", "x", secret="wrong"
        )
        self.assertEqual((answer["status"], json.loads(answer["body"])["code"]), (200, 401))

    async def test_a_server_that_comes_back_on_its_port_finds_its_clients_again(self) -> None:
        soketi, clients = await self.stage()
        a = await self.join(clients, soketi, "a")
        await soketi.kill()
        await a.until(lambda: a.those("state")[-1]["state"] != "connected" or None)
        await soketi.start()
        await a.connected(2)
        await a.happens("subscribed", 2)
