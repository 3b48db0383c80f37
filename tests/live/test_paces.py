"""Phones of one session that read at paces of their own, and a CLI that waits for none of them:
frozen ones, slow ones, ones that read nothing, and saves that supersede each other."""

from tests.live.clients import Client, Code
from tests.live.harness import together
from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase, ToTheOwner
from tests.live.processes import MIB

SAVES = 3
SLOW_RATE = 300_000
"""Bytes a second."""
SLOW_BYTES = SAVE_CHARS // 3
"""The most that a slow phone reads while others get their saves, however long that takes."""


class FrozenPhoneTest(PacesCase):
    """A phone whose process is stopped (SIGSTOP), as a system does that locks."""

    async def save(self, chunked: bool, deflate: bool) -> None:
        here, there = await self.ends()
        node, frozen_node = await self.node(here), await self.freezable(there)
        cli = await self.join(node, here, "cli", perMessageDeflate=deflate)
        near = await self.join(node, here, "mobile", query="deviceId=near")
        far = await self.join(
            node, there, "mobile", query="deviceId=far", perMessageDeflate=deflate
        )
        frozen = await self.join(frozen_node, there, "mobile", query="deviceId=frozen")
        await self.knows(cli, 3)
        frozen_node.freeze()
        # From here to `thaw` all happens while it is frozen.
        saves: list[Code] = []
        for number in range(SAVES):
            sent = await cli.push_filler(SAVE_CHARS + number, chunked)
            saves.append(sent.code)
            for phone in (near, far):
                self.assertEqual((await phone.bundle()).code, sent.code)
                await phone.send({"type": "bundle_ack", "success": True})
                await cli.expect("bundle_ack")
            await self.heartbeats(cli, near, far)
        frozen_node.thaw()
        await cli.send({"type": "reload"})
        for phone in (near, far, frozen):
            await phone.expect("reload")
        self.assertInOrder([one.code for one in frozen.seen if one.code], saves)
        self.assertFalse(frozen.is_closed)
        await frozen.send({"type": "bundle_ack", "success": True})
        await cli.expect("bundle_ack")
        await self.heartbeats(cli, near, far, frozen)

    async def heartbeats(self, *clients: Client) -> None:
        """Each of them has its ping answered."""
        await together(*(client.settle() for client in clients))

    async def test_whole(self) -> None:
        await self.save(chunked=False, deflate=False)

    async def test_in_chunks(self) -> None:
        await self.save(chunked=True, deflate=False)

    async def test_compressed(self) -> None:
        await self.save(chunked=False, deflate=True)

    async def test_compressed_in_chunks(self) -> None:
        await self.save(chunked=True, deflate=True)


class FrozenPhoneAcrossABridgeTest(AcrossABridge, FrozenPhoneTest):
    pass


class FrozenPhoneOfTheOwnerTest(ToTheOwner, FrozenPhoneTest):
    pass


class SlowPhoneTest(PacesCase):
    """A phone that reads 300 kB a second, for a while, beside a quick one."""

    async def save(self, chunked: bool) -> None:
        here, there = await self.ends()
        node = await self.node(here)
        cli = await self.join(node, here, "cli")
        quick = await self.join(node, there, "mobile", query="deviceId=quick")
        slow = await self.paced(there, "deviceId=slow", receive_buffer=64 * 1024)
        await self.knows(cli, 2)
        slow.pace(SLOW_RATE, most=SLOW_BYTES)
        saves = []
        for number in range(SAVES):
            sent = await cli.push_filler(SAVE_CHARS + number, chunked)
            saves.append(sent.code)
            await cli.settle()
            self.assertEqual((await quick.bundle()).code, sent.code)
            await quick.send({"type": "bundle_ack", "success": True})
            await cli.expect("bundle_ack")
            # The CLI is rid of it and the quick phone runs it, and the slow one has not half of it.
            self.assertLess(slow.bytes_read, SAVE_CHARS / 2)
        await cli.send({"type": "reload"})
        await quick.expect("reload")
        slow.hurry()
        await slow.expect("reload")
        self.assertInOrder(slow.codes, saves)

    async def test_whole(self) -> None:
        await self.save(chunked=False)

    async def test_in_chunks(self) -> None:
        await self.save(chunked=True)


class SlowPhoneAcrossABridgeTest(AcrossABridge, SlowPhoneTest):
    pass


class SlowPhoneOfTheOwnerTest(ToTheOwner, SlowPhoneTest):
    pass


class NobodyReadsTest(PacesCase):
    """A CLI that sends faster than any of the phones reads. None of them has read a byte when the
    relay has all of it."""

    async def push(self, chunked: bool, *deflate: bool) -> None:
        here, there = await self.ends()
        node = await self.node(here)
        cli = await self.join(node, here, "cli", perMessageDeflate=deflate[0])
        phones = [await self.paced(there, f"deviceId=d{n}", one) for n, one in enumerate(deflate)]
        await self.knows(cli, len(phones))
        for phone in phones:
            phone.stop()
        read = [phone.bytes_read for phone in phones]
        sent = await cli.push_filler(40 * MIB, chunked)
        # The relay answers what comes behind it, so that it has all of it.
        await cli.settle()
        self.assertEqual([phone.bytes_read for phone in phones], read)
        for phone in phones:
            phone.hurry()
        for phone in phones:
            got = await phone.bundle()
            self.assertEqual(got.code, sent.code)
            self.assertEqual(got.sha256, sent.sha256[-1])
            self.assertFalse(phone.is_over)

    async def test_whole(self) -> None:
        await self.push(False, False, False)

    async def test_in_chunks(self) -> None:
        await self.push(True, False, False)

    async def test_compressed_for_phones_of_both_kinds(self) -> None:
        await self.push(False, True, False)

    async def test_plain_for_phones_of_both_kinds(self) -> None:
        await self.push(False, False, True, True)


class NobodyReadsAcrossABridgeTest(AcrossABridge, NobodyReadsTest):
    pass


class NobodyReadsOfTheOwnerTest(ToTheOwner, NobodyReadsTest):
    pass


class SupersedingTest(PacesCase):
    """A phone in the middle of a save gets that one whole, then the newest, and none between."""

    async def begin(self, chunked: bool) -> tuple[Client, Client, PacedClient, Code]:
        """A CLI, a quick phone, and a phone that has part of a save and reads nothing."""
        here, there = await self.ends()
        node = await self.node(here)
        cli = await self.join(node, here, "cli")
        quick = await self.join(node, there, "mobile", query="deviceId=quick")
        slow = await self.paced(there, "deviceId=slow", receive_buffer=64 * 1024)
        await self.knows(cli, 2)
        slow.stop()
        sent = await cli.push_filler(SAVE_CHARS, chunked)
        await slow.read_on(MIB)
        self.assertEqual((await quick.bundle()).code, sent.code)
        return cli, quick, slow, sent.code

    async def save_on(self, cli: Client, quick: Client, chunked: bool) -> list[Code]:
        """More saves, each with a message behind it; the quick phone gets all of them."""
        saves = []
        for number in range(1, SAVES + 1):
            sent = await cli.push_filler(SAVE_CHARS + number, chunked)
            saves.append(sent.code)
            await cli.send({"type": "talk", "from": "cli", "n": number})
            self.assertEqual((await quick.bundle()).code, sent.code)
            self.assertEqual((await quick.expect("talk")).data["n"], number)
        return saves

    async def test_whole(self) -> None:
        cli, quick, slow, first = await self.begin(False)
        saves = await self.save_on(cli, quick, False)
        slow.hurry()
        while (await slow.expect("talk")).data["n"] < SAVES:
            pass
        self.assertEqual(slow.codes, [first, saves[-1]])
        self.assertFalse(slow.is_over)

    async def test_in_chunks(self) -> None:
        cli, quick, slow, first = await self.begin(True)
        saves = await self.save_on(cli, quick, True)
        slow.hurry()
        while (await slow.expect("talk")).data["n"] < SAVES:
            pass
        # What is left of the first one may go, from the next message on.
        self.assertIn(slow.codes, ([saves[-1]], [first, saves[-1]]))
        self.assertFalse(slow.is_over)

    async def test_messages_stay_in_order(self) -> None:
        cli, quick, slow, _ = await self.begin(False)
        await cli.send({"type": "talk", "from": "cli", "n": 0})
        # Answered by the relay itself: between messages, but before any that has not begun.
        slow.send(type="ping", timestamp=0)
        slow.send(type="asked")
        await cli.expect("asked")
        await self.save_on(cli, quick, False)
        slow.hurry()
        while (await slow.expect("talk")).data["n"] < SAVES:
            pass
        kinds = [one.kind for one in slow.messages if one.kind in ("bundle_update", "pong")]
        self.assertEqual(kinds, ["bundle_update", "pong", "bundle_update"])
        talks = [one.data["n"] for one in slow.messages if one.kind == "talk"]
        self.assertEqual(talks, list(range(SAVES + 1)))
        # The last save is behind what came before it, and before what came after it.
        order = [one.kind for one in slow.messages]
        self.assertEqual(order[-2:], ["bundle_update", "talk"])


class SupersedingAcrossABridgeTest(AcrossABridge, SupersedingTest):
    pass


class SupersedingOfTheOwnerTest(ToTheOwner, SupersedingTest):
    pass
