"""`--json`: the lines of a run, and that every run has a last one, however it ends."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.command import Command
from apptuner_relay.client.json_output import JsonOutput
from apptuner_relay.client.main import commands, main, make_parser
from apptuner_relay.client.outcome import Exit, UsageError

from .cases import OperatorCommandCase

NOW_S = 1_800_000_000.25


class LinesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        self.output = JsonOutput("join", self.lines.append, lambda: NOW_S)

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def test_an_event_and_the_end(self) -> None:
        self.output.event("bundle", {"bytes": 3})
        self.output.result({"bundles": 1})
        self.output.end(Exit.DONE)
        at = {"command": "join", "at_ms": 1_800_000_000_250}
        self.assertEqual(
            self.said(),
            [
                {**at, "event": "bundle", "bytes": 3},
                {**at, "event": "result", "exit": 0, "error": None, "bundles": 1},
            ],
        )

    def test_the_last_word_is_the_error(self) -> None:
        self.output.went_wrong("first")
        self.output.went_wrong("last")
        self.output.end(Exit.NO_CONNECTION)
        self.assertEqual((self.said()[0]["exit"], self.said()[0]["error"]), (3, "last"))

    def test_what_went_wrong_on_the_way_is_no_error_of_a_run_that_succeeds(self) -> None:
        self.output.went_wrong("a cut, mended")
        self.output.end(Exit.DONE)
        self.assertIsNone(self.said()[0]["error"])

    def test_every_failure_has_an_error(self) -> None:
        for code in Exit:
            output = JsonOutput("join", self.lines.append, lambda: NOW_S)
            output.end(code)
            self.assertEqual(self.said()[-1]["error"] is None, code is Exit.DONE)

    def test_nothing_follows_the_end(self) -> None:
        self.output.end(Exit.DONE)
        self.output.end(Exit.FAILED)
        self.output.event("bundle", {})
        self.assertEqual(len(self.lines), 1)

    def test_no_line_has_anything_that_a_terminal_obeys(self) -> None:
        self.output.event("acknowledgement", {"error": "\x1b[2J\x7f\u202e\n"})
        self.assertTrue(self.lines[0].isascii() and self.lines[0].isprintable())
        self.assertEqual(self.said()[0]["error"], "\x1b[2J\x7f\u202e\n")


class UsageTest(SynchronousTestCase):
    def refused(self, *arguments: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        self.assertRaises(SystemExit, main, arguments)
        return out.getvalue(), err.getvalue()

    def test_every_command_has_it(self) -> None:
        parser = make_parser(commands())
        for command in commands():
            if not isinstance(command, Command):
                # A relay has a log, and --log-format json; a script of completions is for a shell.
                continue
            self.patch(sys, "stdout", io.StringIO())
            self.assertRaises(SystemExit, parser.parse_args, [command.name, "--help"])
            self.assertIn("--json", sys.stdout.getvalue(), command.name)  # type: ignore[attr-defined]

    def test_a_command_line_that_can_not_be_read(self) -> None:
        out, err = self.refused("join", "--json", "--platform", "beos\x1b", "--session", "A")
        said = json.loads(out)
        self.assertEqual(
            (said["command"], said["event"], said["exit"]), ("join", "result", Exit.USAGE)
        )
        self.assertIn("'ios' or 'android'", said["error"])
        self.assertIn(said["error"], err)

    def test_no_such_command(self) -> None:
        out, _ = self.refused("--json", "dance")
        said = json.loads(out)
        self.assertEqual((said["command"], said["exit"]), (None, Exit.USAGE))

    def test_people_get_no_json(self) -> None:
        out, _ = self.refused("join", "--platform", "beos", "--session", "A")
        self.assertEqual(out, "")


class CommandTest(OperatorCommandCase):
    def test_a_document_is_the_last_line(self) -> None:
        for option in (["--json"], ["--format", "json"]):
            screen = self.report("month", *option)
            [said] = map(json.loads, screen.out.getvalue().splitlines())
            self.assertEqual((said["command"], said["event"]), ("report", "result"))
            self.assertEqual((said["exit"], said["error"]), (0, None))
            self.assertEqual(said["period"], "2026-11")

    def test_a_failure(self) -> None:
        screen = self.report("2020-01-01", "--json", code=Exit.FAILED)
        [said] = map(json.loads, screen.out.getvalue().splitlines())
        self.assertEqual((said["exit"], said["error"]), (1, "there is no record of 2020-01-01"))
        self.assertEqual(screen.err.getvalue(), "there is no record of 2020-01-01\n")

    def test_csv_is_no_json(self) -> None:
        wrong = self.assertRaises(UsageError, self.report, "--json", "--format", "csv")
        self.assertIn("--format csv", str(wrong))
