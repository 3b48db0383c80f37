"""A Debian of the test's own that is booted: systemd is its first process, in a container of
systemd-nspawn. It has no network but its loopback."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, run

from tests.live.chroot import Chroot, missing_chroot

BOOT_S = 90
_NEVER = ("systemd-resolved", "systemd-timesyncd", "apt-daily.timer", "certbot.timer")
_KNOWN = {
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "cat",
    "TERM": "dumb",
}


def missing_boot() -> str | None:
    """Why no systemd can be booted here, if it can't."""
    if why := missing_chroot():
        return why
    if shutil.which("systemd-nspawn") is None:
        return "needs Debian's systemd-container, for systemd-nspawn"
    return None


class CantBoot(Exception):
    """systemd did not come up: this machine does not let it. Has what it printed."""


class Booted:
    """The container. Commands in it are run by `run`."""

    def __init__(self, root: Path) -> None:
        """Unpack Debian to ``root``; `boot` boots it."""
        self.chroot = Chroot(root)
        self.root = root
        self._nspawn: Popen[bytes] | None = None
        self._first = 0
        (root / "usr/sbin/policy-rc.d").unlink()
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        for name in _NEVER:
            self.chroot.run("systemctl", "mask", name, status=None)

    def boot(self, *binds: str) -> None:
        """Wait until systemd has started what it starts at first.

        :param binds: directories of this machine that it sees, ``FROM:TO``, read-only.
        :raises CantBoot: it has not.
        """
        words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"]
        words += [f"--bind-ro={bind}" for bind in binds]
        words += [f"--directory={self.root}", "--machine=apptuner-test", "--boot"]
        self._console = tempfile.TemporaryFile()  # noqa: SIM115
        self._nspawn = Popen(
            words, stdin=DEVNULL, stdout=self._console, stderr=STDOUT, start_new_session=True
        )
        end_s = time.monotonic() + BOOT_S
        while not self._is_up():
            if self._nspawn.poll() is not None or time.monotonic() > end_s:
                self._console.seek(0)
                said = self._console.read()[-2000:].decode("utf-8", "replace")
                self.remove()
                raise CantBoot(said)
            time.sleep(0.2)

    def _is_up(self) -> bool:
        self._first = self._first or self._find_first()
        if not self._first:
            return False
        done = self._enter("systemctl is-system-running")
        return done.stdout.split()[-1:] in (["running"], ["degraded"])

    def _find_first(self) -> int:
        """The container's process 1, as this machine numbers it; 0 while there is none."""
        assert self._nspawn
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(
                    line.split(":", 1) for line in status.read_text().splitlines() if ":" in line
                )
            except OSError:
                continue
            numbers = lines.get("NSpid", "").split()
            if len(numbers) > 1 and numbers[-1] == "1" and self._is_mine(int(numbers[0])):
                return int(numbers[0])
        return 0

    def _is_mine(self, process: int) -> bool:
        assert self._nspawn
        while process > 1:
            if process == self._nspawn.pid:
                return True
            try:
                stat = Path(f"/proc/{process}/stat").read_text()
            except OSError:
                return False
            process = int(stat.rpartition(")")[2].split()[1])
        return False

    def _enter(self, script: str) -> "CompletedText":
        variables = [f"{name}={value}" for name, value in _KNOWN.items()]
        words = [
            *("nsenter", f"--target={self._first}", "--all"),
            *("/usr/bin/env", "-i", *variables, "bash", "-euc", f"cd /root\n{script}"),
        ]
        # A directory that both have: what this process is in may not be there.
        done = run(words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, check=False, cwd="/")
        return CompletedText(done.returncode, done.stdout.decode("utf-8", "replace"))

    def run(self, script: str, status: int | None = 0) -> str:
        """Run a shell script in the container as root, and return what it prints.

        :param status: what it must end with; None is anything.
        :raises AssertionError: it ended with another.
        """
        done = self._enter(script)
        if status is not None and done.status != status:
            raise AssertionError(f"{script}\nended with {done.status}:\n{done.stdout}")
        return done.stdout

    def path(self, inside: str) -> Path:
        """A path of its disk, as this machine sees it."""
        return self.chroot.path(inside)

    def remove(self) -> None:
        """End it, and remove its disk."""
        if self._nspawn and self._nspawn.poll() is None:
            if self._first:
                # The kernel ends all of a container with its process 1.
                os.kill(self._first, signal.SIGKILL)
            else:
                self._nspawn.kill()
            self._nspawn.wait(60)
        self.chroot.remove()


class CompletedText:
    """How a command ended."""

    def __init__(self, status: int, stdout: str) -> None:
        self.status = status
        self.stdout = stdout
