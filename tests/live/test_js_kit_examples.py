"""What docs/how-to/send-only-what-changed.md shows of the JavaScript kit, as it stands there."""

import json
import re
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from tests.clients_js.javascript import KIT, program
from tests.live.clients import NODE_DIRECTORY, missing
from tests.live.harness import LiveCase
from tests.live.kit_clients import SESSION, Code
from tests.live.processes import REPOSITORY, Child, within_patience

PAGE = REPOSITORY / "docs/how-to/send-only-what-changed.md"
SIZES = KIT / "examples/sizes.mjs"
CODE = Code(40_000)
SAVED = CODE.change(n5="saved();")
# What a program has that takes the lines over.
APP = """
import { WebSocket } from 'ws';
const early = [];
let warn;
let save = (code) => early.push(code);
const say = (event) => process.stdout.write(JSON.stringify(event) + '\\n');
Object.assign(globalThis, {
  WebSocket,
  url: process.env.RELAY_URL,
  session: 'ABC234',
  deviceName: 'Pixel 9',
  platform: 'android',
  runBundle: (code) => say({ bundle: code.length }),
  showState: (state) => say({ state }),
  reloadApp: () => warn('from the app'),
  onConsole: (level, log) => level === 'warn' && (warn = log),
  onAcknowledgement: ({ success }) => say({ success }),
  onLog: ({ level, args }) => say({ level, args }),
  onSave: (given) => {
    save = given;
    early.forEach(save);
  },
});
console.log = (text) => say({ text });
process.stdin.on('end', () => process.exit(0));
process.stdin.on('data', (data) => save(data.toString().repeat(100_000)));
"""


def programs() -> list[str]:
    """The programs on the page, which begin with what they import."""
    blocks = re.findall(r"(?m)(?:^ {4}.*\n|^\n(?= {4}))+", PAGE.read_text("utf-8"))
    plain = (re.sub(r"(?m)^ {4}", "", block) for block in blocks)
    return [block for block in plain if block.lstrip().startswith("import ")]


class Program:
    """One of them, in Node, and what it has said."""

    def __init__(self, folder: Path, name: str, text: str, relay_url: str) -> None:
        (folder / name).write_text(text, "utf-8")
        app = (folder / "app.mjs").resolve()
        app.write_text(APP, "utf-8")
        self.said: list[dict[str, object]] = []
        self._waiters: list[Deferred[None]] = []
        self.child = Child(
            [program("node"), "--import", app.as_uri(), str(folder / name)],
            env={"RELAY_URL": relay_url},
            on_line=self._line,
        )

    def _line(self, line: str) -> None:
        self.said.append(json.loads(line))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def says(self, key: str) -> object:
        """Wait until it says something with this key, and take that away."""
        while True:
            for event in self.said:
                if key in event:
                    self.said.remove(event)
                    return event[key]
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: repr(self.child))


class PageTest(LiveCase):
    skip = missing()

    async def test_the_lines_for_an_app_and_for_a_cli(self) -> None:
        relay, node = await self.stage()
        page = await node.join("dashboard", SESSION)
        folder = Path(self.mktemp()).resolve()
        (folder / "node_modules").mkdir(parents=True)
        (folder / "node_modules/apptuner-relay-client").symlink_to(KIT)
        (folder / "node_modules/ws").symlink_to(NODE_DIRECTORY / "node_modules/ws")
        texts = programs()
        self.assertEqual(len(texts), 2)
        phone, cli = (
            Program(folder, name, text, f"ws://127.0.0.1:{relay.port}")
            for name, text in zip(("phone.mjs", "cli.mjs"), texts, strict=True)
        )
        for one in (phone, cli):
            self.addCleanup(one.child.end)
        while await phone.says("state") != "open":
            pass
        for line, sent in (("one", "whole"), ("one", "patch")):
            cli.child.write_line(line)
            self.assertRegex(str(await cli.says("text")), rf"^{sent}: \d+ bytes$")
            if sent == "whole":
                self.assertEqual(await phone.says("bundle"), 100_000 * len("one\n"))
            self.assertEqual(await cli.says("success"), True)
        await page.send({"type": "reload"})
        self.assertEqual(await cli.says("args"), ["from the app"])


class SizesTest(LiveCase):
    skip = missing()

    async def sizes(self, *arguments: str) -> Child:
        if not (KIT / "node_modules/ws").exists():
            raise SkipTest(f"needs `npm ci --ignore-scripts` in {KIT}: ops/test does it")
        child = Child([program("node"), str(SIZES), *arguments])
        self.addCleanup(child.kill)
        await within_patience(child.over(), lambda: repr(child))
        return child

    def rows(self, child: Child) -> dict[str, list[int]]:
        self.assertEqual(child.exit_code, 0, repr(child))
        lines = (line.replace(",", "").split() for line in child.out.splitlines())
        return {name: [*map(int, counts)] for name, *counts in filter(_is_row, lines)}

    async def test_its_own_code(self) -> None:
        relay = await self.relay()
        rows = self.rows(await self.sizes(f"ws://127.0.0.1:{relay.port}"))
        self.assertEqual(list(rows), ["before", "after"])
        self.assertGreater(min(rows["before"]), 1_000_000)
        self.assertLess(max(rows["after"]), 1_000)

    async def test_two_files(self) -> None:
        relay = await self.relay()
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        for name, code in (("old.js", CODE), ("new.js", SAVED)):
            (folder / name).write_text(code.text, "utf-8")
        files = (str(folder / "old.js"), str(folder / "new.js"))
        rows = self.rows(await self.sizes(f"ws://127.0.0.1:{relay.port}", *files))
        self.assertGreater(rows["before"][2], len(SAVED.text))
        self.assertLess(max(rows["after"]), 1_000)

    async def test_without_a_relay(self) -> None:
        relay = await self.relay()
        await relay.stop()
        child = await self.sizes(f"ws://127.0.0.1:{relay.port}")
        self.assertEqual((child.exit_code, child.out), (1, ""), repr(child))
        self.assertRegex(child.err, r"^no way to the relay: .*ECONNREFUSED")

    async def test_help(self) -> None:
        child = await self.sizes("--help")
        self.assertEqual((child.exit_code, child.out[:6]), (0, "Usage:"))


def _is_row(words: list[str]) -> bool:
    return len(words) == 4 and all(word.isdigit() for word in words[1:])
