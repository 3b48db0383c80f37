"""Clients of the Pusher protocol that others wrote, unchanged, at the relay's own ``/app/KEY``.

They are clients of sessions like any others. `tests.managed.own_server.test_app_server` has the
protocol itself, in memory.
"""

import json
from typing import Any

from apptuner_relay.session.session import session_hash
from tests.live.clients import Client, NodeClients
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess, within_patience
from tests.live.pusher_clients import PusherClient, PusherClients
from tests.live.soketi import KEY, SECRET, missing_soketi

SESSION = "ABC234"
CHANNEL = f"presence-apptuner.{session_hash(SESSION)}"
CLAIM = "0123456789abcdef-claim"
OPTIONS = ("--managed", f"relay://{KEY}", "--managed-secret", SECRET)


class AppServerTest(LiveCase):
    skip = LiveCase.skip or missing_soketi()

    async def start(self, *options: str) -> None:
        self.relay_process: RelayProcess
        self.node: NodeClients
        self.relay_process, self.node = await self.stage(*OPTIONS, *options)
        self.clients = PusherClients()
        self.addCleanup(self.clients.stop)
        await self.clients.ready()

    def phone(self, device: str, **params: str) -> PusherClient:
        """A pusher-js, as an application has it. It asks the relay to let it in."""
        port = self.relay_process.port
        endpoint = f"http://127.0.0.1:{port}/pusher/auth"
        params = {"session": SESSION, "deviceId": device} | params
        client = self.clients.start(port, {"endpoint": endpoint, "params": params})
        client.subscribe(CHANNEL)
        return client

    async def cli(self) -> Client:
        return await self.node.join("cli", SESSION)

    @staticmethod
    async def told(client: PusherClient, kind: str) -> dict[str, Any]:
        """The first message of a type that the relay has told a client."""

        def look() -> dict[str, Any] | None:
            for event in client.those("told"):
                for message in event["data"]["messages"]:
                    if message["type"] == kind:
                        found: dict[str, Any] = message
                        return found
            return None

        return await client.until(look)

    @staticmethod
    def say(client: PusherClient, n: int, *messages: dict[str, Any]) -> None:
        client.trigger(CHANNEL, {"epoch": "0123abcd", "n": n, "messages": list(messages)})

    async def test_a_phone_like_any_other(self) -> None:
        await self.start()
        cli = await self.cli()
        phone = self.phone("pixel-9", name="Pixel 9", platform="android")
        joined = json.loads((await cli.expect("mobile_connected")).text or "")
        self.assertEqual(
            (joined["deviceId"], joined["deviceName"], joined["platform"]),
            ("pixel-9", "Pixel 9", "android"),
        )
        welcome = await self.told(phone, "connected")
        self.assertEqual(welcome["sessionId"], session_hash(SESSION))
        there = (await phone.happens("subscribed"))["members"]
        self.assertEqual(sorted(one.split(":")[0] for one in there), ["mobile", "relay"])

        await cli.send({"type": "talk", "from": "cli", "n": 1})
        self.assertEqual(await self.told(phone, "talk"), {"type": "talk", "from": "cli", "n": 1})
        self.say(phone, 1, {"type": "talk", "from": "phone", "n": 2})
        self.assertEqual((await cli.expect("talk")).talk, ["phone", 2])

        sessions = (await self.relay_process.get("/api/sessions")).json()["sessions"]
        self.assertEqual([one["roles"] for one in sessions], [["cli", "mobile"]])
        phone.leave()
        gone = json.loads((await cli.expect("mobile_disconnected")).text or "")
        self.assertEqual(gone["deviceId"], "pixel-9")

    async def test_a_bundle_is_announced(self) -> None:
        await self.start()
        cli = await self.cli()
        phone = self.phone("pixel-9")
        await cli.expect("mobile_connected")
        sent = await cli.push_filler(300_000)
        announced = await self.told(phone, "bundle_available")
        self.assertEqual(announced["url"], f"/bundles/{{session}}/{sent.code.sha256}")
        reply = await self.relay_process.get(announced["url"].replace("{session}", SESSION))
        self.assertEqual((reply.status, len(reply.body)), (200, 300_000))
        self.assertEqual(announced["sha256"], sent.code.sha256)

    async def test_who_may_not_come_in(self) -> None:
        await self.start("--max-mobiles", "1")
        await self.node.join("mobile", SESSION, "deviceId=first")
        late = self.phone("second")
        refused = await late.happens("refused")
        self.assertEqual((refused["channel"], refused["status"]), (CHANNEL, 403))
        page = self.phone("third", role="nobody")
        self.assertEqual((await page.happens("refused"))["status"], 400)

    async def test_a_claimed_session(self) -> None:
        await self.start()
        owner = self.phone("", role="cli", key=CLAIM)
        await self.told(owner, "connected")
        other = self.phone("", role="cli", key=f"{CLAIM}x")
        self.assertEqual((await other.happens("refused"))["status"], 403)
        refused = await self.node.refused("cli", SESSION)
        self.assertEqual(refused.status, 401)

    async def test_a_backend_that_signs_with_the_secret(self) -> None:
        """Private channels, which Pusher's library for servers signs for."""
        await self.start()
        port = self.relay_process.port
        sign = {"appId": "1", "key": KEY, "secret": SECRET, "host": "127.0.0.1", "port": port}
        one, other = (self.clients.start(port, {"sign": sign}) for _ in range(2))
        for client in (one, other):
            client.subscribe("private-apptuner.x")
            await client.happens("subscribed")
        one.trigger("private-apptuner.x", {"n": 1})
        told = await other.happens("told")
        self.assertEqual((told["data"], told["user"]), ({"n": 1}, None))
        wrong = self.clients.start(port, {"sign": sign | {"secret": "other-secret"}})
        wrong.subscribe("private-apptuner.x")
        self.assertEqual((await wrong.happens("refused"))["status"], 401)

    async def test_another_key(self) -> None:
        await self.start()
        client = self.clients.start(self.relay_process.port, {"endpoint": ""}, key="other")
        error = await client.happens("error")
        self.assertEqual(error["error"]["code"], 4001)

    async def test_a_relay_that_stops(self) -> None:
        await self.start()
        cli = await self.cli()
        phone = self.phone("pixel-9")
        await cli.expect("mobile_connected")
        self.relay_process.child.signal("TERM")
        await phone.until(lambda: phone.those("state")[-1]["state"] != "connected" or None)
        self.assertEqual(phone.those("error")[0]["error"]["code"], 4200)
        await within_patience(self.relay_process.child.over(), lambda: repr(phone))
        self.relay_process.forget()
        self.assertNotIn("Traceback", self.relay_process.log)
