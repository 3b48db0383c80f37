"""What an operator changes of a relay that runs: draining, blocked addresses, the log's level, the
configuration."""

import json
import sys
from pathlib import Path
from typing import Any

from apptuner_relay.client.outcome import Exit
from tests.client.schema import check_output
from tests.live.cluster import ClusterCase
from tests.live.harness import LiveCase
from tests.live.processes import Child, RelayProcess, checkout_env, run


class RuntimeCase(LiveCase):
    async def command(self, relay: RelayProcess, *words: str, code: Exit = Exit.DONE) -> Child:
        name, *more = words
        program = [sys.executable, "-m", "apptuner_relay.client.main", name]
        where = ["--relay", f"http://127.0.0.1:{relay.port}"]
        child = await run([*program, *where, *more], env=checkout_env())
        self.assertEqual(child.exit_code, code, repr(child))
        return child

    async def json_of(self, relay: RelayProcess, *words: str) -> Any:
        child = await self.command(relay, *words, "--json")
        [line] = check_output(child.out)
        return line


class DrainTest(RuntimeCase):
    async def test_there_and_back(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        drained = await self.json_of(relay, "drain")
        self.assertEqual((drained["state"], drained["connections"]), ("drained", 1))
        self.assertEqual((await relay.get("/ready")).status, 503)
        refused = await node.refused("cli", "NEWONE")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "5"))
        phone = await node.join("mobile", "ABC234")
        await cli.push_filler(300_000)
        await phone.bundle()
        await self.command(relay, "drain", "--off")
        self.assertEqual((await relay.get("/ready")).status, 200)
        await node.join("cli", "NEWONE")
        await relay.logged(r"\[audit#info\] drain on, from 127\.0\.0\.1 \(loopback\): done")
        self.assertNotIn("Traceback", relay.log)


class BlockTest(RuntimeCase):
    async def test_over_a_restart(self) -> None:
        state = Path(self.mktemp()).absolute()
        options = ("--state-dir", str(state))
        relay = await self.relay(*options)
        out = (await self.command(relay, "block", "192.0.2.4", "--for", "1h", "--reason", "x")).out
        self.assertEqual(out, "192.0.2.4 is blocked for 1h\n")
        own = await self.command(relay, "block", "127.0.0.1", code=Exit.FAILED)
        self.assertIn("answers with 400", own.err)
        relay.child.signal("TERM")
        await relay.child.over()
        relay.forget()
        again = await self.relay(*options)
        listed = await self.json_of(again, "block")
        self.assertEqual([row["address"] for row in listed["blocked"]], ["192.0.2.4"])
        await self.command(again, "block", "192.0.2.4", "--lift")
        gone = await self.command(again, "block", "192.0.2.4", "--lift", code=Exit.FAILED)
        self.assertIn("192.0.2.4 is not blocked", gone.err)


class ReloadTest(RuntimeCase):
    async def test_a_hangup_reads_the_file_again(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text("max-mobiles = 5\n")
        relay, node = await self.stage("--config", str(file))
        await node.join("mobile", "ABC234", "deviceId=a")
        file.write_text('max-mobiles = 1\nlog-level = "debug"\ncompression = false\n')
        relay.child.signal("HUP")
        await relay.logged("in force from now on: --max-mobiles, --log-level")
        await relay.logged("need a restart: --compression")
        refused = await node.refused("mobile", "ABC234", "deviceId=b")
        self.assertEqual(refused.status, 403)
        await relay.logged("#debug.*refused 127.0.0.1 with 403")
        file.write_text("max-mobiles = many\n")
        relay.child.signal("HUP")
        await relay.logged("configuration is refused, and nothing changes: .*max-mobiles|TOML")
        self.assertEqual((await relay.get("/ready")).status, 200)

    async def test_the_level_of_the_log(self) -> None:
        relay, node = await self.stage()
        relay.child.signal("USR2")
        await relay.logged("log level debug")
        await node.join("cli", "ABC234")
        await relay.logged("#debug.*cli from 127.0.0.1: deflate")
        found = json.loads((await relay.get("/api/log-level")).body)
        self.assertEqual((found["level"], found["usual"]), ("debug", "info"))


class ClusterDrainTest(ClusterCase, RuntimeCase):
    async def test_the_only_relay_of_a_cluster_keeps_its_sessions(self) -> None:
        _, (one,), node = await self.cluster(1)
        cli = await self.join(node, one, "cli")
        await self.command(one, "drain")
        await one.logged("draining without stopping: sessions are handed over")
        phone = await self.join(node, one, "mobile")
        await cli.push_filler(300_000)
        await phone.bundle()
        self.assertFalse(cli.is_closed)

    async def test_sessions_move_and_the_relay_takes_others_again(self) -> None:
        _, (one, other), node = await self.cluster(2)
        cli = await self.join(node, one, "cli")
        phone = await self.join(node, one, "mobile", query="deviceId=p")
        await cli.expect("mobile_connected")
        await self.command(one, "drain")
        await one.logged("draining without stopping: sessions are handed over")
        self.assertEqual((await self.json_of(other, "sessions"))["sessions"][0]["roles"][0], "cli")
        await cli.push_filler(300_000)
        await phone.bundle()
        refused = await node.refused("cli", "NEWONE", url=one.url("cli", "NEWONE", ""))
        self.assertEqual(refused.status, 503)
        await self.command(one, "drain", "--off")
        await self.join(node, one, "cli", session="NEWONE")
        rows = (await self.json_of(one, "sessions"))["sessions"]
        self.assertEqual([row["roles"] for row in rows], [["cli"]])
