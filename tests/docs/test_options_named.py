"""Documents, units and configuration files name options and variables of the relay that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.help import TUNE_VARIABLE
from apptuner_relay.config.options import CONFIG_VARIABLE
from apptuner_relay.config.settings import OPTIONS

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "docs", "ops")
SUFFIXES = {"", ".md", ".service", ".socket", ".yaml", ".yml", ".json", ".conf", ".cfg", ".env"}
GENERATED = REPOSITORY / "docs/reference/options.md"
"""It has the older spellings, too."""
COMPANION = {"APPTUNER_RELAY", "APPTUNER_KEY", "APPTUNER_TOKEN"}
"""The companion program's variables."""
TESTS = {"APPTUNER_TEST_PATIENCE_S"}

_VARIABLE = re.compile(r"\bAPPTUNER_[A-Z_]*[A-Z]\b(?!_)")
_TUNE = re.compile(r"--tune[ =]([a-z-]+)")
_OLDER = "|".join(option.spelling for option in OPTIONS if option.tune)
_OLD_SPELLING = re.compile(rf"--(?:{_OLDER})\b(?!-)")


def read_all() -> Iterator[tuple[str, str]]:
    """Path and text of each file that tells operators of options."""
    for root in ROOTS:
        start = REPOSITORY / root
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            skipped = {"node_modules", "out", "__pycache__"} & set(path.parts)
            if path.is_file() and path.suffix in SUFFIXES and not skipped and path != GENERATED:
                try:
                    yield str(path.relative_to(REPOSITORY)), path.read_text("utf-8")
                except UnicodeDecodeError:
                    continue


class Named(SynchronousTestCase):
    def test_variables(self) -> None:
        known = {option.variable for option in OPTIONS if not option.tune}
        known |= {TUNE_VARIABLE, CONFIG_VARIABLE} | COMPANION | TESTS
        named = {(name, path) for path, text in read_all() for name in _VARIABLE.findall(text)}
        self.assertTrue(named)
        self.assertEqual({(name, path) for name, path in named if name not in known}, set())

    def test_details(self) -> None:
        known = {option.name for option in OPTIONS if option.tune}
        named = {(name, path) for path, text in read_all() for name in _TUNE.findall(text)}
        self.assertTrue(named)
        self.assertEqual({(name, path) for name, path in named if name not in known}, set())

    def test_no_older_spelling(self) -> None:
        named = {
            (spelling, path)
            for path, text in read_all()
            for spelling in _OLD_SPELLING.findall(text)
        }
        self.assertEqual(named, set())
