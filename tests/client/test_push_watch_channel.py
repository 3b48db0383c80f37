"""`push --watch --managed`: saves are uploaded, as patches and whole."""

from __future__ import annotations

import json
from typing import Any

from apptuner_relay.client import push_watch as push_watch_module
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.patched_code import patched_code
from apptuner_relay.wire.bundle_patch import PATCH_MEDIA_TYPE

from .bundle_server import sha256
from .cases import said
from .little_relay import Recorder
from .test_channel_connection import ChannelCase

LINES = "".join(f"log('é🛒 {number}');\n" for number in range(100))


class PushWatchChannelTest(ChannelCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(push_watch_module, "FIRST_RETRY_SECONDS", 0.01)
        self.bundle = self.here / "app.js"

    async def watching(self) -> tuple[Any, Recorder]:
        """A push whose first save is uploaded."""
        self.bundle.write_text(LINES)
        push, screen = self.begin("push", "--watch", "--poll", "0.01", str(self.bundle))
        self.saves = 1
        await said(screen, "no phone is there")
        return push, screen

    async def save(self, screen: Recorder, text: str, *answers: tuple[int, object]) -> None:
        """Save it, and wait until it is uploaded, with `answers` before the right one."""
        self.channel.answers = list(answers)
        self.bundle.write_text(text)
        self.saves += 1
        await said(screen, "no phone is there", self.saves)

    def assertPatch(self, at: int, base: str, new: str) -> None:
        """What was uploaded is a patch."""
        method, path, body, _ = self.channel.asked[at]
        self.assertEqual((method, path), ("PUT", "/bundles/ABC234"))
        label = sha256(base.encode())
        self.assertEqual(self.channel.types[at], (PATCH_MEDIA_TYPE, f'"{label}"'))
        made = patched_code(json.loads(body), base.encode(), label)
        self.assertEqual(made.decode(), new)

    async def test_patches(self) -> None:
        push, screen = await self.watching()
        self.assertEqual(self.channel.asked[-1][2], LINES.encode())
        self.assertEqual(self.channel.types[-1], ("text/javascript; charset=utf-8", None))
        before = LINES
        for number in range(2):
            text = LINES + f"// {number}"
            await self.save(screen, text)
            self.assertPatch(-1, before, text)
            before = text
        self.assertIn("saves of app.js are uploaded", screen.err.getvalue())
        push.leave(Exit.INTERRUPTED)
        self.assertEqual(await push.done, Exit.DONE)

    async def test_patches_that_are_refused(self) -> None:
        _, screen = await self.watching()
        for status, answer, words in (
            (412, {"error": "another", "reason": "base"}, "(base)"),
            (415, {"error": "what is that"}, "(HTTP 415)"),
            (503, {"error": "busy", "reason": "not_now"}, "(not_now)"),
        ):
            text = LINES + f"// {status}"
            await self.save(screen, text, (status, answer))
            self.assertEqual(self.channel.asked[-1][2], text.encode())
            self.assertEqual(self.channel.types[-2][0], PATCH_MEDIA_TYPE)
            self.assertIn(f"the bundle is wanted whole {words}", screen.err.getvalue())

    async def test_a_patch_is_uploaded_again_where_that_may_help(self) -> None:
        _, screen = await self.watching()
        await self.save(screen, LINES + "// new", (429, {"error": "slowly"}))
        self.assertPatch(-2, LINES, LINES + "// new")
        self.assertPatch(-1, LINES, LINES + "// new")
