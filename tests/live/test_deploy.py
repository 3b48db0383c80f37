"""ops/deploy/deploy, with a directory as the host, and relays that it restarts there."""

import os
import re
import sys

from tests.live.deploy_case import DEPLOY, DeployCase
from tests.live.harness import LiveCase
from tests.live.processes import REPOSITORY, run


class DeployTest(DeployCase):
    def url(self, name: str, path: str = "/ready") -> str:
        # As it was given before a relay was asked what it is.
        return super().url(name, path)

    async def test_releases(self) -> None:
        """A good one, another, a bad one, and back."""
        child = await self.deploy("--dry-run")
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertIn("would", child.err)
        self.assertEqual(
            {path.name for path in self.root.iterdir()}, {"python", "restart"}, "it did something"
        )

        child = await self.deploy()
        self.assertEqual(child.exit_code, 0, repr(child))
        first = self.current()
        assert first is not None
        self.assertRegex(first, r"^\d{8}T\d{12}Z-[0-9.]+")
        self.assertEqual(self.restarts(), [first])
        wheel = self.wheel()

        # From here on with the wheel that there is.
        child = await self.deploy("--wheel", str(wheel))
        self.assertEqual(child.exit_code, 0, repr(child))
        second = self.current()
        assert second is not None
        self.assertGreater(second, first)

        (self.root / "broken").touch()
        child = await self.deploy("--wheel", str(wheel), timeout_s=0.5)
        self.assertEqual(child.exit_code, 3, repr(child))
        self.assertIn("neither", child.err)

        # A relay that comes only when the switch was undone.
        script = self.script.read_text()
        self.script.write_text(
            script.replace("-e broken", f'"$(readlink current)" != releases/{second}')
        )
        child = await self.deploy("--wheel", str(wheel), timeout_s=2)
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn(f"not deployed: {second} runs again", child.err)
        self.assertIn("/health: silent: no answer", child.err)
        self.assertEqual(self.current(), second)
        self.assertEqual((self.root / "previous").readlink().name, first)
        self.script.write_text(script)
        (self.root / "broken").unlink()

        child = await self.deploy("rollback")
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertEqual(self.current(), first)
        self.assertEqual(self.restarts()[-1], first)

        child = await self.deploy("list")
        self.assertIn(f"{first}  <- current\n{second}  <- previous\n", child.out)
        self.assertFalse((self.root / "deploy.lock").exists())

    async def test_one_at_a_time(self) -> None:
        (self.root / "deploy.lock").mkdir()
        (self.root / "deploy.lock/who").write_text("somebody else")
        child = await self.deploy("--wheel", str(DEPLOY))
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("somebody else", child.err)
        self.assertEqual(await self.untouched(), True)

    async def test_a_wheel_that_is_none(self) -> None:
        child = await self.deploy("--wheel", str(DEPLOY))
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertRegex(child.err, r"FAILED: installing it as ")
        self.assertEqual(await self.untouched(), True)
        self.assertEqual(list((self.root / "releases").iterdir()), [])

    async def test_no_host(self) -> None:
        # No other word than these is looked for: ssh is not asked.
        child = await run(
            [sys.executable, str(DEPLOY), "--host", "nowhere.invalid", "--ssh", "false"]
        )
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("nowhere.invalid can't be reached", child.err)

    async def test_over_ssh(self) -> None:
        """What ssh is asked to run is one word for the host's shell: here that is sh itself."""
        log = self.root / "ssh.log"
        ssh = self.root / "ssh"
        ssh.write_text(
            f'#!/bin/sh\nfor word; do last=$word; done\nprintf "%s\\n" "$*" >> {log}\n'
            'exec sh -c "$last"\n'
        )
        ssh.chmod(0o755)
        command = [sys.executable, str(DEPLOY), "--host", "me@relay", "--ssh", f"{ssh} -p 2222"]
        (self.root / "releases/one").mkdir(parents=True)
        (self.root / "current").symlink_to("releases/one")
        child = await run([*command, "--root", str(self.root), "list"])
        self.assertEqual((child.exit_code, child.out), (0, "one  <- current\n"), repr(child))
        self.assertIn("-p 2222 -o BatchMode=yes", log.read_text())
        self.assertIn("me@relay sh -c", log.read_text())

    async def test_wrong_usage(self) -> None:
        for wrong in (
            ["--restart=a", "--restart=b", "--health=c"],
            ["--keep=1"],
            ["--wheel=/no/such.whl"],
            ["away"],
        ):
            child = await run([sys.executable, str(DEPLOY), "--host", str(self.root), *wrong])
            self.assertEqual(child.exit_code, 2, repr(child))
        child = await run([sys.executable, str(DEPLOY), "--help"])
        self.assertEqual(child.exit_code, 0)
        self.assertIn("--health", child.out)

    async def untouched(self) -> bool:
        return self.current() is None and not (self.root / "one.restarts").exists()


class WorkflowTest(LiveCase):
    """What GitHub is to run exists here."""

    def test_scripts_exist(self) -> None:
        workflows = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
        self.assertEqual([path.name for path in workflows], ["ci.yml", "deploy.yml", "release.yml"])
        for path in workflows:
            text = path.read_text()
            scripts = re.findall(r"(?<![\w/.])\.?(?:ci|ops)/[\w/]+", text)
            self.assertTrue(scripts, path)
            for script in scripts:
                self.assertTrue(os.access(REPOSITORY / script, os.X_OK), f"{path}: {script}")
