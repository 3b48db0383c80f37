"""The command line of `doctor`, and what it prints: a line for each check, once it is done."""

from __future__ import annotations

import argparse
import re
import textwrap
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.command import Command, add_session_arguments
from apptuner_relay.client.credentials import add_key_argument, add_token_argument
from apptuner_relay.client.doctor.examination import PATIENCE_S, Complaint, Examination
from apptuner_relay.client.doctor.finding import (
    ASCII_MARKS,
    MARKS,
    TITLE_CHARACTERS,
    TITLES,
    CheckState,
    Finding,
    diagnosis,
)
from apptuner_relay.client.managed_options import add_managed_arguments
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.printable import printable
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_id_note import session_id_note

_STYLES = {
    CheckState.OK: "green",
    CheckState.WARNING: "yellow",
    CheckState.FAILED: "red",
    CheckState.SKIPPED: "dim",
}
_OF_A_CLIENT = re.compile(r"/(?:cli|dashboard|desktop|mobile|bundles)(?:/[^/]+)?$")
_INDENT = " " * (TITLE_CHARACTERS + 4)
_WIDEST, _NARROWEST = 100, 30
"""Characters of a line."""
_MAX_LINE_CHARACTERS = 1000


class Consultation:
    """A run of `doctor`."""

    _log = Logger()

    def __init__(self, complaint: Complaint, reactor: Any, screen: Screen, *, quiet: bool) -> None:
        self.done: Deferred[Exit] = Deferred()
        self._complaint = complaint
        self._screen = screen
        self._quiet = quiet
        self._marks = MARKS if screen.can_show("".join(MARKS.values())) else ASCII_MARKS
        self._left_with: Exit | None = None
        self._examination = Examination(complaint, reactor, self._show, screen.say)
        self._work = Deferred.fromCoroutine(self._examination.run())
        self._work.addCallbacks(self._over, self._failed)

    def leave(self, code: Exit) -> None:
        """See `CommandRun`: what was found so far is said."""
        self._left_with = self._left_with or code
        self._work.cancel()

    def _show(self, finding: Finding) -> None:
        finding = self._with_note(finding)
        text = printable(finding.text, limit=_MAX_LINE_CHARACTERS)
        title = TITLES[finding.name].ljust(TITLE_CHARACTERS)
        if finding.state is CheckState.FAILED and (self._quiet or self._screen.speaks_json):
            self._screen.complain(f"{TITLES[finding.name]}: {text}")
            if self._quiet:
                self._screen.complain(f"  {finding.hint}")
            return
        style = _STYLES[finding.state]
        self._screen.tell_parts(
            (f"{self._marks[finding.state]} ", f"bold {style}"),
            (f"{title}  ", "bold" if finding.state is not CheckState.SKIPPED else style),
            (self._fold(text).lstrip(), "" if finding.state is CheckState.OK else style),
        )
        if finding.hint:
            self._screen.tell_parts((self._fold(printable(finding.hint)), "dim"))

    def _fold(self, text: str) -> str:
        """What stands behind a check's name, or a hint below it: on a terminal in lines, else on
        one."""
        width = self._screen.width
        if width is None:
            return _INDENT + text
        return textwrap.fill(
            text,
            max(min(width, _WIDEST), len(_INDENT) + _NARROWEST),
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )

    def _with_note(self, finding: Finding) -> Finding:
        """The session's line, with what is odd about its id."""
        note = session_id_note(self._complaint.session or "") if finding.name == "session" else None
        if note is None:
            return finding
        hint = f"{note}. {finding.hint}".strip()
        return Finding(finding.name, finding.state, finding.text, hint, finding.figures)

    def _over(self, _: None) -> None:
        findings = [self._with_note(one) for one in self._examination.findings]
        self._screen.result(**diagnosis(str(self._complaint.relay), findings))
        if self._left_with is not None:
            self.done.callback(self._left_with)
            return
        broken = sum(one.state is CheckState.FAILED for one in findings)
        worries = sum(one.state is CheckState.WARNING for one in findings)
        self._screen.tell(_summary(len(findings), broken, worries))
        if not broken:
            self.done.callback(Exit.DONE)
        elif self._examination.never_connected:
            self.done.callback(Exit.NO_CONNECTION)
        else:
            self.done.callback(Exit.FAILED)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the examination", failure)
        self.done.callback(Exit.FAILED)


def _summary(checks: int, broken: int, worries: int) -> str:
    if not broken and not worries:
        return f"{checks} checks: nothing is wrong"
    parts = [f"{broken} failed"] if broken else []
    if worries:
        parts.append(f"{worries} warning{'s' * (worries != 1)}")
    return f"{checks} checks: {', '.join(parts)}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser, needed=False)
    add_key_argument(parser, "the session's secret, where it is claimed with one")
    add_token_argument(parser)
    add_managed_arguments(parser)
    parser.add_argument(
        "--patient",
        action="store_true",
        help=f"also wait {PATIENCE_S:.0f} s without a word, to see whether something on the way "
        "cuts idle connections",
    )


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Consultation:
    if _OF_A_CLIENT.search(arguments.relay.prefix):
        screen.say(
            "--relay ends in what looks like a client's path: to look into that session, give the "
            "URL without --relay"
        )
    complaint = Complaint(
        arguments.relay,
        arguments.session,
        arguments.key,
        arguments.token,
        arguments.managed,
        PATIENCE_S if arguments.patient else 0.0,
    )
    return Consultation(complaint, reactor, screen, quiet=arguments.quiet)


COMMAND = Command(
    "doctor",
    "Checks the way to a relay step by step, and says what is wrong and what to do about it: DNS,\n"
    "TCP, TLS and its certificate, HTTP, the WebSocket upgrade through proxies, compression,\n"
    "round trips, the clocks, and a bundle of 100 KB up and down through a session of its own,\n"
    "which disturbs nobody. With --session it looks into that session as well: who is there,\n"
    "whether it is claimed, what is cached, and how phones answered the last bundle. It joins\n"
    "the session only where the relay can't be asked, as one more dashboard, and not at a relay\n"
    "that has one alone (before 0.2.0). It takes 15 seconds at most, --patient not counted. Ends\n"
    "with 0 when nothing failed (warnings are no failures), with 1 when something did, and with 3\n"
    "when there is no connection at all.",
    _add_arguments,
    _start,
    notes_session=False,
    json_help="print one JSON object with all checks: state, text, hint and figures",
)
