"""``push --watch`` and ``join --patch`` with a real relay, beside released phones and CLIs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred

from tests.live.clients import TYPESCRIPT
from tests.live.ports import free_port
from tests.live.processes import Child, RelayProcess, checkout_env, within_patience
from tests.live.released import Released
from tests.live.test_access import Companion
from tests.live.test_bundles import code_of
from tests.spool.cases import sha256

T = TypeVar("T")


class _LoudChild(Child):
    """A process whose errors are heard as they come."""

    on_error: Callable[[], None]

    def errReceived(self, data: bytes) -> None:
        super().errReceived(data)
        self.on_error()


class Program:
    """``apptuner-relay`` as it runs. What it prints is read line by line."""

    def __init__(self, argv: list[str]) -> None:
        self.child = _LoudChild(argv, env=checkout_env(), on_line=self._line)
        self.child.on_error = self._wake
        self._lines: list[str] = []
        self._waiters: list[Deferred[None]] = []

    async def says(self, words: str) -> None:
        """Wait until these words were on standard error."""
        await self.until(lambda: True if words in self.child.err else None)

    async def prints(self, words: str) -> str:
        """The next line on standard output that has these words."""
        return await self.until(lambda: self._next(words))

    async def until(self, look: Callable[[], T | None]) -> T:
        """Wait until there is something, which is looked for whenever it prints."""
        while (found := look()) is None:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: repr(self.child))
        return found

    def _next(self, words: str) -> str | None:
        while self._lines:
            line = self._lines.pop(0)
            if words in line:
                return line
        return None

    def _line(self, line: str) -> None:
        self._lines.append(line)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)


class WatchCase(Companion):
    def setUp(self) -> None:
        self.here = Path(self.mktemp()).resolve()
        self.here.mkdir()
        self.bundle = self.here / "app.js"
        self.code = TYPESCRIPT.read_text("utf-8")
        self.saves = 0
        self.bundle.write_text(self.code, "utf-8")

    def program(self, name: str, relay: RelayProcess, *arguments: str) -> Program:
        program = Program(self.command(name, relay, *arguments))
        self.addCleanup(self.end, program.child)
        return program

    def watching(self, relay: RelayProcess, *arguments: str) -> Program:
        return self.program("push", relay, "--watch", str(self.bundle), *arguments)

    async def joined(self, relay: RelayProcess, name: str, *arguments: str) -> tuple[Program, Path]:
        """A phone that has connected, and where it writes to."""
        got = self.here / f"{name}.js"
        join = self.program("join", relay, "--name", name, "--output", str(got), *arguments)
        await join.says("connected as device")
        return join, got

    def save(self, *, in_place: bool = False) -> str:
        """Save the next edit; returns its SHA-256."""
        self.saves += 1
        at = len(self.code) // 2
        self.code = f"{self.code[:at]}\nlog('é🛒 {self.saves}');\n{self.code[at:]}// {self.saves}\n"
        file = self.bundle if in_place else self.here / "draft"
        file.write_text(self.code, "utf-8")
        if not in_place:
            file.replace(self.bundle)
        return sha256(self.code)


class PushWatchTest(WatchCase):
    async def test_saves_reach_phones_of_every_kind(self) -> None:
        relay, node = await self.stage()
        released = Released()
        self.addCleanup(released.stop)
        await released.ready()
        phone = await released.start("mobile", relay.url("mobile", "ABC234", "deviceId=old"))
        phones = [
            await node.join("mobile", "ABC234", query, perMessageDeflate=deflate)
            for query, deflate in (("", True), ("platform=ios&chunks=1", False))
        ]
        patched = await node.join("mobile", "ABC234", "patch=1")
        join, got = await self.joined(relay, "Ann", "--patch")
        push = self.watching(relay, "--timeout", "0")
        await join.prints(sha256(self.code))
        for one in (*phones, patched):
            self.assertEqual((await one.bundle()).code, code_of(self.bundle))
        await phone.until(lambda: phone.those("bundle") or None)
        for in_place in (False, True, False):
            digest = self.save(in_place=in_place)
            self.assertRegex(await join.prints("patch: "), r"^patch: \d{3} bytes -> 9.1 MB$")
            await join.prints(digest)
            self.assertEqual(got.read_text("utf-8"), self.code)
            message = await patched.expect("bundle_patch")
            self.assertLess(len(message.text), 1000)
            self.assertEqual(message.data["sha256"], digest)
            for one in phones:
                self.assertEqual((await one.bundle()).code, code_of(self.bundle))
            await phone.until(lambda: len(phone.those("bundle")) > self.saves or None)
        push.child.signal("INT")
        await within_patience(push.child.over(), lambda: repr(push.child))
        self.assertEqual(push.child.exit_code, 0, repr(push.child))
        sent = re.findall(r"(?m)^app.js: (\d+) B as a patch of ", push.child.out + push.child.err)
        self.assertEqual(len(sent), 3, repr(push.child))
        self.assertTrue(all(int(size) < 1000 for size in sent))

    async def test_who_acknowledges_is_told(self) -> None:
        relay = await self.relay()
        join, _ = await self.joined(relay, "Ann", "--patch")
        other, got = await self.joined(relay, "Bob")
        push = self.watching(relay)
        line = await push.prints(" acknowledged after ")
        self.assertRegex(
            line, r"^app.js: [\d.]+ MB whole in [\d.]+ s · \w+ acknowledged after [\d.]+ s · "
        )
        for name in ("Ann", "Bob"):
            self.assertIn(f"{name} acknowledged after ", line)
        digest = self.save()
        line = await push.prints(" acknowledged after ")
        self.assertRegex(line, r"^app.js: \d+ B as a patch of [\d.]+ MB in [\d.]+ s · \w+ ack")
        await join.prints(digest)
        await other.prints(digest)
        late, late_got = await self.joined(relay, "Cid", "--once")
        await within_patience(late.child.over(), lambda: repr(late.child))
        await push.prints("Cid acknowledged after")
        for file in (got, late_got):
            self.assertEqual(file.read_text("utf-8"), self.code)

    async def test_a_relay_without_a_spool_gets_all_of_it(self) -> None:
        relay = await self.relay("--spool-dir", "off")
        join, got = await self.joined(relay, "Ann", "--patch")
        push = self.watching(relay)
        for _ in range(2):
            await push.prints(" whole in ")
            await join.prints(sha256(self.code))
            self.assertEqual(got.read_text("utf-8"), self.code)
            self.save()
        self.assertNotIn("patch: ", join.child.out)

    async def test_a_save_while_the_relay_is_away(self) -> None:
        spool, port = self.here / "spool", free_port()
        options = ["--listen", f"tcp:{port}:interface=127.0.0.1", "--spool-dir", str(spool)]
        relay = await self.begin(*options)
        join, got = await self.joined(relay, "Ann", "--patch")
        push = self.watching(relay)
        await push.prints("Ann acknowledged")
        await relay.stop()
        digest = self.save()
        relay = await self.begin(*options)
        await join.prints(digest)
        await push.prints("Ann acknowledged")
        digest = self.save()
        await join.prints("patch: ")
        await join.prints(digest)
        await push.prints(" as a patch ")
        self.assertEqual(got.read_text("utf-8"), self.code)

    async def begin(self, *options: str) -> RelayProcess:
        relay = RelayProcess(options)
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def test_by_a_managed_channel(self) -> None:
        url = "relay://some-application-key"
        relay = await self.relay("--managed", url)
        join, got = await self.joined(relay, "Ann", "--managed", url)
        push = self.watching(relay, "--managed", url)
        for how in (" whole in ", " as a patch ", " as a patch "):
            self.assertIn(how, await push.prints("Ann acknowledged"))
            await join.prints(sha256(self.code))
            self.assertEqual(got.read_text("utf-8"), self.code)
            self.save()


class JoinPatchTest(WatchCase):
    async def test_what_the_relay_makes_of_a_released_clis_bundles(self) -> None:
        relay, node = await self.stage()
        join, got = await self.joined(relay, "Ann", "--patch")
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        await cli.push(self.bundle, True)
        await join.prints(sha256(self.code))
        # A busy relay may find that a patch takes too long, or not know yet what the phone has.
        for _ in range(20):
            digest = self.save()
            await cli.push(self.bundle, True)
            await join.prints(digest)
            self.assertEqual(got.read_text("utf-8"), self.code)
            if "patch: " in join.child.out:
                break
        self.assertRegex(join.child.out, r"(?m)^patch: \d{3} bytes -> 9.1 MB$")

    async def test_it_says_what_it_has(self) -> None:
        relay, node = await self.stage()
        (self.here / "Ann.js").write_text(self.code, "utf-8")
        cli = await node.join("cli", "ABC234")
        await cli.push(self.bundle, True)
        have = ("--patch", "--replay", "--have", str(self.here / "Ann.js"))
        join, got = await self.joined(relay, "Ann", *have)
        await join.prints("unchanged")
        digest = self.save()
        await cli.push(self.bundle, True)
        await join.prints(digest)
        self.assertEqual(got.read_text("utf-8"), self.code)
