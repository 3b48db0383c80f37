"""What `--json` makes of a run: lines of JSON on standard output, in one form for every command.

docs/reference/companion-json.md says what is in them, companion.schema.json beside it exactly.
Not here: what a command has to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import Any

from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.printable import json_line, printable
from apptuner_relay.support.clocks import in_ms

RESULT = "result"
"""The event of the last line."""

_WHY = {
    Exit.FAILED: "it failed",
    Exit.USAGE: "it can't be done as asked",
    Exit.NO_CONNECTION: "there is no connection",
    Exit.NO_PHONE: "no phone joined in time",
    Exit.NO_ACK: "no acknowledgement in time, or not all of them",
    Exit.NO_BUNDLE: "there is no such bundle",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "terminated",
}
"""Where nothing was said of it."""

_WANTED = (Exit.DONE, Exit.INTERRUPTED, Exit.TERMINATED)
"""Ends that somebody asked for."""


class JsonOutput:
    """The lines of one run. Each is an object: `command`, `event`, `at_ms`, and what the event has.

    The last one is the event `result`, with `exit` (the exit code) and `error` (null where that is
    0). It also has what `result` was given.

    :param write: takes a line without its end.
    :param wall_s: the time of day.
    :param only_failures: there are other lines than these, to which only that of a failure is
        added: no event, and no last line where the run ended as its user wanted.
    """

    def __init__(
        self,
        command: str | None,
        write: Callable[[str], None],
        wall_s: Callable[[], float],
        *,
        only_failures: bool = False,
    ) -> None:
        self._command = command
        self._write = write
        self._wall_s = wall_s
        self._fields: dict[str, Any] = {}
        self._error: str | None = None
        self._only_failures = only_failures
        self._over = False

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Something happened."""
        if not self._only_failures:
            self._line(name, fields)

    def result(self, fields: Mapping[str, Any]) -> None:
        """More of what the last line has."""
        self._fields.update(fields)

    def went_wrong(self, text: str) -> None:
        """Why the run fails, if it does: the last word counts."""
        self._error = text

    def end(self, code: Exit) -> None:
        """Write the last line. Harmless when it is written already."""
        if self._over:
            return
        if not (self._only_failures and code in _WANTED):
            error = None if code is Exit.DONE else self._error or _WHY[code]
            self._line(RESULT, {"exit": int(code), "error": error, **self._fields})
        self._over = True

    def _line(self, name: str, fields: Mapping[str, Any]) -> None:
        if self._over:
            return
        head = {"command": self._command, "event": name, "at_ms": in_ms(self._wall_s())}
        self._write(json_line(head | dict(fields)))


def usage_error(command: str | None, text: str) -> str:
    """The only line of a run whose command line can't be read."""
    lines: list[str] = []
    output = JsonOutput(command, lines.append, time)
    output.went_wrong(printable(text))
    output.end(Exit.USAGE)
    return lines[0]
