"""A CLI that sends patches of a real bundle, and phones of every kind: Node's ``ws`` on both sides,
a real relay with its worker process between them."""

import time
from pathlib import Path

from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.wire.bundle_patch import build_patch
from tests.live.clients import TYPESCRIPT, Client
from tests.live.harness import LiveCase
from tests.live.test_bundles import code_of
from tests.spool.cases import sha256


class PatchesTest(LiveCase):
    def setUp(self) -> None:
        self.code = TYPESCRIPT.read_text("utf-8")

    async def kept(self, cli: Client) -> str:
        """The SHA-256 of the bundle of which a CLI is told next that it is kept."""
        kept: str = (await cli.expect("bundle_kept")).data["sha256"]
        return kept

    def edit(self, number: int) -> tuple[bytes, Path]:
        """The next save: the patch, and a file with what it makes."""
        at = len(self.code) // 2
        tail = f"BUNDLE_ID = {number};\n"
        new = f"{self.code[:at]}\nlog('é🛒 {number}');\n{self.code[at:]}{tail}"
        before, after = self.code.encode(), new.encode()
        made = make_patch(before, sha256(self.code), after, sha256(new), time.monotonic)
        self.code = new
        file = Path(self.mktemp())
        file.write_bytes(after)
        return build_patch(made, 1), file

    async def test_saves_one_after_the_other(self) -> None:
        _, node = await self.stage()
        phones = [
            await node.join("mobile", "ABC234", query, perMessageDeflate=deflate)
            for query, deflate in (("", True), ("", False), ("platform=ios&chunks=1", False))
        ]
        patched = await node.join("mobile", "ABC234", "patch=1")
        cli = await node.join("cli", "ABC234", "patch=1", perMessageDeflate=True)
        await cli.push(TYPESCRIPT, True)
        self.assertEqual(await self.kept(cli), sha256(self.code))
        for one in (*phones, patched):
            self.assertEqual((await one.bundle()).code, code_of(TYPESCRIPT))
        self.assertEqual((await patched.expect("bundle_id")).data["sha256"], sha256(self.code))
        for number in range(3):
            patch, file = self.edit(number)
            self.assertLess(len(patch), 1000)
            await cli.send(patch.decode())
            self.assertEqual((await patched.next()).text, patch.decode())
            self.assertEqual(await self.kept(cli), sha256(self.code))
            for one in phones:
                self.assertEqual((await one.bundle()).code, code_of(file))
        late = await node.join("mobile", "ABC234", "replay=1")
        self.assertEqual((await late.bundle()).code, code_of(file))

    async def test_a_wrong_one_and_then_the_whole(self) -> None:
        _, node = await self.stage()
        phone = await node.join("mobile", "ABC234")
        cli = await node.join("cli", "ABC234", "patch=1")
        patch, file = self.edit(1)
        await cli.send(patch.decode())
        self.assertEqual((await cli.expect("bundle_wanted")).data["reason"], "base")
        await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, code_of(TYPESCRIPT))
        await self.kept(cli)
        await cli.send(patch.decode().replace("é🛒", "é🛍"))
        self.assertEqual((await cli.expect("bundle_wanted")).data["reason"], "sha256")
        await cli.send(patch.decode())
        self.assertEqual((await phone.bundle()).code, code_of(file))
