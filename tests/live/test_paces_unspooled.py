"""Phones at different paces on a relay that keeps nothing: there a phone that takes nothing is cut
once it has held others for some time; and one that holds nobody else is not."""

from tests.live.clients import Client, Code, NodeClients
from tests.live.harness import together
from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase, ToTheOwner
from tests.live.processes import KIB, MIB, RelayProcess

WITHOUT_SPOOL = ("--spool-dir", "off")
SAVES = 3
SLOW_RATE = 200_000
"""Bytes a second."""
SHORT_SAVE_CHARS = 4 * MIB
"""What takes that long for some 20 s."""


class UnspooledTest(PacesCase):
    codes: tuple[int, ...] = (1013,)
    is_of_the_clis_relay = False
    """Whether the session is; that relay finds out who is too slow."""

    async def assertCut(self, phone: PacedClient) -> None:
        """It was closed because of its pace. Its Close is behind all that it left unread, and may
        have been dropped with that."""
        phone.hurry()
        await phone.over()
        if phone.close is not None:
            self.assertIn(phone.close[0], self.codes)
        self.assertEqual(phone.codes, [])

    async def cut(self, chunked: bool, deflate: bool) -> None:
        here, there = await self.ends(*WITHOUT_SPOOL)
        node = await self.node(here)
        cli = await self.join(node, here, "cli", perMessageDeflate=deflate)
        near = await self.join(node, here, "mobile", query="deviceId=near")
        far = await self.join(
            node, there, "mobile", query="deviceId=far", perMessageDeflate=deflate
        )
        frozen = await self.paced(there, "deviceId=frozen", receive_buffer=64 * KIB)
        await self.knows(cli, 3)
        frozen.stop()
        saves: list[Code] = []
        for number in range(SAVES):
            code = await cli.start_filler(SAVE_CHARS + number, chunked)
            saves.append(code)
            for phone in (near, far):
                self.assertEqual((await phone.bundle()).code, code)
            await cli.all_sent()
            if not number:
                gone = await cli.expect("mobile_disconnected")
                self.assertEqual(gone.data["deviceId"], "frozen")
        await (here if self.is_of_the_clis_relay else there).logged("too slow: read nothing")
        await together(*(one.settle() for one in (cli, near, far)))
        await self.assertCut(frozen)

    async def test_whole(self) -> None:
        await self.cut(False, False)

    async def test_in_chunks(self) -> None:
        await self.cut(True, False)

    async def test_compressed(self) -> None:
        await self.cut(False, True)

    async def test_one_that_holds_nobody_else_is_not_cut(self) -> None:
        ends = await self.ends(*WITHOUT_SPOOL)
        node = await self.node(ends[0])
        _, alone, code = await self.stalled(node, ends, "ABC234", 0)
        # That one takes nothing for longer than this one, which holds another one, and is cut.
        cli, holding, _ = await self.stalled(node, ends, "XYZ789", 1)
        await cli.expect("mobile_disconnected")
        self.assertFalse(alone.is_over)
        alone.hurry()
        self.assertEqual((await alone.bundle()).code, code)
        await self.assertCut(holding)

    async def stalled(
        self, node: NodeClients, ends: tuple[RelayProcess, RelayProcess], session: str, others: int
    ) -> tuple[Client, PacedClient, Code]:
        """A CLI that sends, and a phone that has taken some of it and takes no more, beside so many
        others."""
        here, there = ends
        cli = await self.join(node, here, "cli", session)
        for _ in range(others):
            await self.join(node, there, "mobile", session)
        phone = await self.paced(there, session=session, receive_buffer=64 * KIB)
        await self.knows(cli, others + 1)
        phone.stop()
        code = await cli.start_filler(SAVE_CHARS + others)
        await phone.read_on(64 * KIB)
        return cli, phone, code

    async def test_one_that_goes_on_is_not_cut(self) -> None:
        here, there = await self.ends(*WITHOUT_SPOOL)
        node = await self.node(here)
        cli = await self.join(node, here, "cli")
        quick = await self.join(node, there, "mobile", query="deviceId=quick")
        slow = await self.paced(there, "deviceId=slow", receive_buffer=64 * KIB)
        await self.knows(cli, 2)
        # The other one waits for it, as there is nothing that it could go on from.
        slow.pace(SLOW_RATE)
        sent = await cli.push_filler(SHORT_SAVE_CHARS)
        for phone in (quick, slow):
            self.assertEqual((await phone.bundle()).code, sent.code)
        self.assertFalse(slow.is_over)


class UnspooledAcrossABridgeTest(AcrossABridge, UnspooledTest):
    # The relay of the session sees it, and what it says of that to the other one is behind what the
    # way between them is full of.
    codes = (1013, 1011)
    is_of_the_clis_relay = True


class UnspooledOfTheOwnerTest(ToTheOwner, UnspooledTest):
    # A session without a page is of the CLI's relay.
    codes = (1013, 1011)
