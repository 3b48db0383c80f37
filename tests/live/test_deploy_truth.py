"""ops/deploy/deploy calls a release live when every relay says that it runs it, and not before."""

import json
import os
import stat
from urllib.request import urlopen

from twisted.internet.threads import deferToThread

from tests.live.deploy_case import DeployCase
from tests.live.ports import free_port
from tests.live.processes import run

SYSTEMCTL = """\
#!/bin/sh
case "$1" in
show) cat {root}/unit ;;
*) exec sh {script} {arguments} ;;
esac
"""


class TwoRelaysTest(DeployCase):
    """Two relays of a host, which are restarted one after the other."""

    names = ("one", "two")

    async def says(self, name: str) -> str:
        """The release that a relay says it runs."""

        def ask() -> str:
            with urlopen(self.url(name)) as answer:
                release: str = json.load(answer)["release"]
                return release

        return await deferToThread(ask)

    async def all_say(self, release: str | None) -> None:
        self.assertEqual([await self.says(name) for name in self.names], [release] * 2)

    async def test_what_is_not_live(self) -> None:
        child = await self.deploy()
        self.assertEqual(child.exit_code, 0, repr(child))
        first = str(self.current())
        self.assertIn(f"done: {first} is live", child.err)
        await self.all_say(first)
        wheel = ("--wheel", str(self.wheel()))

        # One is not restarted, and goes on as it was.
        (self.root / "two.stuck").touch()
        child = await self.deploy(*wheel, timeout_s=1.5)
        self.assertEqual(child.exit_code, 1, repr(child))
        second = self.restarts()[-2]
        self.assertRegex(child.err, f"{self.url('one')}: live: .*, release {second}")
        self.assertRegex(child.err, f"{self.url('two')}: old: answers as .*, release {first}")
        self.assertIn(f"not deployed: {first} runs again", child.err)
        self.assertNotIn("done", child.err)
        self.assertEqual(self.current(), first)
        await self.all_say(first)

        # Likewise, and nobody goes back.
        child = await self.deploy(*wheel, "--no-rollback", timeout_s=1.5)
        self.assertEqual(child.exit_code, 4, repr(child))
        third = str(self.current())
        self.assertIn(f"left as it is: not every relay runs {third}", child.err)
        self.assertRegex(child.err, f"to go back to {first}: .* rollback")
        self.assertEqual((await self.says("one"), await self.says("two")), (third, first))

        # As it says.
        (self.root / "two.stuck").unlink()
        child = await self.deploy("rollback")
        self.assertEqual(child.exit_code, 0, repr(child))
        await self.all_say(first)

        # The process before answers for a while, as where a socket is handed over.
        (self.root / "one.slow").touch()
        child = await self.deploy("rollback")
        self.assertEqual(child.exit_code, 0, repr(child))
        await self.all_say(third)

        # A relay that nobody has named goes on with what it was started with.
        port = str(free_port())
        await run(["sh", str(self.script), "forgotten", port], env=self.env)
        pid = (self.root / "forgotten.pid").read_text()
        child = await self.deploy("rollback", timeout_s=3)
        self.assertEqual(child.exit_code, 4, repr(child))
        self.assertIn(f"MIXED: process {pid} runs {third}, and every relay", child.err)
        self.assertRegex(child.err, f"to go back to {third}: .* rollback")
        self.assertNotIn("done", child.err)
        await self.all_say(first)


class UnitTest(DeployCase):
    """A unit of systemd, which a program of these tests plays."""

    def setUp(self) -> None:
        super().setUp()
        folder = self.root / "bin"
        folder.mkdir()
        arguments = f"one {self.ports['one']}"
        systemctl = folder / "systemctl"
        systemctl.write_text(
            SYSTEMCTL.format(root=self.root, script=self.script, arguments=arguments)
        )
        (folder / "journalctl").write_text("#!/bin/sh\necho the last words of $3\n")
        for file in folder.iterdir():
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        self.env["PATH"] = f"{folder}{os.pathsep}{self.env['PATH']}"
        self.is_in("active", "running", 0)

    def command(self, name: str) -> str:
        return "systemctl restart apptuner-relay.service"

    def is_in(self, state: str, sub: str, restarts: int) -> None:
        (self.root / "unit").write_text(
            f"ActiveState={state}\nSubState={sub}\nNRestarts={restarts}\n"
            "Result=exit-code\nExecMainStatus=1\n"
        )

    async def test_one_that_crashes_is_told_from_one_that_drains(self) -> None:
        (self.root / "broken").touch()
        # Far longer than it takes to see it.
        self.is_in("activating", "auto-restart", 4)
        child = await self.deploy(timeout_s=300)
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("crash-loop: crash-loops: systemd has started it again 4 times", child.err)
        self.assertIn("(exit-code, exit status 1)", child.err)
        self.assertIn("apptuner-relay.service: the last words of apptuner-relay.service", child.err)
        self.assertIn("there is nothing to go back to", child.err)

        self.is_in("deactivating", "stop-sigterm", 0)
        child = await self.deploy("--wheel", str(self.wheel()), timeout_s=1)
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("draining: its unit is stopping; ", child.err)
