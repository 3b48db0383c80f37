"""What tests of ops/deploy/deploy stand on: a directory as the host, and relays that it restarts
there."""

import os
import shlex
import signal
import sys
from pathlib import Path

from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import PATIENCE_S, REPOSITORY, Child, checkout_env, within_patience

DEPLOY = REPOSITORY / "ops/deploy/deploy"

# Ends the relay of a name that runs and starts what is current, as a service manager would. Files
# say that the next relay is to be a bad one, which never listens where it should; that the command
# does nothing; or that the one before goes on for a while, after the command is done.
RESTART = """\
set -eu
cd {root}
name=$1 port=$2
again() {{
    if [ -e $name.pid ]; then
        kill "$(cat $name.pid)" 2>/dev/null || true
        while kill -0 "$(cat $name.pid)" 2>/dev/null; do sleep 0.05; done
        rm -f $name.pid
    fi
    echo "$(readlink current)" >> $name.restarts
    if [ -e broken ]; then exit 0; fi
    release=$(readlink -f current)
    cd /
    $release/bin/python -c 'import sys; from twisted.scripts.twistd import run
sys.argv[0] = "twistd"; run()' --pidfile={root}/$name.pid --logfile={root}/$name.log \
        apptuner-relay --listen tcp:$port:interface=127.0.0.1 --spool-dir off --state-dir off
}}
if [ -e $name.stuck ]; then exit 0; fi
if [ -e $name.slow ]; then
    rm $name.slow
    (sleep 2; again) >/dev/null 2>&1 &
    exit 0
fi
again
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


class DeployCase(LiveCase):
    """A directory, and relays there by their names."""

    timeout = 400
    names: tuple[str, ...] = ("one",)

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()
        self.ports = {name: free_port() for name in self.names}
        self.addCleanup(self.end_relays)
        packages = shlex.join(path for path in sys.path if path.endswith("-packages"))
        self.python = self.root / "python"
        self.python.write_text(PYTHON.format(python=sys.executable, packages=packages))
        self.python.chmod(0o755)
        self.script = self.root / "restart"
        self.script.write_text(RESTART.format(root=self.root))
        self.env = checkout_env(DEPLOY_BUILD_OPTIONS="--no-build-isolation --no-index")
        del self.env["PYTHONPATH"]

    def end_relays(self) -> None:
        for pid in self.root.glob("*.pid"):
            os.kill(int(pid.read_text()), signal.SIGKILL)

    def command(self, name: str) -> str:
        """What restarts a relay."""
        return f"sh {self.script} {name} {self.ports[name]}"

    def url(self, name: str, path: str = "/health") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def asked_for(self) -> list[str]:
        """What is restarted, and who is asked."""
        words = []
        for name in self.names:
            words += ["--restart", self.command(name), "--health", self.url(name)]
        return words

    async def deploy(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Child:
        command = [
            *(sys.executable, str(DEPLOY), *arguments, "--host", str(self.root)),
            *self.asked_for(),
            *("--python", str(self.python), "--pip-option=--no-deps", "--pip-option=--no-index"),
            # The relay of these tests' own environment is no release.
            *("--pip-option=--ignore-installed", "--extras", ""),
            *("--health-timeout", str(timeout_s)),
        ]
        child = Child(command, env=self.env)
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

    def wheel(self) -> Path:
        """That of the release that was deployed first."""
        first = min((self.root / "releases").iterdir())
        (wheel,) = first.glob("*.whl")
        return wheel

    def restarts(self, name: str = "one") -> list[str]:
        """The releases that it was started with."""
        return [Path(line).name for line in (self.root / f"{name}.restarts").read_text().split()]
