"""What a sub-command is, and what all of them share: arguments, and help in one style.

To add one: write a module with a `COMMAND`, and name it in `main.COMMANDS`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from apptuner_relay.client import address
from apptuner_relay.client.outcome import EXIT_CODES_HELP, Exit

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from apptuner_relay.client.screen import Screen

JSON_OPTION = "--json"


class CommandRun(Protocol):
    """A command under way."""

    done: Deferred[Exit]
    """Fires once, with the exit code."""

    def leave(self, code: Exit) -> None:
        """End early and cleanly; `done` fires with `code`. A second call may be rude."""


@dataclass(frozen=True)
class Command:
    """A sub-command."""

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    start: Callable[[argparse.Namespace, Any, Screen], CommandRun]
    """Called with arguments, reactor and screen while the reactor runs.

    Raises `UsageError` for what argparse can't know.
    """
    notes_session: bool = True
    """Whether an id that looks like a slip gets its note before the command starts."""
    json_help: str = ""
    """What `--json` prints, where it is not what it is for all."""
    json_is_messages: bool = False
    """Whether `--json` prints the session's messages as they are: of an end that was asked for
    there is no line then."""


@dataclass(frozen=True)
class InstantCommand:
    """A sub-command that is over at once, and needs neither a reactor nor a screen."""

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Exit]


@dataclass(frozen=True)
class PassedOnCommand:
    """A sub-command whose words another program reads; this one has its help."""

    name: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Sequence[str]], Exit]
    """Called with the words behind the command."""


AnyCommand = Command | InstantCommand | PassedOnCommand


def add_session_arguments(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """The arguments of every command that has to do with one session.

    :param needed: whether the command line has to name a session.
    """
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        type=checked(_session_url),
        help="in place of --relay, --session and --token: a URL that has them, such as the one "
        "that `share` prints, ws://HOST/mobile/ID?token=TOKEN. Any client's address will do, a "
        "bundle's (http://HOST/bundles/ID), or that of the session's page (http://HOST/s#ID)",
    )
    add_relay_argument(parser)
    parser.add_argument(
        "--session",
        metavar="ID",
        type=checked(address.session_id),
        action=Given,
        help="the session's id, as the project's CLI shows it",
    )
    add_quiet_argument(parser)
    parser.set_defaults(needs_session=needed)


def add_relay_argument(parser: argparse.ArgumentParser) -> None:
    """`--relay`."""
    parser.add_argument(
        "--relay",
        metavar="URL",
        type=checked(address.Relay.parse),
        action=Given,
        default=os.environ.get(address.RELAY_VARIABLE) or address.DEFAULT_RELAY,
        help="the relay: ws://HOST[:PORT] or wss://HOST[:PORT], with a path if it has one; http "
        "and https mean the same (default: $APPTUNER_RELAY, or ws://127.0.0.1:3000). For wss the "
        "certificate is verified; SSL_CERT_FILE names another list of authorities",
    )


def add_quiet_argument(parser: argparse.ArgumentParser) -> None:
    """For every command."""
    parser.add_argument("--quiet", action="store_true", help="print errors only")


class Given(argparse.Action):
    """Stores a value, and remembers in `given` that it stood on the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        namespace.given = {*getattr(namespace, "given", ()), self.dest}


class CommandParser(argparse.ArgumentParser):
    """Reads a command line. What is wrong with it is said in JSON as well, where `--json` is
    among the arguments."""

    _wants_json = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if args is not None:
            self._wants_json = JSON_OPTION in args
        parsed, rest = super().parse_known_args(args, namespace)
        if hasattr(parsed, "needs_session") and not hasattr(parsed, "url_notes"):
            from apptuner_relay.client.session_url import locate

            try:
                locate(parsed, rest)
            except ValueError as error:
                self.error(str(error))
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        if self._wants_json:
            # Not imported before it is needed, as --version has to be quick.
            from apptuner_relay.client.json_output import usage_error

            _, _, command = self.prog.partition(" ")
            print(usage_error(command or None, message))
        super().error(message)


def add_parser(commands: Any, command: AnyCommand, summary: str) -> None:
    """Give `command` its place under the program's own parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        command.name,
        help=summary,
        description=command.description,
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    if isinstance(command, Command):
        parser.add_argument(
            JSON_OPTION,
            action="store_true",
            help=command.json_help
            or "print JSON, one object a line, for other programs; errors too, and how it ended",
        )
    parser.set_defaults(command=command)


def _session_url(text: str) -> Any:
    # Not imported before it is needed, as --version has to be quick.
    from apptuner_relay.client.session_url import SessionUrl

    return SessionUrl.parse(text)


def checked(check: Callable[[str], Any]) -> Callable[[str], Any]:
    """`check` as an argparse type that keeps the words of its `ValueError`."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def seconds(text: str) -> float:
    """A number of seconds on the command line: 0 or more."""
    value = float(text)
    if not 0 <= value <= 1e9:
        raise ValueError
    return value


def count(text: str) -> int:
    """A whole number on the command line: 0 or more."""
    value = int(text)
    if not 0 <= value <= 1_000_000:
        raise ValueError
    return value
