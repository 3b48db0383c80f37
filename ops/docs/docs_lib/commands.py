"""The commands of the companion program, as its parser has them: for all pages that list them."""

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

from apptuner_relay.client import main

ENVIRONMENT = (
    (("APPTUNER_RELAY",), "the relay, where --relay is not given"),
    (("APPTUNER_KEY",), "the session's secret, where --key is not given"),
    (("APPTUNER_TOKEN",), "the join token, where --token is not given"),
    (("APPTUNER_MANAGED",), "the managed service, where --managed is not given"),
    (
        ("APPTUNER_ADMIN_TOKEN", "APPTUNER_STATE_DIR"),
        "as for the relay: where --admin-token and --state-dir are not given",
    ),
    (("NO_COLOR",), "no colours, whatever its value"),
)
"""Variables, and what they say."""


class CommandEntry(NamedTuple):
    """A command as the page of all of them lists it."""

    name: str
    summary: str
    parser: argparse.ArgumentParser


@contextmanager
def default_environment() -> Iterator[None]:
    """Nothing of the environment shows up as a default while this lasts."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("APPTUNER_")]:
            del os.environ[name]
        yield


def whole_parser() -> argparse.ArgumentParser:
    """The program's parser, with all of every command."""
    with default_environment():
        return main.make_parser(main.commands())


def entries() -> list[CommandEntry]:
    """All commands, in the order of the program's help."""
    parser = whole_parser()
    [subparsers] = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    summaries = {choice.dest: choice.help for choice in subparsers._choices_actions}
    return [
        CommandEntry(name, summaries[name] or "", command)
        for name, command in subparsers.choices.items()
    ]


def usage(parser: argparse.ArgumentParser) -> str:
    """How it is called, in one line. argparse's own differs between versions of Python."""
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
    named = [one for one in actions if one.option_strings]
    words = [one.option_strings[0] + value(one) for one in named if one.required]
    if len(words) < len(named):
        words.append("[option ...]")
    words += [_positional(one) for one in actions if not one.option_strings]
    return " ".join([parser.prog, *words])


def of_no_machine(text: str) -> str:
    """A text without what is of the user who runs this: the number in a folder's name."""
    return re.sub(r"(/var/tmp/\w+_)[0-9]+", r"\1UID", text)


def meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What help says of an argument."""
    return of_no_machine((action.help or "") % {"default": action.default, "prog": parser.prog})


def value(action: argparse.Action) -> str:
    """What stands behind an option, with a blank before it; nothing of an option without one."""
    if action.nargs == 0:
        return ""
    name = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    return f" {name}"


def _positional(action: argparse.Action) -> str:
    name = value(action).strip()
    return f"[{name}]" if action.nargs == "?" else name
