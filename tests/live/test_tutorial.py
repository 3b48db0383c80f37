"""The commands of the tutorial and of the README's demo, as a reader types them."""

import hashlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.live.harness import LiveCase
from tests.live.processes import (
    REPOSITORY,
    Child,
    RelayProcess,
    checkout_env,
    run,
    within_patience,
)

PROGRAMS = ("apptuner-relay", "curl", "openssl", "python3", "sha256sum")
ROLES = {"join": "mobile", "push": "cli", "watch": "dashboard"}
BLOCK = re.compile(r"(?m)^(?P<before>\S.*)\n\n(?P<lines>(?: {4}.*\n)+)")
REFUSED = 3
"""The companion's exit code when the relay doesn't let it in."""


class Typed(NamedTuple):
    """A command of a page."""

    text: str
    is_refused: bool
    """The sentence before it says that the relay does not let it in."""
    shown: str = ""
    """What the page shows of its output, where that is the block behind it."""

    @property
    def name(self) -> str | None:
        """Of the companion's command, if it is one."""
        words = self.text.split()
        return words[1] if words[0].endswith("apptuner-relay") else None

    @property
    def session(self) -> str:
        found = re.search(r"--session (\S+)", self.text)
        assert found, self.text
        return found[1]

    @property
    def stays(self) -> bool:
        """Whether a reader leaves it running, and goes on in another terminal."""
        waits_for_a_phone = self.name == "push" and "--wait" in self.text
        return self.name == "watch" or waits_for_a_phone or (self.is_phone and not self.is_brief)

    @property
    def is_phone(self) -> bool:
        return self.name == "join"

    @property
    def is_brief(self) -> bool:
        return "--once" in self.text


def typed(page: str) -> Iterator[Typed]:
    """The commands of a page, without what starts the relay and what is shown of their output."""
    blocks = list(BLOCK.finditer((REPOSITORY / page).read_text("utf-8")))
    for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
        is_refused = block["before"].endswith("refused:")
        commands = [line.strip() for line in block["lines"].splitlines() if is_command(line)]
        for number, command in enumerate(commands, 1):
            shows = number == len(commands) and behind and not is_command(behind["lines"])
            yield Typed(command, is_refused, behind["lines"] if behind and shows else "")


def is_command(line: str) -> bool:
    """Whether a line, or the first of several, is something that a reader types."""
    return Path(line.split()[0]).name in PROGRAMS


def alike(output: str) -> str:
    """Output without what differs from run to run."""
    lines = [re.sub(r"\d+\.\d\d s", "0.00 s", line.strip()) for line in output.splitlines()]
    return "\n".join(filter(None, lines))


class PagesTest(LiveCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir()
        self.running: list[tuple[Typed, Child]] = []
        self.token = ""

    def argv(self, command: Typed, relay: RelayProcess) -> list[str]:
        text = command.text.replace("127.0.0.1:3000", f"127.0.0.1:{relay.port}")
        text = text.replace("TOKEN", self.token).replace("path/to/bundle.js", "app.js")
        program = shlex.join([sys.executable, "-m", "apptuner_relay.client.main"])
        text = text.replace(".venv/bin/apptuner-relay", f"exec {program}")
        return ["/bin/sh", "-c", text]

    async def follow(self, page: str, relay: RelayProcess) -> list[str]:
        """Type each command of the page. Returns what they are called."""
        env = checkout_env(APPTUNER_RELAY=f"ws://127.0.0.1:{relay.port}")
        commands = list(typed(page))
        for command in commands:
            if command.is_phone:
                await self.stop_phones(command.session)
            argv = self.argv(command, relay)
            if command.stays:
                child = Child(argv, self.home, env)
                self.running.append((command, child))
                self.addCleanup(self.end, child)
                label = hashlib.sha256(command.session.encode()).hexdigest()[:8]
                await relay.logged(f"session {label}: {ROLES[command.name or '']} connected")
                continue
            child = await run(argv, self.home, env)
            self.assertEqual(child.exit_code, REFUSED if command.is_refused else 0, repr(child))
            if command.name == "push" and command.shown and not command.is_refused:
                self.assertEqual(alike(child.err + child.out), alike(command.shown), repr(child))
            if found := re.search(r"token=(\S+)", child.out):
                self.token = found[1]
        return [command.name or command.text.split()[0] for command in commands]

    async def stop_phones(self, session: str) -> None:
        """Ctrl-C in the terminals in which phones of a session run."""
        for command, child in self.running:
            if command.is_phone and command.session == session:
                await self.end(child, "INT")

    async def end(self, child: Child, name: str = "KILL") -> None:
        child.signal(name)
        await within_patience(child.over(), lambda: repr(child))

    async def test_the_tutorial(self) -> None:
        relay = await self.relay()
        names = await self.follow("docs/tutorial.md", relay)
        self.assertLessEqual({"join", "push", "watch", "fetch", "share", "curl"}, set(names))
        code = (self.home / "app.js").read_bytes()
        for name in ("got.js", "again.js"):
            self.assertEqual((self.home / name).read_bytes(), code, name)
        ((_, waiting),) = [each for each in self.running if each[0].name == "push"]
        await within_patience(waiting.over(), lambda: repr(waiting))
        self.assertEqual(waiting.exit_code, 0, repr(waiting))

    async def test_the_demo(self) -> None:
        relay = await self.relay()
        (self.home / "app.js").write_text("console.log('hello');\n")
        names = await self.follow("README.md", relay)
        self.assertEqual(names, ["join", "push", "fetch"])
        for name in ("got.js", "again.js"):
            self.assertEqual((self.home / name).read_bytes(), (self.home / "app.js").read_bytes())
