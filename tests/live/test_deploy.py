"""ops/deploy/deploy, with a directory as the host, and relays that it restarts there."""

import os
import re
import shlex
import signal
import sys
from pathlib import Path

from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import PATIENCE_S, REPOSITORY, Child, checkout_env, run, within_patience

DEPLOY = REPOSITORY / "ops/deploy/deploy"

# Ends the relay that runs and starts what is current, as a service manager would. A file says that
# the next relay is to be a bad one, which never listens where it should.
RESTART = """\
set -eu
cd {root}
if [ -e pid ]; then
    kill "$(cat pid)" 2>/dev/null || true
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.05; done
    rm -f pid
fi
echo "$(readlink current)" >> restarts
if [ -e broken ]; then exit 0; fi
cd /
{root}/current/bin/python -c 'import sys; from twisted.scripts.twistd import run
sys.argv[0] = "twistd"; run()' --pidfile={root}/pid --logfile={root}/log \
    apptuner-relay --listen tcp:{port}:interface=127.0.0.1 --spool-dir off --state-dir off
"""
# The host's Python. What the relay needs is found where these tests have it, and so is pip, which
# would take a venv most of its time: nothing is fetched.
PYTHON = """\
#!/bin/sh
set -e
if [ "$1 $2" != "-m venv" ]; then exec {python} "$@"; fi
{python} -m venv --without-pip "$3"
for folder in "$3"/lib/python*/site-packages; do
    printf '%s\\n' {packages} > "$folder/here.pth"
done
printf '#!/bin/sh\\nexec {python} -m pip --python %s/bin/python "$@"\\n' "$3" > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


class DeployTest(LiveCase):
    timeout = 400

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()
        self.port = free_port()
        self.addCleanup(self.end_relay)
        packages = shlex.join(path for path in sys.path if path.endswith("-packages"))
        self.python = self.root / "python"
        self.python.write_text(PYTHON.format(python=sys.executable, packages=packages))
        self.python.chmod(0o755)
        restart = self.root / "restart"
        restart.write_text(RESTART.format(root=self.root, port=self.port))
        self.restart = f"sh {restart}"

    def end_relay(self) -> None:
        pid = self.root / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)

    async def deploy(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Child:
        env = checkout_env(DEPLOY_BUILD_OPTIONS="--no-build-isolation --no-index")
        del env["PYTHONPATH"]
        command = [
            *(sys.executable, str(DEPLOY), *arguments, "--host", str(self.root)),
            *("--restart", self.restart, "--health", f"http://127.0.0.1:{self.port}/ready"),
            *("--python", str(self.python), "--pip-option=--no-deps", "--pip-option=--no-index"),
            *("--extras", "", "--health-timeout", str(timeout_s)),
        ]
        child = Child(command, env=env)
        try:
            # An installation takes longer than anything else that tests wait for.
            for _ in range(8):
                try:
                    await within_patience(child.over(), lambda: repr(child))
                    break
                except AssertionError:
                    continue
        finally:
            child.signal("KILL")
        return child

    def current(self) -> str | None:
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else None

    def restarts(self) -> list[str]:
        return [Path(line).name for line in (self.root / "restarts").read_text().split()]

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
        (wheel,) = (self.root / "releases" / first).glob("*.whl")

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
        restart = Path(self.restart.split()[1])
        script = restart.read_text()
        restart.write_text(
            script.replace("-e broken", f'"$(readlink current)" != releases/{second}')
        )
        child = await self.deploy("--wheel", str(wheel), timeout_s=2)
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn(f"not deployed: {second} runs again", child.err)
        self.assertIn("/ready", child.err)
        self.assertEqual(self.current(), second)
        self.assertEqual((self.root / "previous").readlink().name, first)
        restart.write_text(script)
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
        return self.current() is None and not (self.root / "restarts").exists()


class WorkflowTest(LiveCase):
    """What GitHub is to run exists here."""

    def test_scripts_exist(self) -> None:
        workflows = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
        self.assertEqual([path.name for path in workflows], ["ci.yml", "deploy.yml"])
        for path in workflows:
            text = path.read_text()
            scripts = re.findall(r"(?<![\w/.])\.?(?:ci|ops)/[\w/]+", text)
            self.assertTrue(scripts, path)
            for script in scripts:
                self.assertTrue(os.access(REPOSITORY / script, os.X_OK), f"{path}: {script}")
