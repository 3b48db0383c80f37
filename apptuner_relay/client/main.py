"""The program `apptuner-relay`: reads the command line, runs one command, exits with its code.

Not here: what commands do. A new one goes into `COMMAND_MODULES`.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from apptuner_relay.client.outcome import EXIT_CODES_HELP, Exit, UsageError
from apptuner_relay.support.version import release

if TYPE_CHECKING:
    from apptuner_relay.client.command import Command, CommandRun
    from apptuner_relay.client.screen import Screen

PROGRAM = "apptuner-relay"

COMMAND_MODULES = ("push", "join", "watch", "fetch", "share", "report", "plan", "nodes")
"""Modules of this package that have a `COMMAND`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code. argparse exits by itself, with 0 or 2."""
    for package in ("rich", "segno"):
        if find_spec(package) is None:
            print(
                f"{PROGRAM}: it draws with {package}, which is not installed: "
                "pip install 'apptuner-relay[client]'",
                file=sys.stderr,
            )
            return Exit.USAGE
    parsed = make_parser(commands()).parse_args(arguments)
    return int(_run(parsed))


class _ShowVersion(argparse.Action):
    """As argparse's own, but the commit is looked for only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{PROGRAM} {release()}")
        parser.exit()


def commands() -> list[Command]:
    """The sub-commands, in the order in which help shows them."""
    modules = (importlib.import_module(f"apptuner_relay.client.{name}") for name in COMMAND_MODULES)
    return [module.COMMAND for module in modules]


def make_parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    """What reads the command line."""
    from apptuner_relay.client.command import add_parser

    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Plays the clients of an AppTuner relay from a terminal or a script, and says "
        "what a relay carries and will cost.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_ShowVersion, nargs=0, help="show the version and the commit, and exit"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        add_parser(subparsers, command)
    return parser


def _run(arguments: argparse.Namespace) -> Exit:
    from twisted.internet import reactor

    from apptuner_relay.client.screen import Screen
    from apptuner_relay.support.clocks import use_monotonic_clock

    use_monotonic_clock(reactor)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    screen = Screen(sys.stdout, sys.stderr, quiet=arguments.quiet)
    _Log(screen).take_over()
    run = _Run(arguments, reactor, screen)
    # Twisted installs its own handlers while it starts; these take their place.
    reactor.callWhenRunning(run.watch_signals)
    reactor.callWhenRunning(run.begin)
    reactor.run()
    return run.code


class _Run:
    """One run of a command, from the reactor's start to its end."""

    _log = Logger()

    def __init__(self, arguments: argparse.Namespace, reactor: Any, screen: Screen) -> None:
        self.code = Exit.FAILED
        self._arguments = arguments
        self._reactor = reactor
        self._screen = screen
        self._running: CommandRun | None = None

    def begin(self) -> None:
        command: Command = self._arguments.command
        try:
            running = self._running = command.start(self._arguments, self._reactor, self._screen)
        except UsageError as error:
            self._screen.complain(f"{PROGRAM} {command.name}: error: {error}")
            self._end(Exit.USAGE)
            return
        except Exception:
            self._log.failure("the command could not begin")
            self._end(Exit.FAILED)
            return
        running.done.addCallback(self._end)

    def watch_signals(self) -> None:
        codes = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
        for number, code in codes.items():
            # What the parent ignored (as shells do for background jobs) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handler(code))

    def _handler(self, code: Exit) -> Any:
        return lambda number, frame: self._reactor.callFromThread(self._interrupt, code)

    def _interrupt(self, code: Exit) -> None:
        if self._running is not None:
            self._running.leave(code)
        else:
            self._end(code)

    def _end(self, code: Exit) -> None:
        self.code = code
        self._reactor.stop()


class _Log:
    """Keeps the libraries' logging off the terminal, but for what is a bug in this program."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def take_over(self) -> None:
        from twisted.logger import globalLogBeginner

        observer: Any = self
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)

    def __call__(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None and event["log_level"].name == "critical":
            self._screen.complain(f"{PROGRAM}: a bug, please report it:")
            for line in failure.getTraceback().splitlines():
                self._screen.complain(line)


if __name__ == "__main__":
    sys.exit(main())
