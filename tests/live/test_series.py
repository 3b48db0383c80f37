"""Bundles in chunks as released clients send and join them: what a phone runs is one bundle, whole,
whatever happens to it, to its sender, or between two senders.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.clients import TYPESCRIPT, Client, Code, NodeClients
from tests.live.cluster import ClusterCase
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB, RelayProcess

CLI_COMES_BACK_S = 5.0
COUNT = 10
PART = "0123456789abcdef" * 32 * 1024
"""512 KiB, as the CLI's chunks."""


class ReleasedCase(LiveCase):
    """Where clients connect to is told by `place`."""

    async def begin(self, cli: Client) -> None:
        await cli.send({"type": "bundle_start", "totalChunks": COUNT, "totalSize": 1})

    async def part(self, cli: Client, name: str, indices: Sequence[int]) -> None:
        for index in indices:
            chunk = {"type": "bundle_chunk", "index": index, "totalChunks": COUNT}
            await cli.send({**chunk, "data": name + PART})

    async def come_back(self, node: NodeClients, phone: Client, url: str | None = None) -> Client:
        """The phone's connection is over: it comes back, and has what it had."""
        await phone.closed()
        query = "deviceId=phone"
        return await node.join("mobile", "ABC234", query, url=url, keeps=phone.id)

    async def expects_whole(self, cli: Client, phone: Client, **extra: Any) -> None:
        """The next bundle reaches the phone as it is, and the CLI hears so."""
        sent = await cli.push(TYPESCRIPT, chunked=True, **extra)
        self.assertEqual((await phone.bundle()).code, sent.code)
        await phone.send({"type": "bundle_ack", "success": True, "timestamp": 1})
        await cli.expect("bundle_ack")


class OneRelay(ReleasedCase):
    options: Sequence[str] = ()

    async def there(self) -> tuple[RelayProcess, NodeClients, Client, Client]:
        relay, node = await self.stage(*self.options)
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        phone = await node.join("mobile", "ABC234", "deviceId=phone")
        await cli.expect("mobile_connected")
        return relay, node, cli, phone

    async def test_a_phone_that_drops_and_comes_back_runs_no_mixture(self) -> None:
        _, node, cli, phone = await self.there()
        await self.begin(cli)
        await self.part(cli, "A", range(5))
        for _ in range(5):
            await phone.expect("bundle_chunk")
        await phone.terminate()
        phone = await self.come_back(node, phone)
        await cli.expect("mobile_connected")
        await self.part(cli, "B", range(5, 10))
        self.assertEqual([one for one in await phone.settle() if one.type != "pong"], [])
        await self.expects_whole(cli, phone)

    async def test_a_sender_that_dies_between_chunks(self) -> None:
        relay, node, cli, phone = await self.there()
        await self.begin(cli)
        await self.part(cli, "A", range(5))
        await phone.expect("bundle_chunk")
        await cli.terminate()
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)
        await relay.logged("cut short")
        phone = await self.come_back(node, phone)
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        await cli.expect("mobile_connected")
        await self.expects_whole(cli, phone)

    async def test_a_sender_whose_place_is_taken_between_chunks(self) -> None:
        _, node, cli, phone = await self.there()
        await self.begin(cli)
        await self.part(cli, "A", range(5))
        await phone.expect("bundle_chunk")
        second = await node.join("cli", "ABC234")
        self.assertEqual((await phone.closed())[0], 1011)
        phone = await self.come_back(node, phone)
        await second.expect("mobile_connected")
        await self.expects_whole(second, phone)

    async def test_two_senders_at_the_same_time(self) -> None:
        _, node, cli, phone = await self.there()
        page = await node.join("desktop", "ABC234")
        await self.send_together(cli, page, phone)

    async def test_two_clis_of_one_project_at_the_same_time(self) -> None:
        _, node, cli, phone = await self.there()
        second = await node.join("cli", "ABC234")
        self.assertEqual((await cli.closed())[0], 1000)
        # As released CLIs do, it comes back after 5 s, and is let in beside the newer one.
        await deferLater(reactor, CLI_COMES_BACK_S)  # type: ignore[arg-type]
        first = await node.join("cli", "ABC234", perMessageDeflate=True)
        await self.send_together(first, second, phone)
        await self.begin(second)
        await self.part(second, "A", range(5))
        await phone.expect("bundle_chunk")
        await second.terminate()
        self.assertEqual((await phone.closed())[0], 1011)
        phone = await self.come_back(node, phone)
        await self.expects_whole(first, phone)

    async def send_together(self, cli: Client, page: Client, phone: Client) -> None:
        """Of two senders that send at the same time the phone runs one bundle or both, whole."""
        await self.begin(cli)
        await self.begin(page)
        for index in range(COUNT):
            for sender, name in ((cli, "A"), (page, "B")):
                await self.part(sender, name, [index])
                await sender.settle()
        [ran] = [one.code for one in await phone.settle() if one.code is not None]
        code = ("B" + PART) * COUNT
        self.assertEqual(ran, Code(len(code), hashlib.sha256(code.encode()).hexdigest()))
        for _ in range(3):
            sent = await together(
                cli.push_filler(6 * MIB, chunked=True), page.push_filler(5 * MIB, chunked=True)
            )
            # What they sent before they have their pongs has been given to the phone.
            await together(cli.settle(), page.settle())
            whole = [one.code for one in await phone.settle() if one.code is not None]
            self.assertTrue(whole)
            self.assertLessEqual(len(whole), 2)
            for code in whole:
                self.assertIn(code, [one.code for one in sent])
        await self.expects_whole(cli, phone)


class OneRelayWithoutASpool(OneRelay):
    options = ("--spool-dir", "off")


class OneRelayWithASpool(ReleasedCase):
    async def test_a_page_that_sends_nothing_keeps_nobody_from_the_last_bundle(self) -> None:
        _, node = await self.stage()
        dashboard = await node.join("dashboard", "ABC234")
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        sent = await cli.push(TYPESCRIPT, chunked=True)
        await cli.settle()
        await cli.close()
        await dashboard.expect("cli_disconnected")
        phone = await node.join("mobile", "ABC234", "deviceId=phone")
        self.assertEqual((await phone.bundle()).code, sent.code)


class TwoRelays(ReleasedCase, ClusterCase):
    async def test_a_phone_at_the_other_relay(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli", perMessageDeflate=True)
        phone = await self.join(node, b, "mobile", query="deviceId=phone")
        away = b.url("mobile", "ABC234", "deviceId=phone")
        await cli.expect("mobile_connected")
        await self.begin(cli)
        await self.part(cli, "A", range(5))
        for _ in range(5):
            await phone.expect("bundle_chunk")
        await phone.terminate()
        phone = await self.come_back(node, phone, away)
        await cli.expect("mobile_connected")
        await self.part(cli, "B", range(5, 10))
        self.assertEqual([one for one in await phone.settle() if one.type != "pong"], [])
        await self.expects_whole(cli, phone)
        await self.begin(cli)
        await self.part(cli, "A", range(5))
        await phone.expect("bundle_chunk")
        await cli.terminate()
        self.assertEqual((await phone.closed())[0], 1011)
        phone = await self.come_back(node, phone, away)
        self.assertEqual((await phone.bundle()).type, "bundle_chunk")

    async def test_a_sender_at_the_other_relay_and_a_page_that_sends_nothing(self) -> None:
        _, (a, b), node = await self.cluster(2)
        dashboard = await self.join(node, a, "dashboard")
        cli = await self.join(node, b, "cli", perMessageDeflate=True)
        phone = await self.join(node, a, "mobile", query="deviceId=phone")
        await self.expects_whole(cli, phone)
        waits = await self.join(node, b, "mobile", query="deviceId=second")
        self.assertEqual([one for one in await waits.settle() if one.type != "pong"], [])
        await cli.terminate()
        await dashboard.expect("cli_disconnected")
        late = await self.join(node, b, "mobile", query="deviceId=third")
        await late.bundle()
