"""What stops in the middle of things: Node processes that are frozen, as a phone is by its system;
proxies that pass nothing on, as a network that is gone; and disks that are full, or take no writes.
"""

import os
import shutil
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from tests.live.clients import NodeClients
from tests.live.processes import Child, checkout_env, within_patience

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class FreezableClients(NodeClients):
    """Clients whose process can be frozen: the kernel takes some bytes for them, and that's all."""

    def freeze(self) -> None:
        """SIGSTOP."""
        self._child.signal("STOP")

    def thaw(self) -> None:
        """SIGCONT."""
        self._child.signal("CONT")

    async def stop(self) -> None:
        self.thaw()
        await super().stop()


class StoppableProxy:
    """A TCP proxy in a process of its own, which can be stopped.

    :param host: where it listens, on a free port.
    :param target: host and port of what it leads to.
    :param within: a command that runs another one.
    """

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1", *within: str) -> None:
        self._host = host
        self._port: Deferred[int] = Deferred()
        self.port = 0
        argv = [sys.executable, "-m", "tests.live.tcp_proxy", host, target[0], str(target[1])]
        self._child = Child([*within, *argv], env=checkout_env(), on_line=self._line)

    def _line(self, line: str) -> None:
        self._port.callback(int(line))

    async def listening(self) -> None:
        self.port = await within_patience(self._port, lambda: repr(self._child))

    def url(self, role: str, session: str, query: str = "") -> str:
        """As a relay's."""
        return f"ws://{self._host}:{self.port}/{role}/{session}" + (f"?{query}" if query else "")

    def freeze(self) -> None:
        """From now on nothing goes through; connections stay as they are."""
        self._child.signal("STOP")

    def thaw(self) -> None:
        self._child.signal("CONT")

    async def remove(self) -> None:
        self.thaw()
        await self._child.end()


class _Mount:
    """A file system of the test's own, which goes with the test, even if that is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        thaw = "fsfreeze -u" if shutil.which("fsfreeze", path=_PATH) else "true"
        end = f'cat >/dev/null; {thaw} "$0" 2>/dev/null; umount -l "$0"'
        # It reads until this process is gone, or says that it is done.
        self._guard = Popen(
            ["/bin/sh", "-c", end, str(folder)],
            stdin=PIPE,
            env={"PATH": _PATH},
            start_new_session=True,
        )

    def remove(self) -> None:
        self._guard.communicate()


class SmallDisk(_Mount):
    """A file system of that size, in memory."""

    def __init__(self, folder: Path, size: str) -> None:
        _do("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder))
        super().__init__(folder)

    def grow(self, size: str) -> None:
        """Make room."""
        _do("mount", "-o", f"remount,size={size}", str(self._folder))


class FreezableDisk(_Mount):
    """A file system in a file, whose writes can be made to wait (fsfreeze(8)).

    :param folder: where it is mounted.
    :param image: the file, which is made.
    """

    def __init__(self, folder: Path, image: Path, size: str) -> None:
        self._is_frozen = False
        _do("truncate", "-s", size, str(image))
        _do("mkfs.ext4", "-q", "-m", "0", str(image))
        _do("mount", "-o", "loop", str(image), str(folder))
        super().__init__(folder)
        folder.chmod(0o700)

    def freeze(self) -> None:
        """From now on who writes has to wait."""
        _do("fsfreeze", "-f", str(self._folder))
        self._is_frozen = True

    def thaw(self) -> None:
        if self._is_frozen:
            self._is_frozen = False
            _do("fsfreeze", "-u", str(self._folder))


def _do(program: str, *arguments: str) -> None:
    """:raises SkipTest: where that can't be done here."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise SkipTest(f"no {program} here")
    done: Any = run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkipTest(f"{program} can't be used here: {done.stderr.strip()}")
