"""docs/reference/log-lines.md explains every line that the relay logs."""

import re
import sys
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "ops" / "docs"))

from docs_lib import log_lines  # noqa: E402

REFERENCE = REPOSITORY / "docs" / "reference"


class LogLinesPageTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = (REFERENCE / "log-lines.md").read_text("utf-8")

    def test_every_line_has_a_meaning(self) -> None:
        unknown = [row for row in self.page.splitlines() if f"| {log_lines.UNKNOWN} |" in row]
        self.assertEqual(unknown, [], "say in the page what these lines mean")

    def test_every_part_that_logs_has_a_section(self) -> None:
        # The companion program logs its own faults only, to standard error.
        self.assertLessEqual(log_lines.rooms_that_log() - {"client"}, set(log_lines.TITLES))

    def test_what_a_session_logs(self) -> None:
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        relay = Relay()
        cli = relay.connect("/cli/ABC234")
        relay.connect("/cli/a.b", welcome=False)
        cli.lose()
        relay.service.stopService()
        ours = [one for one in events if one["log_namespace"].startswith("apptuner_relay.")]
        texts = {one["log_format"] for one in ours if one["log_format"]}
        self.assertGreater(len(texts), 3)
        for text in texts:
            self.assertIn(f"`{text}`", self.page)

    def test_the_options_that_pages_name_are_there(self) -> None:
        options = (REFERENCE / "options.md").read_text("utf-8")
        for page in ("log-lines.md", "metrics.md"):
            text = (REFERENCE / page).read_text("utf-8")
            for name in set(re.findall(r"`--([a-z-]+)", text)) - _OF_TWISTD:
                self.assertRegex(options, rf"`--{name}[ `]", page)
            for name in set(re.findall(r"--tune ([a-z-]+)", text)):
                self.assertIn(f"`{name}=", options, page)


_OF_TWISTD = {"logfile", "logger"}


class GeneratorTest(SynchronousTestCase):
    def row(self, page: str, line: str) -> str:
        return next(row for row in page.splitlines() if line in row)

    def test_a_line_that_changes_keeps_its_meaning(self) -> None:
        line = "session {session}: timed out"
        before = f"| info | `{line} after a while` | Nobody said anything. | Nothing. |"
        page = log_lines.render_with(before)
        self.assertEqual(
            self.row(page, f"`{line}`"), f"| info | `{line}` | Nobody said anything. | Nothing. |"
        )

    def test_a_new_line_has_none(self) -> None:
        page = log_lines.render_with("")
        self.assertTrue(self.row(page, "`drained in ").endswith("| ? | ? |"))

    def test_a_line_that_is_there_lends_its_meaning_to_no_other(self) -> None:
        before = "| info | `SIGHUP: reloading {what}` | It reloads. | Nothing. |"
        page = log_lines.render_with(before)
        self.assertIn("| It reloads. | Nothing. |", page)
        self.assertEqual(page.count("It reloads."), 1)

    def test_lines_by_way_of_a_helper_and_events_made_by_hand(self) -> None:
        texts = {line.text for line in log_lines.lines()}
        self.assertIn("dropped {count} log lines that could not be written", texts)
        self.assertTrue(any(text.startswith("TLS certificate taken") for text in texts))
