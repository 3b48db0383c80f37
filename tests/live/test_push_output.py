"""What ``push`` says of phones, with a real relay: who took a bundle, who failed and with what, who
says nothing, and what to do when nobody comes."""

import re
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor

from apptuner_relay.client.join_url import qr_code
from apptuner_relay.client.no_phone_hint import AFTER_SECONDS
from apptuner_relay.client.outcome import Exit
from apptuner_relay.support.lan_address import find_lan_address
from tests.live.clients import TYPESCRIPT, Client, NodeClients
from tests.live.processes import Child, RelayProcess, checkout_env, within_patience
from tests.live.test_access import KEY
from tests.live.test_companion_patches import Program, WatchCase

ERROR = "SyntaxError: Unexpected token (4:2)\n    at eval (bundle.js)"
SENT = r"[\d.]+ MB in \d+\.\d\d s"
AFTER = r"after \d+\.\d\d s"
JOIN = r"ws://[\d.]+:\d+/mobile/ABC234"


class TerminalChild(Child):
    """A process on a terminal of its own."""

    def spawn(self, argv: Any, cwd: Any, env: Any, sockets: Any) -> Any:
        env = {**env, "TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"}
        return reactor.spawnProcess(  # type: ignore[attr-defined]
            self, argv[0], argv, env=env, path=str(cwd), usePTY=True
        )


class TerminalProgram(Program):
    """``apptuner-relay`` at somebody's terminal."""

    def __init__(self, argv: list[str]) -> None:
        self._lines, self._waiters = [], []
        self.child = TerminalChild(argv, env=checkout_env(), on_line=self._line)


class PushOutputTest(WatchCase):
    async def phone(self, node: NodeClients, name: str) -> Client:
        device = name.lower().replace(" ", "-")
        return await node.join("mobile", "ABC234", f"deviceId={device}&name={quote(name)}")

    def pushing(self, relay: RelayProcess, *arguments: str) -> Program:
        return self.program("push", relay, str(TYPESCRIPT), *arguments)

    async def ended(self, program: Program, code: Exit) -> None:
        await within_patience(program.child.over(), lambda: repr(program.child))
        self.assertEqual(program.child.exit_code, code, repr(program.child))

    async def test_one_phone(self) -> None:
        relay = await self.relay()
        await self.joined(relay, "Pixel 9")
        push = self.pushing(relay)
        await self.ended(push, Exit.DONE)
        self.assertRegex(push.child.out, rf"^{SENT} · Pixel 9 acknowledged {AFTER}\n$")

    async def test_two_phones_of_which_one_fails(self) -> None:
        relay, node = await self.stage()
        await self.joined(relay, "Pixel 9")
        iphone = await self.phone(node, "iPhone")
        push = self.pushing(relay)
        await iphone.bundle()
        await iphone.send({"type": "bundle_ack", "success": False, "error": ERROR})
        await self.ended(push, Exit.FAILED)
        self.assertRegex(push.child.out, rf"^{SENT} · to 2 phones\nPixel 9 acknowledged {AFTER}\n$")
        self.assertRegex(
            push.child.err,
            rf"(?m)^iPhone failed {AFTER}: SyntaxError: Unexpected token \(4:2\)\n"
            r" {8}at eval \(bundle.js\)$",
        )

    async def test_a_failure_with_quiet(self) -> None:
        relay, node = await self.stage()
        iphone = await self.phone(node, "iPhone")
        push = self.pushing(relay, "--quiet")
        await iphone.bundle()
        await iphone.send({"type": "bundle_ack", "success": False, "error": "no room"})
        await self.ended(push, Exit.FAILED)
        self.assertEqual(push.child.out, "")
        self.assertRegex(push.child.err, rf"^{SENT} · iPhone failed {AFTER}: no room\n$")

    async def test_a_phone_that_says_nothing_is_named(self) -> None:
        relay, node = await self.stage()
        await self.joined(relay, "Pixel 9")
        await self.phone(node, "iPhone")
        push = self.pushing(relay, "--timeout", "1")
        await self.ended(push, Exit.NO_ACK)
        self.assertIn("Pixel 9 acknowledged", push.child.out)
        self.assertIn("no acknowledgement within 1 s from iPhone\n", push.child.err)

    async def test_two_phones_that_fail_with_the_same_words(self) -> None:
        # Only the relay can tell which is which.
        relay, node = await self.stage()
        phones = [await self.phone(node, name) for name in ("Pixel 9", "iPhone")]
        push = self.pushing(relay)
        for phone in phones:
            await phone.bundle()
        for phone in reversed(phones):
            await phone.send({"type": "bundle_ack", "success": False, "error": "no room"})
        await self.ended(push, Exit.FAILED)
        for name in ("Pixel 9", "iPhone"):
            self.assertRegex(push.child.err, rf"(?m)^{name} failed {AFTER}: no room$")

    async def test_nobody_comes(self) -> None:
        relay = await self.relay()
        push = self.pushing(relay, "--wait", str(AFTER_SECONDS + 1))
        await self.ended(push, Exit.NO_PHONE)
        said = push.child.err
        self.assertEqual(said.count("no phone is there after 10 s. To check:\n"), 1)
        self.assertIn(f"doctor --relay ws://127.0.0.1:{relay.port} --session ABC234", said)
        address = find_lan_address()
        if address is not None:
            self.assertIn(f"phones join with ws://{address}:{relay.port}/mobile/ABC234\n", said)
        self.assertNotIn("\x1b", said)

    async def test_nobody_comes_and_somebody_looks(self) -> None:
        if find_lan_address() is None:
            self.skipTest("this machine has no address in a network")
        relay = await self.relay()
        arguments = ["--watch", "--key", KEY, "--tokens", str(TYPESCRIPT)]
        push = TerminalProgram(self.command("push", relay, *arguments))
        self.addCleanup(self.end, push.child)
        found = await push.until(
            lambda: re.search(rf"({JOIN}\?token=([\w.-]+))[^\w.-]", push.child.out)
        )
        url, token = found.groups()
        last = qr_code(url).splitlines()[-1]
        await push.until(lambda: True if last in push.child.out else None)
        join = self.program("join", relay, "--token", token, "--once", "--name", "Pixel 9")
        await self.ended(join, Exit.DONE)
        await push.until(lambda: re.search(rf"Pixel 9 acknowledged {AFTER}", push.child.out))
