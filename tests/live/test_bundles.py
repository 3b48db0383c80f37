"""Real bundles, byte for byte, and what they cost the relay in memory."""

import hashlib
from pathlib import Path

from apptuner_relay.flow.receive_buffer import BLOCK_BYTES, MOST_BUFFERS
from apptuner_relay.spool.disk import MOST_BACKLOG_BYTES
from tests.live.clients import TYPESCRIPT, Client, Code, Sent
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB

CHUNK_CHARS = 512 * 1024
SPOOL_BACKLOG_BYTES = MOST_BUFFERS * BLOCK_BYTES + MOST_BACKLOG_BYTES
"""What may wait in memory for a relay's disk: every buffer that can be lent, and copies once none
is left, up to what holds the senders."""


def code_of(file: Path) -> Code:
    """What a client must tell of this file."""
    content = file.read_bytes()
    chars = len(content.decode("utf-8").encode("utf-16-le")) // 2
    return Code(chars, hashlib.sha256(content).hexdigest())


class BundleCase(LiveCase):
    async def receive(self, phone: Client, sent: Sent) -> None:
        """Read a bundle, which must be what was sent, every message of it unchanged."""
        messages = await phone.take(sent.messages)
        self.assertEqual([message.sha256 for message in messages], sent.sha256)
        self.assertEqual(messages[-1].code, sent.code)
        self.assertFalse(any(message.binary for message in messages))
        if sent.messages > 1:
            start, *chunks = messages
            self.assertEqual((start.total_chunks, start.total_size), (len(chunks), sent.code.chars))
            self.assertEqual([chunk.chunk_index for chunk in chunks], list(range(len(chunks))))


class TypeScriptTest(BundleCase):
    """typescript.js of npm, which is 9 MB of JavaScript."""

    async def test_whole_to_one_phone(self) -> None:
        await self.push(chunked=False, phones=1)

    async def test_whole_to_three_phones(self) -> None:
        await self.push(chunked=False, phones=3)

    async def test_chunked_to_one_phone(self) -> None:
        await self.push(chunked=True, phones=1)

    async def test_chunked_to_three_phones(self) -> None:
        await self.push(chunked=True, phones=3)

    async def push(self, chunked: bool, phones: int) -> None:
        _, node = await self.stage()
        # As in the field: the CLI and Android offer compression, iOS does not.
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        dashboard = await node.join("dashboard", "ABC234")
        joined = await together(
            *(
                node.join("mobile", "ABC234", f"deviceId=d{i}", perMessageDeflate=i % 2 == 1)
                for i in range(phones)
            )
        )
        for member in (cli, dashboard):
            await member.settle()
        sent = await cli.push(TYPESCRIPT, chunked)
        self.assertEqual(sent.code, code_of(TYPESCRIPT))
        self.assertEqual(sent.messages, 1 + -(-sent.code.chars // CHUNK_CHARS) if chunked else 1)
        await together(*(self.receive(phone, sent) for phone in joined))
        for phone in joined:
            await phone.send({"type": "bundle_ack", "success": True})
        for member in (cli, dashboard):
            self.assertTypes(await member.take(phones), ["bundle_ack"] * phones)

    async def test_from_the_dashboard_and_the_desktop(self) -> None:
        _, node = await self.stage()
        phone = await node.join("mobile", "ABC234")
        for role in ("dashboard", "desktop"):
            sender = await node.join(role, "ABC234")
            await phone.settle()
            await self.receive(phone, await sender.push(TYPESCRIPT))

    async def test_bundle_after_bundle(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        for chunked in (False, True, True, False):
            await self.receive(phone, await cli.push(TYPESCRIPT, chunked))


class TextTest(BundleCase):
    """Bundles that are not ASCII, whose chunks may end inside a character."""

    async def test_every_length_of_utf8(self) -> None:
        # Two bytes, three and four in a row, at every offset that a piece could end at.
        await self.push("".join("x" * (i % 7) + "ßウ🚀" for i in range(100_000)))

    async def test_chunks_that_end_in_the_middle_of_a_surrogate_pair(self) -> None:
        # JSON.stringify makes \ud83d of the half character at the end of a chunk.
        await self.push("x" + "🚀" * CHUNK_CHARS)

    async def test_what_json_escapes(self) -> None:
        await self.push('"\\\n\t\u2028\u0000\u007f\ufffe/' * 100_000)

    async def push(self, code: str) -> None:
        file = Path(self.mktemp())
        file.write_text(code, encoding="utf-8", newline="")
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        for chunked in (False, True):
            sent = await cli.push(file.resolve(), chunked)
            self.assertEqual(sent.code, code_of(file))
            await self.receive(phone, sent)


class CutThroughTest(BundleCase):
    async def test_the_first_piece_leaves_before_the_last_has_come(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await cli.settle()
        start = '{"type":"bundle_update","payload":{"code":"'
        await cli.send_half(start + "x" * MIB, claim=10 * MIB)
        await phone.bytes_arrived(MIB // 2)


class MemoryTest(BundleCase):
    """What the relay holds of the bundles that pass through it, where none is kept."""

    BIG_CHARS = 50_000_000
    # A sleeping phone is not to be closed, however slow the machine is.
    OPTIONS: tuple[str, ...] = ("--slow-time", "600", "--spool-dir", "off")
    BASE_BYTES = 8 * MIB
    """The interpreter's and the allocator's, and what one session has on its way."""
    SPOOL_BYTES = 0
    """What may wait for the disk, of all sessions together."""
    SESSION_BYTES = MIB
    """A sink's window of 256 KiB, and the block that was received when its sender was held."""

    async def test_fifty_megabytes_to_a_phone_that_reads(self) -> None:
        relay, node = await self.stage(*self.OPTIONS)
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await self.receive_all(cli, phone, 1_000_000)
        relay.reset_peak()
        before = relay.rss()
        await self.receive_all(cli, phone, self.BIG_CHARS)
        self.assertGrowth(relay.peak_rss() - before)

    async def test_fifty_megabytes_to_a_phone_that_reads_nothing(self) -> None:
        relay, node = await self.stage(*self.OPTIONS)
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        other_cli, other_phone = await together(
            node.join("cli", "XYZ789"), node.join("mobile", "XYZ789")
        )
        await self.receive_all(cli, phone, 1_000_000)
        await other_cli.settle()
        relay.reset_peak()
        before = relay.rss()

        await phone.pause()
        code = await cli.start_filler(self.BIG_CHARS)
        # Other sessions go on as if nothing were. Meanwhile the relay takes what it will.
        await self.receive(other_phone, await other_cli.push(TYPESCRIPT))
        await self.receive(other_phone, await other_cli.push(TYPESCRIPT, chunked=True))
        await self.expect_upload(cli, self.BIG_CHARS // 2)
        self.assertGrowth(relay.peak_rss() - before)

        await phone.resume()
        self.assertEqual((await phone.bundle()).code, code)
        await cli.all_sent()
        self.assertGrowth(relay.peak_rss() - before)

    async def test_one_phone_that_reads_nothing_beside_one_that_reads(self) -> None:
        relay, node = await self.stage(*self.OPTIONS)
        cli, reader, sleeper = await together(
            node.join("cli", "ABC234"), node.join("mobile", "ABC234"), node.join("mobile", "ABC234")
        )
        await together(self.receive_all(cli, reader, 1_000_000), sleeper.bundle())
        relay.reset_peak()
        before = relay.rss()
        await sleeper.pause()
        code = await cli.start_filler(self.BIG_CHARS)
        # The reader waits for the sleeper, up to the time at which that one is too slow.
        await reader.bytes_arrived(1_100_000)
        await sleeper.resume()
        for phone in (reader, sleeper):
            self.assertEqual((await phone.bundle()).code, code)
        self.assertGrowth(relay.peak_rss() - before)

    async def test_twenty_sessions_whose_phones_read_nothing(self) -> None:
        relay, node = await self.stage(*self.OPTIONS)
        reader_cli, reader = await together(
            node.join("cli", "reader"), node.join("mobile", "reader")
        )
        await self.receive(reader, await reader_cli.push(TYPESCRIPT))
        relay.reset_peak()
        before = relay.rss()

        sessions = [f"sleeper{i}" for i in range(20)]
        phones = await together(*(node.join("mobile", session) for session in sessions))
        clis = await together(*(node.join("cli", session) for session in sessions))
        await together(*(phone.pause() for phone in phones))
        codes = [await cli.start_filler(15_000_000) for cli in clis]
        await self.receive(reader, await reader_cli.push(TYPESCRIPT))
        await self.receive(reader, await reader_cli.push(TYPESCRIPT, chunked=True))
        for cli in clis:
            await self.expect_upload(cli, 0)
        self.assertGrowth(relay.peak_rss() - before, sessions=20)

        await together(*(phone.resume() for phone in phones))
        for phone, code in zip(phones, codes, strict=True):
            self.assertEqual((await phone.bundle()).code, code)
        self.assertGrowth(relay.peak_rss() - before, sessions=20)

    async def receive_all(self, cli: Client, phone: Client, chars: int) -> None:
        sent = await cli.push_filler(chars)
        self.assertEqual((await phone.bundle()).code, sent.code)

    async def expect_upload(self, cli: Client, left: int) -> None:
        """More than ``left`` bytes of what ``cli`` sends are still with it: socket buffers take
        some MB, and the relay holds it for the sake of its phones."""
        self.assertGreater(await cli.buffered(), left)

    def assertGrowth(self, grown: int, sessions: int = 1) -> None:
        limit = self.BASE_BYTES + self.SPOOL_BYTES + sessions * self.SESSION_BYTES
        self.assertLess(grown, limit, f"the relay has grown by {grown / MIB:.1f} MiB")


class SpoolMemoryTest(MemoryTest):
    """The same beside a disk, which is behind when it likes."""

    OPTIONS = ("--slow-time", "600")
    # With the rest some 16 MiB, where a bundle is 48 and all of them are 286.
    SPOOL_BYTES = SPOOL_BACKLOG_BYTES
    SESSION_BYTES = MIB // 10

    async def expect_upload(self, cli: Client, left: int) -> None:
        """All of it is with the relay: no phone holds a sender."""
        await cli.all_sent()
