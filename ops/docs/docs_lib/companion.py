# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/reference/companion.md: the commands of `apptuner-relay`, from the parser that reads them."""

import argparse
import os
import re
from collections.abc import Iterator
from unittest.mock import patch

from apptuner_relay.client import main
from apptuner_relay.client.command import PassedOnCommand

PATH = "docs/reference/companion.md"

INTRODUCTION = """\
# The companion program

`apptuner-relay` plays the clients of a relay from a terminal or a script: it pushes bundles, joins as a phone, watches, downloads, and says what a relay carries. It is installed with the relay and its extra `client`. `apptuner-relay COMMAND --help` prints what stands here; this page is made by `ops/docs/run` from the same table.
"""
ENVIRONMENT = """\
## Environment

| variable | meaning |
|---|---|
| `APPTUNER_RELAY` | the relay, where `--relay` is not given |
| `APPTUNER_KEY` | the session's secret, where `--key` is not given |
| `APPTUNER_TOKEN` | the join token, where `--token` is not given |
| `APPTUNER_ADMIN_TOKEN`, `APPTUNER_STATE_DIR` | as for the relay: where `--admin-token` and `--state-dir` are not given |
| `NO_COLOR` | no colours, whatever its value |
"""


def render() -> str:
    """The page."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("APPTUNER_")]:
            # They would show up as defaults.
            del os.environ[name]
        commands = list(_commands())
    toc = "\n".join(f"- [{name}](#{name}): {summary}" for name, summary, _ in commands)
    sections = [
        f"## {name}\n\n{_description(parser)}\n\n{_usage(parser)}\n\n{_arguments(parser)}"
        for name, _, parser in commands
    ]
    return "\n".join([INTRODUCTION, toc, "", *sections, ENVIRONMENT, _exit_codes()])


def _commands() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    parser = main.make_parser(main.commands())
    [subparsers] = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    summaries = {choice.dest: choice.help for choice in subparsers._choices_actions}
    for name, command in subparsers.choices.items():
        yield name, summaries[name] or "", command


def _description(parser: argparse.ArgumentParser) -> str:
    return _markdown(parser.description or "")


def _usage(parser: argparse.ArgumentParser) -> str:
    # argparse's own differs between versions of Python.
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
    named = [one for one in actions if one.option_strings]
    words = [one.option_strings[0] + _value(one) for one in named if one.required]
    if len(words) < len(named):
        words.append("[option ...]")
    words += [_positional(one) for one in actions if not one.option_strings]
    return "    " + " ".join([parser.prog, *words])


def _positional(action: argparse.Action) -> str:
    name = _value(action).strip()
    return f"[{name}]" if action.nargs == "?" else name


def _arguments(parser: argparse.ArgumentParser) -> str:
    if isinstance(parser.get_default("command"), PassedOnCommand):
        return "Its options are [those of the relay](options.md), and `--logfile FILE`, to log to a file instead of the terminal.\n"
    return _options(parser)


def _options(parser: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = _value(action).replace("|", "\\|")
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings)
        text = (action.help or "") % {"default": action.default, "prog": parser.prog}
        rows.append(f"| {names or f'`{value.strip()}`'} | {_markdown(text)} |")
    return "\n".join(rows) + "\n"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    name = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    return f" {name}"


def _markdown(text: str) -> str:
    words = re.sub(r"\s+", " ", text).strip()
    return words.replace("|", "\\|").replace("<", "&lt;")


def _exit_codes() -> str:
    lines = re.findall(r"(?m)^  (\d+) +(.*(?:\n       .*)*)", main.EXIT_CODES_HELP)
    rows = "\n".join(f"| {code} | {_markdown(text)} |" for code, text in lines)
    return f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}\n"
