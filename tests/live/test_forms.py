"""One bundle in the forms that its phones want it in; and phones and CLIs that are too slow."""

from tests.live.clients import TYPESCRIPT
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB
from tests.live.test_bundles import code_of

IOS = "platform=ios"
IOS_CHUNKS = "platform=ios&chunks=1"


class FormTest(LiveCase):
    async def push(self, deflate: bool, *options: str) -> None:
        _, node = await self.stage(*options)
        cli = await node.join("cli", "ABC234", perMessageDeflate=deflate)
        phones = await together(
            node.join("mobile", "ABC234", "platform=android", perMessageDeflate=True),
            node.join("mobile", "ABC234", "platform=android", perMessageDeflate=True),
            node.join("mobile", "ABC234", perMessageDeflate=False),
            node.join("mobile", "ABC234", IOS, perMessageDeflate=False),
        )
        chunked = await node.join("mobile", "ABC234", IOS_CHUNKS, perMessageDeflate=False)
        await cli.settle()
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual(sent.code, code_of(TYPESCRIPT))
        for phone in phones:
            self.assertEqual((await phone.next()).code, sent.code)
        start = await chunked.next()
        self.assertEqual(start.type, "bundle_start")
        # It knows no length of what comes compressed.
        assert start.total_chunks is not None
        self.assertLess(start.total_chunks, sent.code.chars / (128 * 1024) * 1.15 + 8)
        self.assertEqual((await chunked.bundle()).code, sent.code)
        await cli.send({"type": "reload"})
        for phone in (*phones, chunked):
            await phone.expect("reload")

    async def test_from_a_cli_that_compresses(self) -> None:
        await self.push(True)

    async def test_from_a_cli_that_does_not(self) -> None:
        await self.push(False)

    async def test_without_compression(self) -> None:
        await self.push(True, "--compression", "off")


class SlowTest(LiveCase):
    async def test_a_phone_that_reads_nothing_is_closed_and_the_others_go_on(self) -> None:
        _, node = await self.stage("--spool-dir", "off")
        cli, reader, sleeper = await together(
            node.join("cli", "ABC234"),
            node.join("mobile", "ABC234"),
            node.join("mobile", "ABC234", "deviceId=sleeper"),
        )
        await cli.settle()
        await sleeper.pause()
        code = await cli.start_filler(30_000_000)
        self.assertEqual((await reader.bundle()).code, code)
        gone = await cli.expect("mobile_disconnected")
        self.assertEqual(gone.data["deviceId"], "sleeper")
        await sleeper.resume()
        close_code, _ = await sleeper.closed()
        # 1013 is behind what it left unread; it may have been dropped before it got there.
        self.assertIn(close_code, (1013, 1006))

    async def test_a_cli_that_stops_in_mid_bundle(self) -> None:
        _, node = await self.stage("--stall-timeout", "2")
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await cli.settle()
        await cli.send_half('{"type":"bundle_update","payload":"' + "x" * MIB, claim=2 * MIB)
        self.assertEqual((await phone.closed())[0], 1011)
        self.assertEqual((await cli.closed())[0], 1008)
