"""`apptuner_relay.client.screen`: how wide what it prints is, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import re
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.screen import Screen

from . import cases
from .cases import OperatorCommandCase
from .little_relay import Recorder

TITLES = ("session", "bundles", "data of bundles", "data sent", "clients now", "peak of clients")
ROW = ("8c640c4e", "1,234", "750 MB", "1.5 GB", "3", "12")
SENTENCE = "One relay says what it carries and what that will come to, in a sentence that is long."


REAL_ENVIRONMENT = os.environ
"""Which rich goes on looking at when a test puts another in its place."""


def on_a_terminal(columns: int) -> Any:
    """Nothing but its width is known of the terminal."""
    return patch.dict(REAL_ENVIRONMENT, {"COLUMNS": str(columns), "TERM": "xterm"})


def without_styles(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TerminalRecorder(Recorder):
    """Of what a terminal is sent."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.out, self.err = Terminal(), Terminal()
        Screen.__init__(self, self.out, self.err, quiet=quiet)


class Latin(io.TextIOWrapper):
    """Can't show all."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, "latin-1", errors="backslashreplace")


class WidthTests(SynchronousTestCase):
    def widths(self, columns: int) -> tuple[list[str], int]:
        with on_a_terminal(columns):
            screen = TerminalRecorder()
            screen.tell_table(TITLES, [ROW])
            screen.tell_folded(SENTENCE)
        lines = without_styles(screen.out.getvalue())
        return lines, max(map(len, lines))

    def test_a_table_and_a_sentence_on_terminals(self) -> None:
        for columns in (60, 80, 200):
            lines, widest = self.widths(columns)
            self.assertLessEqual(widest, columns)
            text = " ".join(" ".join(lines).split())
            self.assertIn(SENTENCE, text)
            for cell in ROW:
                self.assertIn(cell, text)

    def test_elsewhere_a_table_is_80_columns_wide_and_a_sentence_one_line(self) -> None:
        # Of a terminal that isn't written to, nothing follows.
        with on_a_terminal(40):
            screen = Recorder()
            screen.tell_table(TITLES, [ROW] * 3)
        widest = max(map(len, screen.out.getvalue().splitlines()))
        self.assertTrue(60 < widest <= 80, widest)
        screen.tell_folded(SENTENCE)
        self.assertEqual(screen.out.getvalue().splitlines()[-1], SENTENCE)

    def test_a_stream_without_the_characters_of_a_table(self) -> None:
        out = Latin()
        screen = Screen(out, io.StringIO())
        screen.tell_table(TITLES[:2], [ROW[:2]])
        self.assertIn(b"\n------------------\n", out.bytes.getvalue())
        self.assertFalse(screen.can_show("─"))
        self.assertTrue(screen.can_show("·"))

    def test_nothing_of_it_with_quiet(self) -> None:
        screen = Recorder(quiet=True)
        screen.tell_table(TITLES, [ROW])
        screen.tell_folded(SENTENCE)
        self.assertEqual(screen.out.getvalue(), "")


class CommandWidthTests(OperatorCommandCase):
    def test_what_operators_are_shown_fits(self) -> None:
        self.patch(cases, "Recorder", TerminalRecorder)
        for columns in (60, 80):
            for arguments in (
                ("plan", "--patched", "95", "--messages-per-day", "9", "--max-connections", "9"),
                ("report", "month", "--state-dir", str(self.directory)),
            ):
                with on_a_terminal(columns):
                    screen = self.run_command(*arguments)
                lines = without_styles(screen.out.getvalue())
                self.assertEqual([line for line in lines if len(line) > columns], [], arguments)
