"""`apptuner-relay top`, `sessions` and `close` with a real relay, at real terminals."""

import os
import sys
import termios
from typing import Any

from apptuner_relay.client.outcome import Exit
from apptuner_relay.session.session import session_hash
from tests.client.schema import check_output
from tests.live.clients import TYPESCRIPT
from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import Child, RelayProcess, checkout_env, run
from tests.live.terminal import GIVE_SCREEN_BACK, TAKE_SCREEN, TerminalProgram

HASH = session_hash("ABC234")[:8]
TOKEN = "swordfish-1"


class OperatorCliCase(LiveCase):
    def command(self, name: str, relay: RelayProcess, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "apptuner_relay.client.main", name),
            *("--relay", f"http://127.0.0.1:{relay.port}", *arguments),
        ]

    async def run_it(
        self, name: str, relay: RelayProcess, *arguments: str, code: Exit = Exit.DONE, **env: str
    ) -> Child:
        child = await run(self.command(name, relay, *arguments), env=checkout_env(**env))
        self.assertEqual(child.exit_code, code, repr(child))
        self.assertNotIn("Traceback", child.err)
        return child

    async def json_of(self, name: str, relay: RelayProcess, *arguments: str) -> Any:
        child = await self.run_it(name, relay, "--json", *arguments)
        [line] = check_output(child.out)
        return line

    def terminal(
        self, name: str, relay: RelayProcess, *arguments: str, width: int = 80, height: int = 24
    ) -> TerminalProgram:
        program = TerminalProgram(self.command(name, relay, *arguments), width, height)
        self.addCleanup(program.kill)
        return program


class SessionsTest(OperatorCliCase):
    async def test_sessions_are_listed_and_closed(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "deviceId=p9&name=Pixel+9&platform=android")
        other = await node.join("mobile", "DEF567", "name=Other")
        await cli.push_filler(9_300_000)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True, "timestamp": 1})
        await cli.expect("bundle_ack")

        listed = await self.run_it("sessions", relay)
        self.assertIn(HASH, listed.out)
        self.assertIn("Pixel 9", listed.out)
        self.assertIn("9.3 MB", listed.out)
        self.assertNotIn("–", listed.out.partition(HASH)[2].partition("\n")[0])

        [row] = (await self.json_of("sessions", relay, "--id", "ABC234"))["sessions"]
        self.assertEqual(row["session"], HASH)
        self.assertEqual(row["bundles"][0]["phones"][0]["state"], "acknowledged")
        self.assertGreater(row["reload_s"], 0)
        found = await self.json_of("sessions", relay, "--most", "1")
        self.assertEqual([one["session"] for one in found["sessions"]], [HASH])

        closed = await self.json_of("close", relay, "--id", "ABC234")
        self.assertEqual((closed["session"], closed["closed"]), (HASH, 2))
        for client in (cli, phone):
            self.assertEqual((await client.closed())[0], 1000)
        gone = await self.run_it("close", relay, HASH, code=Exit.FAILED)
        self.assertEqual(gone.err, f"no session {HASH} is connected\n")
        await other.settle()
        self.assertFalse(other.is_closed)

    async def test_who_has_no_token(self) -> None:
        relay, node = await self.stage("--admin-token", TOKEN)
        await node.join("mobile", "ABC234")
        for name, arguments in (("sessions", []), ("close", [HASH]), ("top", ["--once"])):
            child = await self.run_it(name, relay, *arguments, code=Exit.FAILED)
            [line] = child.err.splitlines()
            self.assertIn("asks for a token: --admin-token", line)
            child = await self.run_it(
                name, relay, *arguments, code=Exit.FAILED, APPTUNER_ADMIN_TOKEN="another-token"
            )
            self.assertIn("does not take this token", child.err)
        child = await self.run_it("sessions", relay, APPTUNER_ADMIN_TOKEN=TOKEN)
        self.assertIn(HASH, child.out)

    async def test_somebody_at_a_terminal_is_asked(self) -> None:
        relay, node = await self.stage()
        phone = await node.join("mobile", "ABC234", "name=Pixel+9")
        program = self.terminal("close", relay, HASH)
        await program.shows(f"Close session {HASH}, with 1 phone (Pixel 9)? [y/N]")
        program.typed("n\n")
        await program.until_over()
        self.assertEqual(program.exit_code, Exit.FAILED)
        self.assertIn("nothing was closed", program.out)
        program = self.terminal("close", relay, HASH)
        await program.shows("[y/N]")
        program.typed("y\n")
        self.assertEqual((await phone.closed())[0], 1000)
        await program.until_over()
        self.assertEqual(program.exit_code, 0, repr(program))


class TopTest(OperatorCliCase):
    async def test_at_80_columns(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "name=Pixel+9")
        top = self.terminal("top", relay)
        frame = await top.shows("Pixel 9", "every 2 s")
        self.assertIn(TAKE_SCREEN, top.out)
        self.assertEqual(len(frame), 24)
        self.assertLessEqual(max(map(len, frame)), 80)
        self.assertRegex(frame[2], r"^sessions 1 \(1 cli, 1 mobile\)   bundles \d+/min")
        self.assertRegex("\n".join(frame), rf"{HASH} +cli, mobile +Pixel 9")
        self.assertEqual(frame[-1], "q quits, s sorts (now: busy); every 2 s")
        await cli.push_filler(3_000_000)
        await phone.bundle()
        await top.shows("3.0 MB")
        top.typed("s")
        await top.shows("(now: since)")
        self.assertFalse(top.mode()[3] & termios.ECHO)
        top.typed("q")
        await top.until_over()
        self.assertEqual(top.exit_code, 0, repr(top))
        self.assertIn(GIVE_SCREEN_BACK, top.out)
        self.assertTrue(top.mode_after[3] & termios.ECHO)

    async def test_at_40_columns_and_wider(self) -> None:
        relay, node = await self.stage()
        await node.join("mobile", "ABC234", "name=Pixel+9")
        top = self.terminal("top", relay, width=40, height=30)
        frame = await top.shows("Pixel 9", "every 2 s")
        self.assertLessEqual(max(map(len, frame)), 40)
        self.assertEqual(len(frame), 30)
        top.resize(100, 20)
        await top.shows("Pixel 9", height=20)
        top.signal("INT")
        await top.until_over()
        self.assertEqual(top.exit_code, 0, repr(top))

    async def test_the_terminal_is_as_before(self) -> None:
        relay = await self.relay()
        for name in ("INT", "TERM"):
            top = self.terminal("top", relay)
            before = top.mode()
            await top.shows("q quits")
            self.assertNotEqual(top.mode(), before)
            top.signal(name)
            await top.until_over()
            self.assertEqual(top.mode_after, before)
            self.assertTrue(top.out.endswith(GIVE_SCREEN_BACK), repr(top))

    async def test_it_is_stopped_and_goes_on(self) -> None:
        relay = await self.relay()
        top = self.terminal("top", relay)
        before = top.mode()
        await top.shows("every 2 s")
        top.typed("\x1a")
        await top.prints(GIVE_SCREEN_BACK)
        await top.until_stopped()
        self.assertEqual(top.mode(), before)
        top.signal("CONT")
        await top.prints(TAKE_SCREEN, times=2)
        await top.shows("every 2 s")
        top.typed("q")
        await top.until_over()
        self.assertEqual((top.exit_code, top.mode_after), (0, before), repr(top))

    async def test_a_relay_that_is_started_anew(self) -> None:
        port = free_port()
        options = ["--listen", f"tcp:{port}:interface=127.0.0.1"]
        relay = RelayProcess(options)
        await relay.listening()
        top = self.terminal("top", relay, width=100)
        await top.shows("sessions 0")
        await relay.stop()
        await top.shows("asking again every 2 s")
        again = RelayProcess(options)
        self.addCleanup(again.stop)
        await again.listening()
        frame = await top.shows("the relay was started anew")
        self.assertNotIn("asking again", "\n".join(frame))
        top.typed("q")
        await top.until_over()
        self.assertEqual(top.exit_code, 0, repr(top))

    async def test_for_a_program(self) -> None:
        relay, node = await self.stage()
        await node.join("mobile", "ABC234", "name=Pixel+9")
        child = await self.run_it("top", relay)
        self.assertIn("Pixel 9", child.out)
        self.assertNotIn("\x1b", child.out)
        child = await self.run_it("top", relay, "--once", "--json")
        sample, result = check_output(child.out)
        self.assertEqual(sample["sessions"], 1)
        self.assertEqual(sample["busiest"][0]["session"], HASH)
        self.assertEqual([one["kind"] for one in sample["events"]], ["connected"])
        self.assertEqual((result["event"], result["exit"]), ("result", 0))


class UrlTest(OperatorCliCase):
    async def test_a_url_in_place_of_options(self) -> None:
        relay = await self.relay()
        url = f"ws://127.0.0.1:{relay.port}/mobile/ABC234"
        program = [sys.executable, "-m", "apptuner_relay.client.main"]
        join = Child([*program, "join", url, "--once"], env=checkout_env())
        self.addCleanup(join.kill)
        await relay.logged("mobile connected")
        push = await run([*program, "push", str(TYPESCRIPT), "--single", url], env=checkout_env())
        self.assertEqual(push.exit_code, 0, repr(push))
        await join.over()
        self.assertEqual(join.exit_code, 0, repr(join))


class SchemaTest(OperatorCliCase):
    async def test_what_a_real_relay_makes_of_it(self) -> None:
        relay = await self.relay()
        url = f"ws://127.0.0.1:{relay.port}/cli/ABC234"
        program = [sys.executable, "-m", "apptuner_relay.client.main"]
        join = Child([*program, "join", url, "--once", "--json"], env=checkout_env())
        self.addCleanup(join.kill)
        await relay.logged("mobile connected")
        got = os.path.abspath(self.mktemp())
        for arguments in (
            ["push", str(TYPESCRIPT), url],
            ["fetch", url, "--output", got],
            ["share", url],
            ["doctor", "--relay", url.removesuffix("/cli/ABC234")],
            ["report", "--from", url.removesuffix("/cli/ABC234")],
            ["plan", "--from", url.removesuffix("/cli/ABC234")],
        ):
            child = await run([*program, *arguments, "--json"], env=checkout_env())
            *_, last = check_output(child.out)
            self.assertEqual((last["command"], last["exit"]), (arguments[0], child.exit_code))
            self.assertEqual(child.exit_code, 0, repr(child))
        await join.over()
        check_output(join.out)
        nodes = await self.run_it("nodes", relay, "--json", code=Exit.FAILED)
        check_output(nodes.out)
