"""The program `apptuner-relay`: reads the command line, runs one command, exits with its code.

It imports a command only to run it or to show its help, as most need Twisted: `--version` and
`--help` take a few hundredths of a second. Not here: what commands do. A new one goes into
`COMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Sequence

from apptuner_relay.client.command import (
    AnyCommand,
    CommandParser,
    InstantCommand,
    PassedOnCommand,
    add_parser,
)
from apptuner_relay.client.outcome import EXIT_CODES_HELP, PROGRAM, Exit

COMMANDS = {
    "push": "send a bundle to a session's phones, as the CLI does",
    "join": "take bundles from a session, as a phone does",
    "watch": "show a session's logs and phones, as the dashboard does",
    "fetch": "download a session's last bundle",
    "share": "show the URL with which phones join a session, and its QR code",
    "report": "say what a relay has carried: today, on a day, in a month",
    "plan": "say what so many users will cost: data, memory, the machine",
    "doctor": "find out why phones do not reload: check the way to a relay, and a session",
    "nodes": "list the relays that share their sessions",
    "top": "show what a relay does just now",
    "sessions": "list the sessions of a relay",
    "close": "close a session's connections",
    "claims": "list, release, export and import the claims of sessions",
    "drain": "have a relay take no new sessions, without stopping it",
    "block": "have a relay refuse an address, or list those that it does",
    "serve": "run a relay",
    "completion": "print what a shell completes commands and options with",
}
"""The sub-commands in the order in which help shows them, with what it says of each. Each is a
module of this package that has a `COMMAND`."""

_MODULES = {"claims": "claims_command", "drain": "drain_command", "sessions": "session_list"}
"""Those whose module has another name, as the relay has a module of the command's."""

_ASKS_FOR_HELP = frozenset({"-h", "--help"})
_DRAWS_WITH = ("rich", "segno")
_DRAWS_NOTHING = frozenset({"completion", "serve"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code. argparse exits by itself, with 0 or 2."""
    words = sys.argv[1:] if arguments is None else arguments
    # No option of the program itself has a value, so this is the command.
    named = next((word for word in words if not word.startswith("-")), "")
    if named not in COMMANDS:
        make_parser([]).parse_args(words)
        return Exit.USAGE  # It has exited: without a command there is nothing to do.
    if named not in _DRAWS_NOTHING and (missing := _missing_library()):
        print(
            f"{PROGRAM}: it draws with {missing}, which is not installed: "
            "pip install 'apptuner-relay[client]'",
            file=sys.stderr,
        )
        return Exit.USAGE
    (command,) = commands([named])
    if isinstance(command, PassedOnCommand) and not _ASKS_FOR_HELP.intersection(words):
        return int(command.run(words[words.index(named) + 1 :]))
    parsed = make_parser([command]).parse_args(words)
    if isinstance(parsed.command, InstantCommand):
        return int(parsed.command.run(parsed))

    from apptuner_relay.client.reactor_run import run_to_the_end

    return int(run_to_the_end(parsed))


def _missing_library() -> str:
    from importlib.util import find_spec

    return next((name for name in _DRAWS_WITH if find_spec(name) is None), "")


class _ShowVersion(argparse.Action):
    """As argparse's own, but the commit is looked for only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from apptuner_relay.support.version import release

        print(f"{PROGRAM} {release()}")
        parser.exit()


def commands(names: Iterable[str] = tuple(COMMANDS)) -> list[AnyCommand]:
    """These sub-commands, imported."""
    files = (_MODULES.get(name, name) for name in names)
    modules = (importlib.import_module(f"apptuner_relay.client.{name}") for name in files)
    return [module.COMMAND for module in modules]


def make_parser(commands: Sequence[AnyCommand]) -> argparse.ArgumentParser:
    """What reads the command line of these commands. The others are listed in its help, no more."""
    parser = CommandParser(
        PROGRAM,
        description="Runs an AppTuner relay, plays its clients from a terminal or a script, and "
        "says what it carries and will cost.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_ShowVersion, nargs=0, help="show the version and the commit, and exit"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    imported = {command.name: command for command in commands}
    for name, summary in COMMANDS.items():
        if name in imported:
            add_parser(subparsers, imported[name], summary)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


if __name__ == "__main__":
    sys.exit(main())
