"""`apptuner_relay.client.reactor_run`: what is said before a command starts."""

from __future__ import annotations

import argparse
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.command import Command
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.reactor_run import ReactorRun

from .little_relay import Recorder


class Reactor:
    """Only ends."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class Done:
    """Was over at once."""

    def __init__(self) -> None:
        self.done = succeed(Exit.NO_PHONE)

    def leave(self, code: Exit) -> None:
        raise AssertionError("it is over")


class ReactorRunTests(SynchronousTestCase):
    def run_it(self, *, quiet: bool = False, start: Any = None, **changes: Any) -> tuple[Any, Any]:
        def started(*_: Any) -> Done:
            return Done()

        fields = {"notes_session": changes.pop("notes_session", True)}
        command = Command("dance", "", lambda parser: None, start or started, **fields)
        arguments = argparse.Namespace(command=command, quiet=quiet, json=False, **changes)
        screen, reactor = Recorder(quiet=quiet), Reactor()
        run = ReactorRun(arguments, reactor, screen)
        run.begin()
        self.assertEqual(reactor.stopped, 1)
        return run, screen

    def test_an_id_that_looks_like_a_slip_gets_a_note(self) -> None:
        run, screen = self.run_it(session="abc234")
        self.assertIn("ABC234 was probably meant", screen.err.getvalue())
        self.assertEqual(screen.out.getvalue(), "")
        self.assertEqual(run.code, Exit.NO_PHONE)

    def test_others_get_none(self) -> None:
        for changes in ({"session": "ABC234"}, {"session": None}, {}):
            _, screen = self.run_it(**changes)
            self.assertEqual(screen.err.getvalue(), "")

    def test_no_note_with_quiet_nor_where_the_command_says_it(self) -> None:
        for changes in ({"quiet": True}, {"notes_session": False}):
            _, screen = self.run_it(session="abc234", **changes)
            self.assertEqual(screen.err.getvalue(), "")

    def test_a_usage_error(self) -> None:
        def refuse(*_: Any) -> Any:
            raise UsageError("not like that")

        run, screen = self.run_it(start=refuse)
        self.assertEqual(run.code, Exit.USAGE)
        self.assertIn("apptuner-relay dance: error: not like that", screen.err.getvalue())
