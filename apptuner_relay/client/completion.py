"""`completion`: prints what a shell completes this program's commands and options with.

The scripts are made when the documentation is (`ops/docs/run`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apptuner_relay.client.command import InstantCommand
from apptuner_relay.client.outcome import Exit

SHELLS = ("bash", "zsh", "fish")
FOLDER = "completion_scripts"
"""Beside this module; it has a script for each shell."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")


def _run(arguments: argparse.Namespace) -> Exit:
    script = Path(__file__).with_name(FOLDER) / arguments.shell
    sys.stdout.write(script.read_text("utf-8"))
    return Exit.DONE


COMMAND = InstantCommand(
    "completion",
    "Prints a script with which a shell completes commands and options of apptuner-relay. In\n"
    "~/.bashrc: source <(apptuner-relay completion bash). For zsh, write it to a file named\n"
    "_apptuner-relay in a directory of $fpath; for fish, to\n"
    "~/.config/fish/completions/apptuner-relay.fish.",
    _add_arguments,
    _run,
)
