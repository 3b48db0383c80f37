"""Sessions some of whose clients are on a channel, of Soketi or of the relay itself.

The clients there are pusher-js; those on the relay are Node's ws, as ever.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.channel_phones import SESSION, ChannelClient
from tests.live.clients import Client, NodeClients, missing
from tests.live.harness import LiveCase, together
from tests.live.ports import free_port
from tests.live.processes import REPOSITORY, Child, RelayProcess, checkout_env, within_patience
from tests.live.pusher_clients import PusherClients
from tests.live.soketi import FOLDER, KEY, SECRET, SoketiProcess, missing_soketi

LINES = 40


class ManagedCase(LiveCase):
    """A test with a relay that has ``--managed``."""

    skip = missing() or missing_soketi()

    async def soketi(self) -> SoketiProcess:
        soketi = SoketiProcess()
        self.addCleanup(soketi.remove)
        await soketi.start()
        return soketi

    async def pushers(self) -> PusherClients:
        clients = PusherClients()
        self.addCleanup(clients.stop)
        await clients.ready()
        return clients

    async def on_soketi(
        self, *options: str
    ) -> tuple[SoketiProcess, RelayProcess, NodeClients, PusherClients]:
        soketi = await self.soketi()
        relay, node = await self.stage(*managed_by(soketi), *options)
        return soketi, relay, node, await self.pushers()

    async def phone(
        self, clients: PusherClients, relay: RelayProcess, port: int, **fields: str
    ) -> ChannelClient:
        """A phone on a channel, which is in its session."""
        device = {"deviceId": "p1", "name": "Pixel 9", "platform": "android"}
        phone = ChannelClient(clients, relay, port, **device, **fields)
        await phone.in_channel()
        await phone.hears("connected")
        return phone

    async def fetch(self, relay: RelayProcess, bundle: dict[str, Any]) -> None:
        """Download what was announced; it has to be that."""
        path = bundle["url"].replace("{session}", SESSION)
        answer = await relay.get(path)
        self.assertEqual(answer.status, 200, answer)
        content = answer.body.encode()
        self.assertEqual(
            (hashlib.sha256(content).hexdigest(), len(content)), (bundle["sha256"], bundle["size"])
        )

    async def health(self, relay: RelayProcess, status: str, state: str) -> None:
        """Wait until ``/health`` has that status, with the service in that state."""
        while True:
            answer = await relay.get("/health")
            self.assertEqual(answer.status, 200)
            health = answer.json()
            if (health["status"], health["managed"]["state"]) == (status, state):
                return
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]


def managed_by(soketi: SoketiProcess) -> tuple[str, ...]:
    return ("--managed", soketi.url(), "--managed-secret", SECRET)


class SessionTest(ManagedCase):
    async def test_a_bundle_comes_to_a_phone_on_a_channel(self) -> None:
        soketi, relay, node, clients = await self.on_soketi()
        await self.check_session(relay, node, clients, soketi.port)

    async def test_the_relay_itself_can_be_the_service(self) -> None:
        relay, node = await self.stage("--managed", f"relay://{KEY}")
        await self.check_session(relay, node, await self.pushers(), relay.port)

    async def test_it_can_be_beside_a_service(self) -> None:
        _, relay, node, clients = await self.on_soketi()
        await self.check_session(relay, node, clients, relay.port)

    async def check_session(
        self, relay: RelayProcess, node: NodeClients, clients: PusherClients, port: int
    ) -> None:
        cli = await node.join("cli", SESSION)
        phone = await self.phone(clients, relay, port)
        came = await cli.expect("mobile_connected")
        self.assertEqual((came.data["deviceId"], came.data["deviceName"]), ("p1", "Pixel 9"))
        [listed] = (await cli.expect("device_list")).data["devices"]
        self.assertEqual((listed["deviceId"], listed["platform"]), ("p1", "android"))
        # Another one, that is not on the channel, in the same session.
        old = await node.join("mobile", SESSION, "deviceId=old")
        await cli.expect("mobile_connected")
        sent = await cli.push_filler(2_000_000, chunked=True)
        self.assertEqual((await old.bundle()).code, sent.code)
        bundle = await phone.hears("bundle_available")
        self.assertEqual(bundle["sha256"], sent.code.sha256)
        await self.fetch(relay, bundle)
        phone.say({"type": "bundle_ack", "success": True, "timestamp": 1})
        ack = (await cli.expect("bundle_ack")).data
        self.assertTrue(ack["success"])
        phone.say(*(log(n) for n in range(3)))
        logs = [await cli.expect("console_log") for _ in range(3)]
        self.assertEqual([one.data["payload"]["args"] for one in logs], [[0], [1], [2]])
        await cli.send({"type": "reload"})
        await phone.hears("reload")
        phone.pusher.leave()
        gone = await cli.expect("mobile_disconnected")
        self.assertEqual(gone.data["deviceId"], "p1")

    async def test_logs_come_joined_to_a_page_on_a_channel(self) -> None:
        soketi, relay, node, clients = await self.on_soketi()
        page = ChannelClient(clients, relay, soketi.port, role="dashboard")
        await page.hears("connected")
        phone = await node.join("mobile", SESSION, "deviceId=old")
        await page.hears("mobile_connected")
        before = len(page.pusher.those("told"))
        await phone.send_burst([log(n) for n in range(LINES)])
        await page.hears("console_log", LINES)
        told = [one["payload"]["args"] for one in page.those("console_log")]
        self.assertEqual(told, [[n] for n in range(LINES)])
        self.assertLess(len(page.pusher.those("told")) - before, LINES / 4)

    async def test_who_may_not_come_in_is_told(self) -> None:
        soketi, relay, node, clients = await self.on_soketi("--max-mobiles", "1")
        await node.join("mobile", SESSION, "deviceId=old")
        phone = ChannelClient(clients, relay, soketi.port, deviceId="p1")
        refused = await phone.pusher.happens("refused")
        self.assertEqual(refused["status"], 403)

    async def test_bundles_that_pass_while_a_phone_is_away(self) -> None:
        soketi, relay, node, clients = await self.on_soketi()
        cli = await node.join("cli", SESSION)
        phone = await self.phone(clients, relay, soketi.port)
        await cli.expect("mobile_connected")
        phone.pusher.leave()
        await cli.expect("mobile_disconnected")
        sent = [await cli.push_filler(300_000 + n) for n in range(3)]
        # Until it is kept, a phone that comes is not told of it.
        await self.kept(relay, sent[-1].code.sha256)
        phone.pusher.come_back()
        await phone.in_channel(2)
        phone.say({"type": "state_wanted"})
        bundle = (await phone.hears("state"))["bundle"]
        self.assertEqual(bundle["sha256"], sent[-1].code.sha256)
        await self.fetch(relay, bundle)
        self.assertEqual({one["sha256"] for one in phone.those("bundle_available")}
                         - {sent[-1].code.sha256}, set())  # fmt: skip

    async def kept(self, relay: RelayProcess, sha256: str) -> None:
        while (await relay.get(f"/bundles/{SESSION}/{sha256}", "HEAD")).status != 200:
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]


class AwayTest(ManagedCase):
    """The service fails while clients on the relay talk to each other."""

    async def disturbed(
        self, how: str
    ) -> tuple[SoketiProcess, RelayProcess, ChannelClient, Client]:
        """Have it fail in the middle of a talk, which has to go on."""
        soketi, relay, node, clients = await self.on_soketi()
        cli = await node.join("cli", SESSION)
        old = await node.join("mobile", SESSION, "deviceId=old")
        phone = await self.phone(clients, relay, soketi.port)
        await cli.expect("mobile_connected")
        await cli.expect("mobile_connected")
        await old.send_burst([log(n) for n in range(LINES)])
        if how == "STOP":
            soketi.freeze()
        elif how == "KILL":
            await soketi.kill()
        else:
            await soketi.stop()
        await old.send_burst([log(n) for n in range(LINES, 2 * LINES)])
        sent = await cli.push_filler(3_000_000, chunked=True)
        self.assertEqual((await old.bundle()).code, sent.code)
        logs = [(await cli.expect("console_log")).data["payload"]["args"] for _ in range(2 * LINES)]
        self.assertEqual(logs, [[n] for n in range(2 * LINES)])
        return soketi, relay, phone, cli

    async def check_ended(self, how: str) -> None:
        soketi, relay, phone, cli = await self.disturbed(how)
        await self.health(relay, "degraded", "away")
        await soketi.start()
        await self.health(relay, "ok", "up")
        # pusher-js comes back by itself, after a while.
        await phone.in_channel(2)
        phone.say({"type": "state_wanted"})
        bundle = (await phone.hears("state"))["bundle"]
        await self.fetch(relay, bundle)
        await cli.send({"type": "reload"})
        await phone.hears("reload")

    async def test_it_is_killed(self) -> None:
        await self.check_ended("KILL")

    async def test_it_restarts(self) -> None:
        await self.check_ended("TERM")

    async def test_it_hangs(self) -> None:
        soketi, _, phone, cli = await self.disturbed("STOP")
        await cli.send({"type": "reload"})
        soketi.thaw()
        await phone.hears("reload")
        phone.say(log(-1))
        self.assertEqual((await cli.expect("console_log")).data["payload"]["args"], [-1])


class RestartTest(ManagedCase):
    """The relay restarts, with the option and without, while clients are connected."""

    async def again(self, port: int, *options: str) -> RelayProcess:
        relay = RelayProcess(["--listen", f"tcp:{port}:interface=127.0.0.1", *options])
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def test_with_the_option_without_it_and_with_it_again(self) -> None:
        soketi, port, clients = await self.soketi(), free_port(), await self.pushers()
        relay = await self.again(port, *managed_by(soketi))
        node = await self.node(relay)
        cli = await node.join("cli", SESSION)
        phone = await self.phone(clients, relay, soketi.port)
        await relay.stop()
        self.assertEqual((await phone.hears("closed"))["code"], 1012)
        self.assertEqual((await cli.closed())[0], 1012)

        relay = await self.again(port)
        self.assertNotIn("managed", (await relay.get("/health")).json())
        cli = await node.join("cli", SESSION)
        old = await node.join("mobile", SESSION, "deviceId=old")
        phone.come_in_anew()
        # As any request with a body that this relay doesn't know.
        self.assertEqual((await phone.pusher.happens("refused"))["status"], 413)
        sent = await cli.push_filler(200_000)
        self.assertEqual((await old.bundle()).code, sent.code)
        await relay.stop()
        await together(cli.closed(), old.closed())

        relay = await self.again(port, *managed_by(soketi))
        cli = await node.join("cli", SESSION)
        phone.come_in_anew()
        await phone.in_channel(2)
        came = await cli.expect("mobile_connected")
        self.assertEqual(came.data["deviceId"], "p1")

    async def test_a_relay_that_dies_is_followed_by_one_that_knows_the_phones(self) -> None:
        soketi, port, clients = await self.soketi(), free_port(), await self.pushers()
        relay = await self.again(port, *managed_by(soketi))
        phone = await self.phone(clients, relay, soketi.port)
        relay.forget()
        relay.child.signal("KILL")
        await relay.child.over()
        relay = await self.again(port, *managed_by(soketi))
        node = await self.node(relay)
        cli = await node.join("cli", SESSION)
        came = await cli.expect("mobile_connected")
        self.assertEqual((came.data["deviceId"], came.data["deviceName"]), ("p1", "Pixel 9"))
        sent = await cli.push_filler(200_000)
        bundle = await phone.hears("bundle_available")
        self.assertEqual(bundle["sha256"], sent.code.sha256)
        self.assertEqual(len(phone.pusher.those("subscribed")), 1)


class ProgramsTest(ManagedCase):
    """The companion program, and the phone in fifty lines, on either side of a channel."""

    def companion(self, name: str, relay: RelayProcess, url: str, *arguments: str) -> Child:
        program = [sys.executable, "-m", "apptuner_relay.client.main", name, *arguments]
        place = ["--relay", f"ws://127.0.0.1:{relay.port}", "--managed", url, "--session", SESSION]
        child = Child([*program, *place], env=checkout_env())
        self.addCleanup(child.kill)
        return child

    async def check(self, relay: RelayProcess, url: str) -> None:
        source, got = (Path(self.mktemp()).resolve() for _ in "ab")
        code = "let x = 'caf\u00e9 \U0001f680';\n" * 40_000
        source.write_text(code, "utf-8")
        join = self.companion("join", relay, url, "--once", "--output", str(got), "--name", "Ann's")
        push = self.companion("push", relay, url, str(source))
        for child in (push, join):
            await within_patience(child.over(), lambda: f"{push!r}\n{join!r}")
        self.assertEqual((push.exit_code, join.exit_code), (0, 0), f"{push!r}\n{join!r}")
        self.assertEqual(got.read_text("utf-8"), code)
        self.assertIn("Ann's", push.out)

    async def test_the_companion_by_soketi(self) -> None:
        soketi, relay, _, _ = await self.on_soketi()
        await self.check(relay, soketi.url())

    async def test_the_companion_by_the_relay_itself(self) -> None:
        url = f"relay://{KEY}"
        relay = await self.relay("--managed", url)
        await self.check(relay, url)

    async def test_the_companion_comes_back_after_the_service_and_after_the_relay(self) -> None:
        soketi, port = await self.soketi(), free_port()
        options = ["--listen", f"tcp:{port}:interface=127.0.0.1", *managed_by(soketi)]
        source, got = (Path(self.mktemp()).resolve() for _ in "ab")

        async def start() -> RelayProcess:
            relay = RelayProcess(options)
            self.addCleanup(relay.stop)
            await relay.listening()
            return relay

        async def push(code: str) -> None:
            source.write_text(code)
            child = self.companion("push", relay, soketi.url(), str(source))
            await within_patience(child.over(), lambda: f"{child!r}\n{join!r}\n{relay.log}")
            self.assertEqual(child.exit_code, 0, f"{child!r}\n{join!r}")
            self.assertEqual(got.read_text(), code)

        relay = await start()
        join = self.companion("join", relay, soketi.url(), "--output", str(got))
        await push("first")
        await soketi.kill()
        await soketi.start()
        await push("second")
        await relay.stop()
        relay = await start()
        await push("third")

    async def test_the_phone_of_the_examples(self) -> None:
        soketi, relay, node, _ = await self.on_soketi()
        # Node looks for packages beside the program.
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        (directory / "node_modules").symlink_to(FOLDER / "node_modules")
        program, got = directory / "channel_phone.mjs", directory / "got.js"
        text = (REPOSITORY / "docs/examples/channel_phone.mjs").read_text("utf-8")
        program.write_text(text, "utf-8")
        places = [f"http://127.0.0.1:{port}" for port in (relay.port, soketi.port)]
        cli = await node.join("cli", SESSION)
        command = ["node", str(program), places[0], KEY, SESSION, str(got), places[1]]
        phone = Child(command)
        self.addCleanup(phone.kill)
        await cli.expect("mobile_connected")
        sent = await cli.push_filler(200_000)
        ack = (await cli.expect("bundle_ack")).data
        self.assertTrue(ack["success"], repr(phone))
        self.assertEqual(hashlib.sha256(got.read_bytes()).hexdigest(), sent.code.sha256)


def log(n: int) -> dict[str, object]:
    return {"type": "console_log", "payload": {"level": "log", "args": [n]}, "timestamp": n}
