"""One run of a command on the reactor: from its start to its exit code, with signals on the way.

Not here: the command line, which `main` reads without any of what is imported here.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger, globalLogBeginner

from apptuner_relay.client.command import JSON_OPTION
from apptuner_relay.client.outcome import PROGRAM, Exit, UsageError
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_id_note import session_id_note
from apptuner_relay.support.clocks import use_monotonic_clock

if TYPE_CHECKING:
    from apptuner_relay.client.command import Command, CommandRun


def run_to_the_end(arguments: argparse.Namespace) -> Exit:
    """Run the command that was parsed, on the global reactor, which can be run only once."""
    from twisted.internet import reactor

    use_monotonic_clock(reactor)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    screen = Screen(sys.stdout, sys.stderr, quiet=arguments.quiet)
    _QuietLog(screen).take_over()
    run = ReactorRun(arguments, reactor, screen)
    # Twisted installs its own handlers while it starts; these take their place.
    reactor.callWhenRunning(run.watch_signals)
    reactor.callWhenRunning(run.begin)
    reactor.run()
    return run.code


def start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> CommandRun:
    """Start the command that was parsed. Raises `UsageError`.

    The screen speaks JSON where that is wanted, and is told when the command is done.
    """
    command: Command = arguments.command
    form = getattr(arguments, "format", None)
    if arguments.json or form == "json":
        screen.speak_json(command.name, only_failures=command.json_is_messages)
        if form == "csv":
            raise UsageError(f"{JSON_OPTION} and --format csv can't go together")
    run = command.start(arguments, reactor, screen)
    run.done.addCallback(_ended, screen)
    return run


def _ended(code: Exit, screen: Screen) -> Exit:
    screen.end(code)
    return code


class ReactorRun:
    """One run of a command, from the reactor's start to its end."""

    _log = Logger()

    def __init__(self, arguments: argparse.Namespace, reactor: Any, screen: Screen) -> None:
        self.code = Exit.FAILED
        self._arguments = arguments
        self._reactor = reactor
        self._screen = screen
        self._running: CommandRun | None = None

    def begin(self) -> None:
        """Start the command; the reactor runs."""
        command: Command = self._arguments.command
        for text in getattr(self._arguments, "url_notes", ()):
            self._screen.say(text)
        note = session_id_note(getattr(self._arguments, "session", None) or "")
        if note is not None and command.notes_session:
            self._screen.say(note)
        try:
            running = self._running = start(self._arguments, self._reactor, self._screen)
        except UsageError as error:
            self._screen.complain(str(error), prefix=f"{PROGRAM} {command.name}: error: ")
            self._end(Exit.USAGE)
            return
        except Exception:
            self._log.failure("the command could not begin")
            self._end(Exit.FAILED)
            return
        running.done.addCallback(self._end)

    def watch_signals(self) -> None:
        """Have Ctrl-C and SIGTERM end the command properly."""
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
        self._screen.end(code)
        self.code = code
        self._reactor.stop()


class _QuietLog:
    """Keeps the libraries' logging off the terminal, but for what is a bug in this program."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def take_over(self) -> None:
        observer: Any = self
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)

    def __call__(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None and event["log_level"].name == "critical":
            self._screen.complain(f"{PROGRAM}: a bug, please report it:")
            for line in failure.getTraceback().splitlines():
                self._screen.complain(line)
