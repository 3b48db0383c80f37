"""Options and files that the documentation names are there; see also `test_options_named`."""

import argparse
import re
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.main import commands, make_parser
from apptuner_relay.config.settings import OPTIONS
from tests.docs.test_links import REPOSITORY, SPAN, pages

OTHERS = {"listen", "tune", "config", "check", "version", "help"}
TWISTD = {"logfile", "logger", "nodaemon", "pidfile"}
PROGRAMS = ("deploy", "quickstart", "conformance", "chaos", "bench", "docs")
"""Below ops/, with options of their own."""
CERTBOT = {"email", "register-unsafely-without-email", "standalone"}
TOOLS = CERTBOT | {"env", "health-cmd", "restart", "stop-timeout", "ulimit"}
"""Of certbot, of Docker, and of `ops/deploy/deploy` on the pages of other programs."""
NAMED = re.compile(r"--([a-z][a-z0-9-]*[a-z0-9])")
PACKAGE = REPOSITORY / "apptuner_relay"
PARTS = "|".join(sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
FILE = re.compile(
    r"(?:apptuner_relay|tests|ops|findings|docs)/[\w./-]*\w|\.ci/run"
    rf"|(?<![\w/])(?:{PARTS})/[\w/]+\.py"
)
MADE = re.compile(r"ops/bench/out.*|ops/chaos/out.*|ops/fuzz/out.*|docs/options\.md")
"""What a run writes."""


def relay_options() -> set[str]:
    return OTHERS | {option.name for option in OPTIONS if not option.tune}


def companion_options() -> set[str]:
    """Of `apptuner-relay` and all of its commands."""
    found: set[str] = set()
    waiting: list[argparse.ArgumentParser] = [make_parser(commands())]
    while waiting:
        for action in waiting.pop()._actions:
            found |= {text[2:] for text in action.option_strings if text.startswith("--")}
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
    return found


def operators_pages() -> Iterator[tuple[str, str]]:
    """The pages about the relay and its companion: each with its path, and its text."""
    for page in pages():
        path = page.relative_to(REPOSITORY)
        if path.name in ("CHANGELOG.md", "LICENSE") or path.parts[0] == "findings":
            continue
        yield str(path), page.read_text("utf-8")


class NamesTest(SynchronousTestCase):
    def assertNone(self, wrong: list[str]) -> None:
        self.assertEqual(wrong, [])

    def test_options(self) -> None:
        """What stands in code within a sentence and looks like an option is one of the relay's,
        its companion's or twistd's; pages of other programs have theirs."""
        known = relay_options() | companion_options() | TWISTD | TOOLS
        others = tuple(f"ops/{name}/" for name in PROGRAMS)
        self.assertNone(
            [
                f"{path}: --{name}"
                for path, text in operators_pages()
                if not path.startswith(others) and path not in ("CONTRIBUTING.md",)
                for _, code in SPAN.findall(text)
                if code.startswith("--")
                for name in NAMED.findall(code)
                if name not in known and not self.is_older_spelling(path, name)
            ]
        )

    @staticmethod
    def is_older_spelling(path: str, name: str) -> bool:
        """The page of options has a table of those that --tune has taken in."""
        return path == "docs/reference/options.md" and name in {o.spelling for o in OPTIONS}

    def test_files(self) -> None:
        self.assertNone(
            [
                f"{path}: {name}"
                for path, text in operators_pages()
                for _, code in SPAN.findall(text)
                for name in FILE.findall(code)
                if not MADE.fullmatch(name) and not self.exists(path, name)
            ]
        )

    @staticmethod
    def exists(path: str, name: str) -> bool:
        return any(
            (base / name).exists() for base in (REPOSITORY, PACKAGE, (REPOSITORY / path).parent)
        )
