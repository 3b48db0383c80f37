"""apptuner_relay/client/completion_scripts/: what shells complete `apptuner-relay` with, made by
shtab from the parser, so that the program itself need not have it."""

import argparse
from collections.abc import Iterator

import shtab

from apptuner_relay.client.completion import FOLDER, SHELLS
from docs_lib.commands import of_no_machine, whole_parser

_COMPLETES = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
"""What is completed with the names of files, by what help calls it."""


def pages() -> Iterator[tuple[str, str]]:
    """Each script: its path from the repository's root, and its text."""
    parser = whole_parser()
    _mark(parser)
    for shell in SHELLS:
        lines = shtab.complete(parser, shell=shell).splitlines()
        text = of_no_machine("\n".join(line.rstrip() for line in lines))
        yield f"apptuner_relay/client/{FOLDER}/{shell}", f"{text}\n"


def _mark(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark(command)
        elif action.metavar in _COMPLETES:
            action.complete = _COMPLETES[action.metavar]  # type: ignore[attr-defined]
