"""What the user sees: results on standard output, everything else on standard error.

Every text is made safe to print here, whoever wrote it. Only this module and `live_frame` need
`rich`. With `--json`, standard output has lines of JSON only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from time import time as wall_s
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from apptuner_relay.client.json_output import JsonOutput
from apptuner_relay.client.live_frame import LiveFrame
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.printable import printable
from apptuner_relay.client.tables import LineKind, TableText, folded, table_lines

_REFRESH_SECONDS = 0.1
_WIDTH_ELSEWHERE = 80
"""Of tables where no terminal says how wide it is: what a program or a file gets stays the same."""


class Screen:
    """Standard output and standard error, for one run of the program."""

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False) -> None:
        self.on_reader_gone: Callable[[], None] = lambda: None
        """Called once, when standard output can't be written any more (`... | head`)."""
        self._out = _console(out)
        self._err = _console(err)
        self._quiet = quiet
        self._reader_gone = False
        self._json: JsonOutput | None = None

    def speak_json(self, command: str, *, only_failures: bool = False) -> None:
        """From now on standard output has JSON, and nothing of what is told to people."""
        self._json = JsonOutput(command, self.tell_raw, wall_s, only_failures=only_failures)

    @property
    def speaks_json(self) -> bool:
        """Whether a program reads standard output, and wants JSON."""
        return self._json is not None

    def event(self, name: str, /, **fields: Any) -> None:
        """With `--json`: a line about something that happened. Without: nothing."""
        if self._json is not None:
            self._json.event(name, fields)

    def result(self, **fields: Any) -> None:
        """With `--json`: what the last line has, beside how the run ended. Without: nothing."""
        if self._json is not None:
            self._json.result(fields)

    def end(self, code: Exit) -> None:
        """The command is done: with `--json`, write the last line. Once is enough."""
        if self._json is not None:
            self._json.end(code)

    def say(self, text: str) -> None:
        """How things are going: standard error, and nothing of it with --quiet."""
        if not self._quiet:
            self._note(Text(printable(text), style="dim"))

    def ask(self, question: str) -> None:
        """A question, which stays open for an answer on the same line: standard error."""
        with contextlib.suppress(OSError):
            self._err.print(Text(printable(question)), end="")

    def complain(self, text: str, *, prefix: str = "", lines: bool = False) -> None:
        """What went wrong: standard error. With `--json` it is the error of a run that fails,
        without the prefix. With `lines`, a text of several stays one."""
        if self._json is not None:
            self._json.went_wrong(printable(text))
        self._note(Text(printable(prefix + text, lines=lines), style="red"))

    def tell(self, text: str, style: str = "") -> None:
        """What the command is for: standard output, and nothing of it with --quiet."""
        if not self._told_nothing:
            self._write(Text(printable(text), style=style))

    def tell_parts(self, *parts: tuple[str, str]) -> None:
        """A line of (text, style) pairs. The texts must have been through `printable`."""
        if not self._told_nothing:
            self._write(Text.assemble(*parts))

    def tell_table(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        left: Collection[int] = (0,),
        total: bool = False,
    ) -> None:
        """A table: columns at the right but for those in `left`, and with `total` a last row that
        stands apart. It fits the terminal's width, or else 80 columns: see `tables`."""
        if self._told_nothing:
            return
        table = TableText(
            [printable(title) for title in titles],
            [[printable(cell) for cell in row] for row in rows],
            left,
            total,
        )
        lines = table_lines(table, self.told_width, measure=self.measure, rule=self.rule)
        styles = {LineKind.TITLES: "bold"}
        whole = Text("\n").join(Text(line.text, styles.get(line.kind, "")) for line in lines)
        self._write(whole)

    def tell_folded(self, text: str) -> None:
        """As `tell`, a sentence that may be long: a terminal gets it in lines, broken at blanks."""
        if self._out.is_terminal:
            for line in folded(printable(text), self.told_width, measure=self.measure):
                self.tell(line)
        else:
            self.tell(text)

    def tell_lines(self, lines: Iterable[tuple[str, str]]) -> None:
        """Lines with their styles. Their texts must have been through `printable`."""
        if not self._told_nothing:
            self._write(Text("\n").join(Text(text, style) for text, style in lines))

    def tell_raw(self, line: str) -> None:
        """A line for another program: no colours, and no wrapping. It must be safe already."""
        try:
            self._out.file.write(line + "\n")
            self._out.file.flush()
        except OSError:
            self._lose_reader()

    def bar(
        self,
        total: int | None,
        seconds: Callable[[], float],
        *,
        label: str = "sending",
        done: int = 0,
    ) -> Bar:
        """A progress bar for `total` bytes, if that is known, of which `done` are done already.

        On a terminal; elsewhere nothing is drawn.
        """
        drawn = self._err.is_terminal and not self._quiet
        return Bar(self._err, total, seconds, label=label, done=done, drawn=drawn)

    def can_show(self, characters: str) -> bool:
        """Whether standard output's encoding has all of these."""
        try:
            characters.encode(self._out.encoding)
        except (LookupError, UnicodeEncodeError):
            return False
        return True

    def draw(self, picture: str) -> None:
        """A picture made of characters and colours, for whoever looks at standard error: nothing
        where that is no terminal, nor with --quiet. It must be safe already."""
        if self.err_is_terminal and not self._quiet:
            with contextlib.suppress(OSError):
                self._err.file.write(picture + "\n")
                self._err.file.flush()

    @property
    def err_is_terminal(self) -> bool:
        """Whether somebody looks at standard error, and no file keeps it."""
        return self._err.is_terminal

    @property
    def out_is_terminal(self) -> bool:
        """Whether somebody looks at standard output, and no program reads it."""
        return self._out.is_terminal

    @property
    def width(self) -> int | None:
        """How many columns the terminal has; None where standard output is none."""
        return self._out.width if self._out.is_terminal else None

    @property
    def out_can_be_redrawn(self) -> bool:
        """Whether it is a terminal on which one can go back to what was drawn before."""
        return self._out.is_terminal and not self._out.is_dumb_terminal

    @property
    def told_width(self) -> int:
        """How many columns what is told may have, on a terminal or elsewhere."""
        return self._out.width if self._out.is_terminal else _WIDTH_ELSEWHERE

    @property
    def rule(self) -> str:
        """What lines are drawn with."""
        return "─" if self.can_show("─") else "-"

    @staticmethod
    def measure(text: str) -> int:
        """How many columns a text takes."""
        return cell_len(text)

    def live(
        self, reactor: Any, heed: Callable[[str], None], resized: Callable[[], None]
    ) -> LiveFrame:
        """The whole terminal, to be drawn over and over: see `LiveFrame`."""
        return LiveFrame(self._out, reactor, heed, resized)

    @property
    def out_descriptor(self) -> int:
        """Standard output's file descriptor, for what is no text. Nothing waits in front of it."""
        self._out.file.flush()
        return self._out.file.fileno()

    @property
    def _told_nothing(self) -> bool:
        return self._quiet or self._json is not None

    def _note(self, text: Text) -> None:
        with contextlib.suppress(OSError):
            self._err.print(text)

    def _write(self, text: Text) -> None:
        try:
            self._out.print(text)
        except OSError:
            self._lose_reader()

    def _lose_reader(self) -> None:
        if not self._reader_gone:
            self._reader_gone = True
            # What is still in the stream's buffer would be written, and fail, at exit.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.file.fileno())
            self.on_reader_gone()


class Bar:
    """A progress bar, drawn ten times a second at most and without a thread."""

    def __init__(
        self,
        console: Console,
        total: int | None,
        seconds: Callable[[], float],
        *,
        label: str,
        done: int,
        drawn: bool,
    ) -> None:
        self._seconds = seconds
        self._next_refresh = 0.0
        self._progress = Progress(
            TextColumn(label),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not drawn,
            get_time=seconds,
        )
        self._task: TaskID = self._progress.add_task("", total=total, completed=done)
        # Releases of rich before 14.3 end one that is disabled with an empty line.
        self._drawn = drawn
        if drawn:
            self._progress.start()

    def update(self, done_bytes: int) -> None:
        """Show how much is done."""
        self._progress.update(self._task, completed=done_bytes)
        if self._seconds() >= self._next_refresh:
            self._next_refresh = self._seconds() + _REFRESH_SECONDS
            self._progress.refresh()

    def close(self) -> None:
        """Take the bar away. Harmless when it is gone already."""
        if self._drawn:
            self._progress.stop()


class _LoudConsole(Console):
    """A console that leaves a closed pipe to its owner, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("nobody reads this any more")


def _console(stream: TextIO) -> Console:
    return _LoudConsole(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
