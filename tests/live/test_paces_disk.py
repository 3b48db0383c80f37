"""Bundles that are on their way when the disk of the spool gets full, or too slow: they reach every
phone whole, at its own pace, and later ones are kept again once there is room."""

import hashlib
import shutil
from pathlib import Path
from tempfile import mkdtemp

from apptuner_relay.wire.frames import TEXT
from tests.live.clients import Client, Code
from tests.live.made_bundles import bundle_of
from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase
from tests.live.processes import KIB, MIB, RelayProcess
from tests.live.stalls import FreezableDisk, SmallDisk
from tests.memory import masked

SLOW_RATE = 2_000_000
"""Bytes a second: of a phone that is still behind when the disk is of no more use."""


class DiskCase(PacesCase):
    """The disk is of all relays; what is kept is of the one that has the session, the CLI's."""

    def setUp(self) -> None:
        # Not where trial clears up: it would wait for a disk that sticks.
        folder = Path(mkdtemp(prefix="apptuner-disk-"))
        self.addCleanup(shutil.rmtree, folder)
        self.spool, self.image = folder / "spool", folder / "image"
        self.spool.mkdir(mode=0o700)

    async def begin(self, deflate: bool) -> tuple[RelayProcess, Client, Client, PacedClient]:
        """A CLI, a quick phone and a slow one."""
        here, there = await self.ends("--spool-dir", str(self.spool))
        self.here = here
        node = await self.node(there)
        cli = await self.join(node, here, "cli", perMessageDeflate=deflate)
        quick = await self.join(node, there, "mobile", query="deviceId=quick")
        slow = await self.paced(there, "deviceId=slow", deflate, receive_buffer=64 * KIB)
        await self.knows(cli, 2)
        slow.pace(SLOW_RATE)
        return here, cli, quick, slow

    async def passes(self, code: Code, cli: Client, quick: Client, slow: PacedClient) -> None:
        """Both phones get it whole, and the CLI is rid of it."""
        await cli.all_sent()
        await cli.settle()
        self.assertEqual((await quick.bundle()).code, code)
        self.assertEqual((await slow.bundle()).code, code)
        self.assertFalse(slow.is_over)

    async def kept_again(self, relay: RelayProcess, cli: Client, quick: Client) -> None:
        """The spool says that it is on, and what comes then is kept."""
        await relay.logged(AGAIN)
        sent = await cli.push_filler(MIB)
        self.assertEqual((await quick.bundle()).code, sent.code)
        late = await self.paced(relay, "deviceId=late&replay=1")
        self.assertEqual((await late.bundle()).code, sent.code)


AGAIN = r"(?i)spool is on|keeping .* again|on again"


class FullDiskTest(DiskCase):
    async def fills(self, chunked: bool, deflate: bool) -> None:
        disk = SmallDisk(self.spool, "8m")
        self.addCleanup(disk.remove)
        relay, cli, quick, slow = await self.begin(deflate)
        code = await cli.start_filler(2 * SAVE_CHARS, chunked)
        await relay.logged("THE SPOOL IS OFF.*No space left on device")
        await self.passes(code, cli, quick, slow)
        disk.grow("128m")
        await self.kept_again(relay, cli, quick)

    async def test_whole(self) -> None:
        await self.fills(False, False)

    async def test_in_chunks(self) -> None:
        await self.fills(True, False)

    async def test_compressed(self) -> None:
        await self.fills(False, True)


class FullDiskAcrossABridgeTest(AcrossABridge, FullDiskTest):
    pass


class StuckDiskTest(DiskCase):
    """A disk whose writes wait (fsfreeze), as those of one do that is far too slow."""

    def stick(self) -> FreezableDisk:
        disk = FreezableDisk(self.spool, self.image, "128M")
        self.addCleanup(disk.remove)
        return disk

    async def stuck(self, relay: RelayProcess, cli: Client) -> None:
        """The relay has seen it; its loop waits for no disk."""
        await relay.logged("SPOOL IS OFF.*too slow")
        await cli.settle()
        self.assertEqual((await relay.get("/live")).status, 200)

    async def sticks(self, chunked: bool) -> None:
        disk = self.stick()
        relay, cli, quick, slow = await self.begin(False)
        # Before the relay ends, which would wait for it.
        self.addCleanup(disk.thaw)
        disk.freeze()
        code = await cli.start_filler(SAVE_CHARS, chunked)
        await self.stuck(relay, cli)
        await self.passes(code, cli, quick, slow)
        disk.thaw()
        await self.kept_again(relay, cli, quick)

    async def test_whole(self) -> None:
        await self.sticks(False)

    async def test_in_chunks(self) -> None:
        await self.sticks(True)

    async def test_in_the_middle(self) -> None:
        """What was written before can be read."""
        disk = self.stick()
        relay, cli, quick, slow = await self.begin(False)
        self.addCleanup(disk.thaw)
        page = await PacedClient.join(self.here, "dashboard")
        self.addCleanup(self._leave, page)
        message = bundle_of(SAVE_CHARS)
        data = masked(TEXT, message)
        page.write(data[: 4 * MIB])
        await quick.bytes_arrived(3 * MIB)
        disk.freeze()
        page.write(data[4 * MIB :])
        await self.stuck(relay, cli)
        for phone in (quick, slow):
            self.assertEqual((await phone.bundle()).sha256, hashlib.sha256(message).hexdigest())
        disk.thaw()
        await self.kept_again(relay, cli, quick)


class StuckDiskAcrossABridgeTest(AcrossABridge, StuckDiskTest):
    pass
