"""Phones for which a compressed bundle is too much. The WebSocket of Node 22.22.2 takes no frame
that inflates to more than 4 MiB, and ends without a Close; so it comes back, and gets the same
again. After two times the relay sends it plain."""

from tests.live.clients import Client, Code, NodeClients
from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase, ToTheOwner
from tests.live.processes import KIB, MIB, RelayProcess

PHONE = "deviceId=phone"


class InflatingTest(PacesCase):
    async def begin(self) -> tuple[NodeClients, Client, RelayProcess, RelayProcess]:
        here, there = await self.ends()
        node = await self.node(here)
        cli = await self.join(node, here, "cli", perMessageDeflate=True)
        return node, cli, here, there

    async def join_phone(self, relay: RelayProcess, query: str = PHONE) -> PacedClient:
        phone = await self.paced(relay, query, deflate=True, receive_buffer=64 * KIB)
        self.assertIn("permessage-deflate", phone.extensions)
        return phone

    async def leave_inside(self, phone: PacedClient) -> None:
        """It leaves in the middle of a bundle, which is compressed."""
        await phone.read_on(MIB)
        phone.leave()
        await phone.over()
        self.assertTrue(phone.is_inside_compressed)

    async def get(self, phone: PacedClient, code: Code, compressed: bool) -> None:
        phone.hurry()
        got = await phone.bundle()
        self.assertEqual(got.code, code)
        self.assertEqual(got.compressed, compressed)

    async def test_the_cli_sends_it_again(self) -> None:
        """A released CLI sends a bundle to each phone that comes, of the same code."""
        _, cli, _, there = await self.begin()
        for _ in range(2):
            phone = await self.join_phone(there)
            await self.knows(cli, 1)
            phone.stop()
            await cli.start_filler(SAVE_CHARS)
            await self.leave_inside(phone)
            await cli.all_sent()
        phone = await self.join_phone(there)
        other = await self.join_phone(there, "deviceId=other")
        await self.knows(cli, 2)
        sent = await cli.push_filler(SAVE_CHARS)
        await self.get(phone, sent.code, compressed=False)
        # Nobody else is concerned.
        await self.get(other, sent.code, compressed=True)

    async def test_replayed(self) -> None:
        _, cli, _, there = await self.begin()
        sent = await cli.push_filler(SAVE_CHARS)
        await cli.settle()
        await cli.close()
        await cli.closed()
        for _ in range(2):
            phone = await self.join_phone(there)
            phone.stop()
            await self.leave_inside(phone)
        phone = await self.join_phone(there)
        other = await self.join_phone(there, "deviceId=other")
        await self.get(phone, sent.code, compressed=False)
        await self.get(other, sent.code, compressed=True)

    async def test_one_that_leaves_once(self) -> None:
        """As phones do that change their network."""
        _, cli, _, there = await self.begin()
        phone = await self.join_phone(there)
        await self.knows(cli, 1)
        phone.stop()
        await cli.start_filler(SAVE_CHARS)
        await self.leave_inside(phone)
        await cli.all_sent()
        phone = await self.join_phone(there)
        await self.knows(cli, 1)
        sent = await cli.push_filler(SAVE_CHARS)
        await self.get(phone, sent.code, compressed=True)
        phone.send(type="bundle_ack", success=True)
        await cli.expect("bundle_ack")
        phone.stop()
        sent = await cli.push_filler(SAVE_CHARS + 1)
        await self.leave_inside(phone)
        # It got one whole in between.
        phone = await self.join_phone(there)
        await self.knows(cli, 1)
        sent = await cli.push_filler(SAVE_CHARS + 2)
        await self.get(phone, sent.code, compressed=True)


class InflatingAcrossABridgeTest(AcrossABridge, InflatingTest):
    pass


class InflatingOfTheOwnerTest(ToTheOwner, InflatingTest):
    pass
