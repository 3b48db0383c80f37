"""The manual's pages, as programs that show them read them."""

import argparse
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "ops" / "docs"))

from docs_lib import commands, man_pages, roff  # noqa: E402

from apptuner_relay.config.settings import OPTIONS  # noqa: E402

FOLDER = REPOSITORY / man_pages.FOLDER
PAGES = sorted(FOLDER.iterdir())
WITHOUT_A_DATE = "missing date"
"""So that a page changes when what it says changes, and at no other time."""


def run(*command: str) -> str:
    """All that a program says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def shown(name: str) -> str:
    """A page as a reader sees it, with its lines joined."""
    text = run("groff", "-K", "utf8", "-man", "-Tutf8", "-P", "-cbou", str(FOLDER / name))
    return re.sub(r"\s+", " ", text)


class ManPagesTest(SynchronousTestCase):
    def test_there_is_one_for_each_program_and_command_and_no_other(self) -> None:
        names = {Path(path).name for path, _ in man_pages.pages()}
        self.assertEqual({page.name for page in PAGES}, names)
        for name in ("apptuner-relay.1", "apptuner-relay-push.1", "apptuner-relay-server.8"):
            self.assertIn(name, names)

    def test_the_package_brings_them(self) -> None:
        settings = ConfigParser()
        settings.read(REPOSITORY / "setup.cfg")
        found = {
            path.name
            for folder, globs in settings["options.data_files"].items()
            for pattern in globs.split()
            for path in REPOSITORY.glob(pattern)
            if folder == f"share/man/man{path.suffix[1:]}"
        }
        self.assertEqual(found, {page.name for page in PAGES})

    def test_groff_has_nothing_to_warn_of(self) -> None:
        if shutil.which("groff") is None:
            self.skipTest("there is no groff")
        for page in PAGES:
            said = run("groff", "-K", "utf8", "-man", "-ww", "-z", "-Tutf8", str(page))
            self.assertEqual(said, "", page.name)

    def test_mandoc_has_nothing_to_warn_of(self) -> None:
        if shutil.which("mandoc") is None:
            self.skipTest("there is no mandoc")
        said = run("mandoc", "-T", "lint", "-W", "warning", *map(str, PAGES))
        lines = [line for line in said.splitlines() if WITHOUT_A_DATE not in line]
        self.assertEqual(lines, [])

    def test_every_argument_of_every_command(self) -> None:
        if shutil.which("groff") is None:
            self.skipTest("there is no groff")
        for entry in commands.entries():
            text = shown(f"apptuner-relay-{entry.name}.1")
            self.assertIn(f"apptuner-relay-{entry.name} - {entry.summary}", text)
            if entry.name == "serve":
                self.assertIn("apptuner-relay-server(8)", text)
                continue
            for action in entry.parser._actions:
                for option in action.option_strings:
                    self.assertRegex(text, rf" {option}[, ]", entry.name)
                if not isinstance(action, argparse._HelpAction):
                    meaning = " ".join(commands.meaning(entry.parser, action).split())
                    self.assertIn(meaning[1:].replace("`", ""), text, entry.name)

    def test_every_option_of_the_relay(self) -> None:
        if shutil.which("groff") is None:
            self.skipTest("there is no groff")
        text = shown("apptuner-relay-server.8")
        for option in OPTIONS:
            tag = f" {option.name}=" if option.tune else f" --{option.name} "
            self.assertIn(tag, text)
            if not option.tune:
                self.assertIn(option.variable, text)


class RoffTest(SynchronousTestCase):
    def test_what_is_typed_is_shown_as_it_is_typed(self) -> None:
        self.assertEqual(roff.escaped("a-b 'c' ~ \\d"), "a\\-b \\(aqc\\(aq \\(ti \\ed")
        self.assertEqual(
            roff.inline("see `share` and --max-x."), "see \\fBshare\\fR and \\fB\\-\\-max\\-x\\fR."
        )

    def test_no_line_is_taken_for_a_request(self) -> None:
        page = roff.ManPage("x", 1, "x 1", "x")
        page.text(".so /etc/passwd")
        self.assertIn("\n\\&.so /etc/passwd\n", page.render())
