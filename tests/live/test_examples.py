"""The clients in fifty lines of docs/examples, each phone with each CLI."""

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from tests.live.clients import NODE_DIRECTORY
from tests.live.harness import LiveCase
from tests.live.processes import REPOSITORY, Child, RelayProcess, within_patience
from tests.live.soketi import FOLDER as SOKETI
from tests.live.soketi import missing_soketi

EXAMPLES = REPOSITORY / "docs" / "examples"
CHANNEL_PHONE = "channel_phone.mjs"
SHORT = "console.log('caf\u00e9 \U0001f680');\n"
LONG = "".join(f"var line{n} = 'caf\u00e9 \U0001f680';\n" for n in range(60_000))
"""Above 512 Ki characters: it goes in chunks."""


class ExamplesTest(LiveCase):
    def command(self, name: str) -> list[str]:
        if name.endswith(".py"):
            return [sys.executable, str(EXAMPLES / name)]
        # Node looks for packages beside the program.
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        packages = SOKETI if name == CHANNEL_PHONE else NODE_DIRECTORY
        (directory / "node_modules").symlink_to(packages / "node_modules")
        program = directory / name
        program.write_text((EXAMPLES / name).read_text("utf-8"), "utf-8")
        return ["node", str(program)]

    async def phone(
        self,
        name: str,
        relay: RelayProcess,
        file: Path,
        key: str = "",
        session: str = "ABC234",
    ) -> Deferred[None]:
        """Have one join. What is returned fires when it has joined once more. In one session, two
        would take each other's place for ever: all say the same device id.

        ``key``: of the application, for one that joins by a channel.
        """
        joined: list[Deferred[None]] = [Deferred(), Deferred()]
        waiting = iter(joined)

        def line(text: str) -> None:
            if text == "received connected" and (one := next(waiting, None)) is not None:
                one.callback(None)

        way = [f"http://127.0.0.1:{relay.port}", key] if key else [f"ws://127.0.0.1:{relay.port}"]
        child = Child([*self.command(name), *way, session, str(file)], on_line=line)

        async def stop() -> None:
            child.signal("KILL")
            await child.over()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        await within_patience(joined[0], lambda: repr(child))
        return joined[1]

    async def push(self, name: str, relay: RelayProcess, code: str) -> Child:
        source = Path(self.mktemp())
        source.write_text(code, "utf-8")
        address = f"ws://127.0.0.1:{relay.port}"
        child = Child([*self.command(name), address, "ABC234", str(source.resolve())])
        self.addCleanup(child.kill)
        await within_patience(child.over(), lambda: repr(child))
        return child

    async def check(self, phone: str, push: str, key: str = "") -> None:
        relay = await self.relay(*(("--managed", f"relay://{key}") if key else ()))
        got = Path(self.mktemp()).resolve()
        await self.phone(phone, relay, got, key)
        for code in (SHORT, LONG):
            pushed = await self.push(push, relay, code)
            self.assertEqual(pushed.exit_code, 0, repr(pushed))
            self.assertEqual(got.read_text("utf-8"), code)

    async def test_python_to_python(self) -> None:
        await self.check("phone.py", "push.py")

    async def test_python_to_node(self) -> None:
        await self.check("phone.mjs", "push.py")

    async def test_node_to_python(self) -> None:
        await self.check("phone.py", "push.mjs")

    async def test_node_to_node(self) -> None:
        await self.check("phone.mjs", "push.mjs")

    async def test_python_to_a_channel(self) -> None:
        if why := missing_soketi():
            raise SkipTest(f"{why}, and pusher-js with it")
        await self.check(CHANNEL_PHONE, "push.py", "example-key")

    async def test_phones_come_back_after_the_relay(self) -> None:
        relay = await self.relay()
        got = Path(self.mktemp()).resolve()
        phones = {"phone.py": "ABC234", "phone.mjs": "DEF567"}
        back = [
            await self.phone(name, relay, got, session=session) for name, session in phones.items()
        ]
        await relay.stop()
        again = RelayProcess(["--listen", f"tcp:{relay.port}:interface=127.0.0.1"])
        self.addCleanup(again.stop)
        await again.listening()
        for one in back:
            await within_patience(one, lambda: repr(again.child))
