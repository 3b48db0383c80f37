"""The host that is deployed to: everything that happens there happens through `Host.run`."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CONNECT_TIMEOUT_S = 15


class Failed(Exception):
    """Something could not be done; the text says what, and why."""


class Mixed(Failed):
    """Every relay that was asked runs the release, and others on the host do not."""


class Host:
    """Where the relay runs.

    :param prefix: the command that has a shell there run the script that follows; empty for here.
    """

    def __init__(self, name: str, prefix: Sequence[str]) -> None:
        self.name = name
        self._prefix = prefix

    def run(self, script: str, stdin: Path | None = None) -> str:
        """Run a shell script there; its standard output.

        :raises Failed: with what it printed.
        """
        command = ["sh", "-c", script]
        if self._prefix:
            # ssh makes one line of it, for a shell.
            command = [*self._prefix, shlex.join(command)]
        with open(stdin or os.devnull, "rb") as given:
            try:
                done = subprocess.run(command, stdin=given, capture_output=True, check=False)
            except OSError as wrong:
                raise Failed(f"{command[0]}: {wrong.strerror}") from None
        if done.returncode:
            said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
            raise Failed(said[-2000:] or f"exit status {done.returncode}")
        return done.stdout.decode("utf-8", "replace").strip()


def find_host(options: argparse.Namespace) -> tuple[Host, str]:
    """The host, and the folder there."""
    if "/" in options.host:
        directory = Path(options.host).resolve()
        return Host(str(directory), ()), options.root or str(directory)
    settings = ("BatchMode=yes", f"ConnectTimeout={CONNECT_TIMEOUT_S}", "ServerAliveInterval=15")
    ssh = [*shlex.split(options.ssh), *(word for one in settings for word in ("-o", one))]
    return Host(options.host, (*ssh, options.host)), options.root or "/opt/apptuner-relay"


def say(text: str) -> None:
    """Progress, for people."""
    print(f"deploy: {text}", file=sys.stderr, flush=True)
