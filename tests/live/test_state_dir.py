"""A state directory that can't be used, that another relay has, or of which a file is damaged: told
before the relay starts, or while it runs."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.harness import LiveCase
from tests.live.processes import (
    RelayProcess,
    checkout_env,
    run,
    twistd_command,
    within_patience,
)
from tests.live.systemd import ADOPTED, listening_socket

KEY = "0123456789abcdef-the-secret"
OTHER = "fedcba9876543210-another-one"
NOBODY = 65534


def bearer(secret: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {secret}"}}


class StateCase(LiveCase):
    def setUp(self) -> None:
        super().setUp()
        # Users other than this one must be able to go there.
        self.here = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.here)
        self.here.chmod(0o755)
        self.state = self.here / "state"

    async def state_of(self, relay: RelayProcess) -> tuple[int, dict[str, object]]:
        reply = await relay.get("/health")
        return reply.status, reply.json()

    async def until(self, relay: RelayProcess, status: str) -> dict[str, object]:
        """What `/health` says once it says this; it is asked until then."""
        while (answer := (await self.state_of(relay))[1])["status"] != status:
            await deferLater(reactor, 0.1)
        return answer


class RefusedTest(StateCase):
    async def refused(self, *options: str, by: tuple[str, ...] = ()) -> str:
        """It must end with 1 and one line, which is returned."""
        child = await run([*twistd_command(), *by, "apptuner-relay", *options], env=checkout_env())
        self.assertEqual(child.exit_code, 1, repr(child))
        lines = child.err.splitlines()
        self.assertEqual(len(lines), 1, repr(child))
        return lines[0]

    async def test_one_that_another_relay_has(self) -> None:
        relay = await self.relay("--state-dir", str(self.state))
        line = await self.refused("--state-dir", str(self.state), "--listen", "tcp:0")
        self.assertIn(f"--state-dir: {self.state}: another relay has it", line)
        self.assertEqual((await self.state_of(relay))[1]["status"], "ok")

    async def test_one_that_is_a_file(self) -> None:
        self.state.write_text("")
        line = await self.refused("--state-dir", str(self.state), "--listen", "tcp:0")
        self.assertIn(f"--state-dir: {self.state}: ", line)

    async def test_one_that_the_user_may_not_write(self) -> None:
        """Root checks as the user that it is going to be, and leaves nothing of its own there."""
        self.state.mkdir(mode=0o755)
        by = ("--uid", str(NOBODY), "--gid", str(NOBODY))
        line = await self.refused("--state-dir", str(self.state), "--listen", "tcp:0", by=by)
        self.assertIn("Permission denied", line)
        self.assertEqual(list(self.state.iterdir()), [])

    if os.geteuid() != 0:
        test_one_that_the_user_may_not_write.skip = "needs root"  # type: ignore[attr-defined]


class FoundTest(StateCase):
    """One that the relay finds by itself is warned of."""

    async def test_one_that_another_relay_has(self) -> None:
        env = {"APPTUNER_STATE_DIR": "auto", "STATE_DIRECTORY": str(self.state)}
        first = await self.relay(env=env)
        second = await self.relay("--metrics", "open", env=env)
        answer = await self.until(second, "degraded")
        self.assertIn("another relay has it", str(answer["reasons"]))
        self.assertEqual((await self.state_of(second))[0], 200, "clients have no other to go to")
        worries = {one["name"]: one for one in (await second.get("/api/status")).json()["worries"]}
        self.assertEqual(worries["claims_file"]["advice_url"], "/advice#claims_file")
        self.assertIn(
            'apptuner_relay_worry{level="warning",name="claims_file"} 1.0',
            (await second.get("/metrics")).body,
        )
        # It is had as soon as the other one has gone.
        await first.stop()
        await second.logged("claims are kept in .* from now on")
        await self.until(second, "ok")

    async def test_one_that_can_not_be_made(self) -> None:
        self.state.write_text("a file")
        env = {"APPTUNER_STATE_DIR": "auto", "STATE_DIRECTORY": str(self.state)}
        relay = await self.relay(env=env)
        answer = await self.until(relay, "degraded")
        self.assertIn(str(self.state), str(answer["reasons"]))
        node = await self.node(relay)
        await node.join("cli", "ABC234", **bearer(KEY))
        # Once it can, what the relay knows is written.
        self.state.unlink()
        await relay.logged("claims are kept in .* from now on")
        self.assertIn(b" 0 ", (self.state / "claims").read_bytes())
        await self.until(relay, "ok")


class HandOverTest(StateCase):
    async def adopting(self, held: socket.socket) -> RelayProcess:
        relay = RelayProcess([*ADOPTED, "--state-dir", str(self.state)], sockets=[held])
        self.addCleanup(relay.stop)
        await relay.logged("listening on")
        relay.port = held.getsockname()[1]
        return relay

    async def test_the_old_relay_is_waited_for(self) -> None:
        held = listening_socket()
        self.addCleanup(held.close)
        old = await self.adopting(held)
        node = await self.node(old)
        await node.join("cli", "ABC234", **bearer(KEY))
        new = await self.adopting(held)
        await new.logged("daily metrics are not saved yet: .*another relay has it")
        await new.logged("claims are not kept yet: another relay has")
        old.child.signal("TERM")
        await within_patience(old.child.over(), lambda: repr(old.child))
        old.forget()
        await new.logged("daily metrics are saved in")
        await new.logged("claims are kept in")
        node = await self.node(new)
        self.assertEqual((await node.refused("cli", "ABC234", **bearer(OTHER))).status, 403)
        today = (await new.get("/api/status")).json()["today"]
        self.assertGreaterEqual(today["connections"], 1, "the old relay's part of the day")
        # And what is claimed at the new one outlives it, too.
        await node.join("cli", "XYZ567", **bearer(KEY))
        new.child.signal("KILL")
        await within_patience(new.child.over(), lambda: repr(new.child))
        new.forget()
        third = await self.adopting(held)
        node = await self.node(third)
        for session in ("ABC234", "XYZ567"):
            self.assertEqual((await node.refused("cli", session, **bearer(OTHER))).status, 403)


class DamagedTest(StateCase):
    async def test_bad_lines_are_kept_counted_and_told(self) -> None:
        first = await self.relay("--state-dir", str(self.state))
        node = await self.node(first)
        await node.join("cli", "ABC234", **bearer(KEY))
        first.child.signal("KILL")
        await within_patience(first.child.over(), lambda: repr(first.child))
        first.forget()
        file = self.state / "claims"
        # As a file system may leave it after a power failure.
        file.write_bytes(b"\0" * 512 + b"\n" + file.read_bytes())
        second = await self.relay("--state-dir", str(self.state), "--metrics", "open")
        await second.logged("1 bad lines of .*/claims are in claims.bad now")
        self.assertEqual((self.state / "claims.bad").read_bytes(), b"\0" * 512 + b"\n")
        self.assertIn(
            "apptuner_relay_claims_bad_lines_total 1.0",
            (await second.get("/metrics")).body,
        )
        node = await self.node(second)
        self.assertEqual((await node.refused("cli", "ABC234", **bearer(OTHER))).status, 403)
