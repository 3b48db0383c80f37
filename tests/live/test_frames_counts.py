"""In how many frames a message leaves that comes in crumbs, and where they are cut. Real clients
limit the frames of a message (npm's ``ws`` 8.23 to 16,384, PyPI's ``websockets`` 17.4 to 4,096);
some check that each frame of a text is UTF-8, and some fail at compressed messages of several."""

import hashlib
import json
import random

from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.live.made_bundles import bundle, bundle_of, fragments, hardly_compressible
from tests.live.paced_client import PacedClient, Received
from tests.live.paces import AcrossABridge, PacesCase
from tests.live.processes import KIB, MIB, RelayProcess
from tests.live.python_phone import PythonPhone, missing_websockets
from tests.memory import deflated, masked

MOST_FRAMES = 2048
SEGMENT_BYTES = 1400
"""A TCP segment on most networks."""
LONG_BYTES = 40 * MIB
SHORT_BYTES = 64 * KIB
"""A compressed message below this is one frame."""


class FramesCase(PacesCase):
    async def sender(self, relay: RelayProcess, deflate: bool = False) -> PacedClient:
        """A CLI whose bytes are the test's to make."""
        cli = await PacedClient.join(relay, "cli", deflate=deflate)
        self.addCleanup(self._leave, cli)
        return cli

    async def python(self, relay: RelayProcess, query: str = "") -> PythonPhone:
        phone = await PythonPhone.join(relay, query=query)
        self.addCleanup(phone.leave)
        return phone

    def assertFew(self, got: Received, message: bytes) -> None:
        """It is that message, in few frames."""
        self.assertEqual(got.sha256, hashlib.sha256(message).hexdigest())
        self.assertLessEqual(len(got.frames), MOST_FRAMES)

    def assertWholeCharacters(self, got: Received, message: bytes) -> None:
        """Likewise, and each of them is UTF-8 by itself."""
        self.assertFew(got, message)
        self.assertGreater(len(got.frames), 1)
        self.assertTrue(got.whole_characters)


class CrumbsTest(FramesCase):
    async def test_to_a_client_that_counts(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.paced(there)
        await self.knows(cli, 1)
        message = bundle_of(LONG_BYTES)
        await cli.send_segments(masked(TEXT, message), SEGMENT_BYTES)
        self.assertFew(await phone.bundle(), message)
        late = await self.paced(there, "replay=1")
        self.assertFew(await late.bundle(), message)

    async def test_to_node(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        node = await self.node(there)
        phone = await self.join(node, there, "mobile")
        await self.knows(cli, 1)
        message = bundle_of(LONG_BYTES)
        await cli.send_segments(masked(TEXT, message), SEGMENT_BYTES)
        expected = hashlib.sha256(message).hexdigest()
        self.assertEqual((await phone.bundle()).sha256, expected)
        late = await self.join(node, there, "mobile", query="replay=1")
        self.assertEqual((await late.bundle()).sha256, expected)

    async def test_to_pythons_websockets(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.python(there)
        await self.knows(cli, 1)
        message = bundle_of(LONG_BYTES)
        await cli.send_segments(masked(TEXT, message), SEGMENT_BYTES)
        expected = hashlib.sha256(message).hexdigest()
        self.assertEqual((await phone.next()).get("sha256"), expected, phone.said)
        late = await self.python(there, "replay=1")
        self.assertEqual((await late.next()).get("sha256"), expected, late.said)

    test_to_pythons_websockets.skip = missing_websockets()  # type: ignore[attr-defined]

    async def test_compressed(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here, deflate=True)
        inflating = await self.paced(there, deflate=True)
        plain = await self.paced(there)
        await self.knows(cli, 2)
        message = hardly_compressible(16 * MIB)
        data = masked(TEXT | COMPRESSED, deflated(message, level=1))
        await cli.send_segments(data, SEGMENT_BYTES)
        for phone, compressed in ((inflating, True), (plain, False)):
            got = await phone.bundle()
            self.assertFew(got, message)
            self.assertEqual(got.compressed, compressed)

    async def test_from_an_uplink_that_is_so_slow_that_each_segment_stands_alone(self) -> None:
        # There is a pause of several ms behind each, and more of them than there may be frames.
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.paced(there)
        await self.knows(cli, 1)
        message = bundle_of(int(1.2 * MOST_FRAMES) * SEGMENT_BYTES)
        await cli.send_segments(masked(TEXT, message), SEGMENT_BYTES, pause_s=0.006)
        self.assertFew(await phone.bundle(), message)
        late = await self.paced(there, "replay=1")
        self.assertFew(await late.bundle(), message)

    async def test_from_a_client_that_makes_small_frames(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.paced(there)
        await self.knows(cli, 1)
        message = bundle_of(2 * MIB)
        await cli.send_segments(b"".join(fragments(TEXT, message, 100)), SEGMENT_BYTES)
        self.assertFew(await phone.bundle(), message)

    async def test_what_is_there_is_not_held_back(self) -> None:
        """When the sender pauses, phones get all that it has sent, however little that is."""
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.paced(there)
        await self.knows(cli, 1)
        message = bundle_of(MIB)
        data = masked(TEXT, message)
        header = len(data) - len(message)
        at = 0
        for length in (70_000, 1, 37, SEGMENT_BYTES, 40_000, 65_536, 2, 100_001):
            cli.write(data[at and header + at : header + at + length])
            at += length
            await phone.has(at)
        cli.write(data[header + at :])
        self.assertFew(await phone.bundle(), message)


class CrumbsAcrossABridgeTest(AcrossABridge, CrumbsTest):
    pass


TEXT_OF_ALL_LENGTHS = "".join("x" * (i % 7) + "ßウ🚀" for i in range(200_000))
"""Characters of two bytes, three and four in a row, at every offset that a frame could end at."""
ODD_BYTES = 1399


class CharactersTest(FramesCase):
    """No frame of a text is cut inside a character, whatever comes."""

    async def passes(
        self, data: bytes, message: bytes, deflate: bool = False, query: str = ""
    ) -> None:
        here, there = await self.ends()
        cli = await self.sender(here, deflate)
        phone = await self.paced(there, query)
        await self.knows(cli, 1)
        await cli.send_segments(data, ODD_BYTES)
        got = await phone.bundle()
        late = await self.paced(there, f"replay=1&{query}")
        again = await late.bundle()
        if "chunks" in query:
            self.assertEqual(got.code, again.code)
            for one in (*phone.messages, *late.messages):
                self.assertTrue(one.whole_characters, one)
        else:
            self.assertWholeCharacters(got, message)
            self.assertWholeCharacters(again, message)

    async def test_segments(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        await self.passes(masked(TEXT, message), message)

    async def test_frames_that_are_cut_so(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        for length in (997, 100_003):
            await self.passes(b"".join(fragments(TEXT, message, length)), message)

    async def test_inflated(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        data = masked(TEXT | COMPRESSED, deflated(message))
        await self.passes(data, message, deflate=True)

    async def test_small_frames_for_ios(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        await self.passes(masked(TEXT, message), message, query="platform=ios")

    async def test_inflated_in_small_frames_for_ios(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        data = masked(TEXT | COMPRESSED, deflated(message))
        await self.passes(data, message, deflate=True, query="platform=ios")

    async def test_chunks_for_ios(self) -> None:
        message = bundle(TEXT_OF_ALL_LENGTHS)
        await self.passes(masked(TEXT, message), message, query="platform=ios&chunks=1")


class CharactersAcrossABridgeTest(AcrossABridge, CharactersTest):
    pass


class OneFrameTest(FramesCase):
    """A message up to 64 KiB is one frame, though it comes in several."""

    def assertOne(self, got: Received, message: bytes, compressed: bool) -> None:
        self.assertEqual(got.sha256, hashlib.sha256(message).hexdigest())
        self.assertEqual(got.compressed, compressed)
        self.assertEqual(len(got.frames), 1)

    async def test_compressed(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here, deflate=True)
        phone = await self.paced(there, deflate=True)
        await self.knows(cli, 1)
        message = hardly_compressible(100 * KIB)
        payload = deflated(message)
        self.assertTrue(SHORT_BYTES / 2 < len(payload) < SHORT_BYTES)
        await cli.send_segments(
            b"".join(fragments(TEXT | COMPRESSED, payload, 5000)), SEGMENT_BYTES
        )
        self.assertOne(await phone.bundle(), message, True)
        late = await self.paced(there, "replay=1", deflate=True)
        self.assertOne(await late.bundle(), message, True)

    async def test_compressed_for_phones_by_the_relay(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        phones = [await self.paced(there, deflate=True) for _ in range(2)]
        await self.knows(cli, 2)
        message = bundle_of(300_000)
        await cli.send_segments(masked(TEXT, message), SEGMENT_BYTES)
        for phone in phones:
            got = await phone.bundle()
            self.assertEqual(got.sha256, hashlib.sha256(message).hexdigest())
            if got.compressed:
                self.assertEqual(len(got.frames), 1)

    async def test_plain(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here)
        phone = await self.paced(there)
        await self.knows(cli, 1)
        message = json.dumps({"type": "assets", "data": "x" * 60_000}).encode()
        await cli.send_segments(b"".join(fragments(TEXT, message, 5000)), SEGMENT_BYTES)
        self.assertOne(await phone.expect("assets"), message, False)

    async def test_from_a_phone(self) -> None:
        here, there = await self.ends()
        cli = await self.sender(here, deflate=True)
        phone = await self.paced(there, deflate=True)
        await self.knows(cli, 1)
        arguments = [random.Random(1).randbytes(40 * KIB).hex()]
        log = {"type": "console_log", "payload": {"level": "log", "args": arguments}}
        message = json.dumps(log).encode()
        data = b"".join(fragments(TEXT | COMPRESSED, deflated(message), 5000))
        await phone.send_segments(data, SEGMENT_BYTES)
        self.assertOne(await cli.expect("console_log"), message, True)


class OneFrameAcrossABridgeTest(AcrossABridge, OneFrameTest):
    pass
