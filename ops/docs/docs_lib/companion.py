# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/reference/companion.md: the commands of `apptuner-relay`, from the parser that reads them."""

import argparse
import re

from apptuner_relay.client.command import PassedOnCommand
from apptuner_relay.client.outcome import EXIT_CODES_HELP
from docs_lib.commands import ENVIRONMENT, entries, meaning, usage, value

PATH = "docs/reference/companion.md"

INTRODUCTION = """\
# The companion program

`apptuner-relay` plays the clients of a relay from a terminal or a script: it pushes bundles, joins as a phone, watches, downloads, and says what a relay carries. Most commands have `--json`: [what they print](companion-json.md). It is installed with the relay and its extra `client`. `apptuner-relay COMMAND --help` prints what stands here; this page is made by `ops/docs/run` from the same table.

It comes with a page of the manual for each command: `man apptuner-relay-push`, and `man apptuner-relay-server` for the options of the relay. `man` finds them where the directory of `apptuner-relay` is in `$PATH`, as in an activated `.venv`; elsewhere, `man -M .venv/share/man apptuner-relay`. In bash, `source <(apptuner-relay completion bash)` completes commands, options and files at Tab; [`completion`](#completion) has zsh and fish.
"""


def render() -> str:
    """The page."""
    commands = entries()
    toc = "\n".join(f"- [{name}](#{name}): {summary}" for name, summary, _ in commands)
    sections = [
        f"## {name}\n\n{_markdown(parser.description or '')}\n\n    {usage(parser)}\n\n{_arguments(parser)}"
        for name, _, parser in commands
    ]
    return "\n".join([INTRODUCTION, toc, "", *sections, _environment(), _exit_codes()])


def _arguments(parser: argparse.ArgumentParser) -> str:
    if isinstance(parser.get_default("command"), PassedOnCommand):
        return "Its options are [those of the relay](options.md), and `--logfile FILE`, to log to a file instead of the terminal.\n"
    return _options(parser)


def _options(parser: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        behind = value(action).replace("|", "\\|")
        names = ", ".join(f"`{name}{behind}`" for name in action.option_strings)
        text = _markdown(meaning(parser, action))
        rows.append(f"| {names or f'`{behind.strip()}`'} | {text} |")
    return "\n".join(rows) + "\n"


def _markdown(text: str) -> str:
    words = re.sub(r"\s+", " ", text).strip()
    return words.replace("|", "\\|").replace("<", "&lt;")


def _environment() -> str:
    rows = []
    for names, text in ENVIRONMENT:
        variables = ", ".join(f"`{name}`" for name in names)
        marked = re.sub(r"--[a-z-]+", r"`\g<0>`", text)
        rows.append(f"| {variables} | {marked} |")
    return "\n".join(["## Environment", "", "| variable | meaning |", "|---|---|", *rows, ""])


def _exit_codes() -> str:
    lines = re.findall(r"(?m)^  (\d+) +(.*(?:\n       .*)*)", EXIT_CODES_HELP)
    rows = "\n".join(f"| {code} | {_markdown(text)} |" for code, text in lines)
    return f"## Exit codes\n\n| code | meaning |\n|---|---|\n{rows}\n"
