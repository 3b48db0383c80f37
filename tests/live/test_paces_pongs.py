"""A phone on a slow line, in the middle of a bundle: its pings are answered before it has read much
more. Counted in bytes: what it reads at 120 kB a second in 3 s."""

from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase
from tests.live.processes import KIB, MIB
from tests.live.test_bundles import CHUNK_CHARS

RATE = 120_000
"""Bytes a second."""
WAIT_BYTES = 3 * RATE
PINGS = 3
JSON_BYTES = 256
"""What a chunk has around its code."""


class PongCase(PacesCase):
    async def slow_phone(
        self, chunked: bool, compressed: bool, deflate: bool = False, query: str = ""
    ) -> PacedClient:
        """A phone that is on a slow line from a megabyte of its bundle on.

        :param compressed: whether the CLI compresses.
        :param deflate: whether the phone takes it so.
        """
        here, there = await self.ends()
        node = await self.node(here)
        cli = await self.join(node, here, "cli", perMessageDeflate=compressed)
        phone = await self.paced(there, query, deflate, receive_buffer=32 * KIB)
        await self.knows(cli, 1)
        phone.stop()
        await cli.start_filler(SAVE_CHARS, chunked)
        await phone.read_on(MIB)
        phone.pace(RATE)
        return phone

    async def answered(self, phone: PacedClient) -> None:
        """Several pings, each sent when the one before has been answered."""
        for number in range(PINGS):
            before = phone.bytes_read
            phone.ping(b"%d" % number)
            self.assertLessEqual(await phone.pong(number) - before, WAIT_BYTES)
        # In the middle, all the time.
        self.assertEqual(phone.codes, [])

    async def json_answered(self, phone: PacedClient, most: int) -> None:
        """Likewise, with the messages that released phones send."""
        for number in range(PINGS):
            before = phone.bytes_read
            phone.send(type="ping", timestamp=number)
            await phone.expect("pong")
            self.assertLessEqual(phone.bytes_read - before, most)
        self.assertEqual(phone.codes, [])


class PongTest(PongCase):
    async def test_whole(self) -> None:
        await self.answered(await self.slow_phone(False, False))

    async def test_in_chunks(self) -> None:
        await self.answered(await self.slow_phone(True, False))

    async def test_compressed(self) -> None:
        await self.answered(await self.slow_phone(False, True, deflate=True))

    async def test_inflated_for_the_phone(self) -> None:
        await self.answered(await self.slow_phone(False, True))

    async def test_compressed_for_the_phone(self) -> None:
        await self.answered(await self.slow_phone(False, False, deflate=True))

    async def test_in_small_frames_for_ios(self) -> None:
        await self.answered(await self.slow_phone(False, False, query="platform=ios"))

    async def test_in_chunks_for_ios(self) -> None:
        query = "platform=ios&chunks=1"
        await self.answered(await self.slow_phone(False, False, query=query))


class PongAcrossABridgeTest(AcrossABridge, PongTest):
    pass


class JsonPongTest(PongCase):
    """On one relay: a session's relay answers, so across a bridge what is on its way between the
    two comes first."""

    async def test_json_between_the_chunks_of_the_cli(self) -> None:
        # A pong can't go inside a chunk, and what has begun is to be finished.
        phone = await self.slow_phone(True, False)
        await self.json_answered(phone, WAIT_BYTES + CHUNK_CHARS + JSON_BYTES)

    async def test_json_between_chunks_that_the_relay_makes(self) -> None:
        phone = await self.slow_phone(False, False, query="platform=ios&chunks=1")
        await self.json_answered(phone, WAIT_BYTES)
