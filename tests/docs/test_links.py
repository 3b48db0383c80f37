"""Every relative link and anchor in the repository's Markdown leads to something."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[2]
INDENTED = re.compile(r"(?m)^(?: {4}|\t).*$")
FENCED = re.compile(r"(?ms)^ *(```|~~~).*?^ *\1 *$")
SPAN = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
SOURCE = re.compile(r"<img src=\"([^\"]+)\"")
HEADING = re.compile(r"(?m)^#{1,6} +(.+?) *#*$")
NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")
IGNORED = re.compile(r"\.git|\.venv.*|node_modules|build|out|_trial_temp.*")


def pages() -> list[Path]:
    """The Markdown files of the repository."""
    found = (
        path
        for path in REPOSITORY.rglob("*.md")
        if not any(map(IGNORED.fullmatch, path.relative_to(REPOSITORY).parts))
    )
    return sorted(found)


def links(text: str) -> Iterator[str]:
    """The targets of a page's links that are no URLs; those in code are none."""
    prose = SPAN.sub("", INDENTED.sub("", FENCED.sub("", text)))
    for target in (*LINK.findall(prose), *SOURCE.findall(prose)):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: small letters, dashes, and a number where one comes
    again."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text("utf-8"))):
        shown = LINK.sub(lambda link: link[0].partition("]")[0].lstrip("!["), heading)
        shown = shown.replace("`", "").replace("*", "").strip().lower()
        anchor = name = NOT_IN_AN_ANCHOR.sub("", shown).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{name}-{number}"
        found.add(anchor)
    return found


def trouble(page: Path, target: str) -> str | None:
    """What is wrong with a link on a page."""
    path, _, anchor = target.partition("#")
    to = (page.parent / unquote(path)).resolve() if path else page
    if not to.is_relative_to(REPOSITORY):
        return "leads out of the repository"
    if not to.exists():
        return "leads nowhere"
    if anchor and to.suffix == ".md" and unquote(anchor) not in anchors(to):
        return "names no heading there"
    return None


class LinksTest(SynchronousTestCase):
    def test_every_link_leads_to_something(self) -> None:
        wrong = [
            f"{page.relative_to(REPOSITORY)}: {target} {what}"
            for page in pages()
            for target in links(page.read_text("utf-8"))
            if (what := trouble(page, target))
        ]
        self.assertEqual(wrong, [])

    def test_every_page_of_docs_can_be_reached(self) -> None:
        """From the README, by links alone."""
        reached: set[Path] = set()
        waiting = [REPOSITORY / "README.md"]
        while waiting:
            page = waiting.pop()
            if page in reached or not page.exists():
                continue
            reached.add(page)
            for target in links(page.read_text("utf-8")):
                to = (page.parent / unquote(target.partition("#")[0])).resolve()
                if to.suffix == ".md":
                    waiting.append(to)
        below_docs = {page for page in pages() if page.is_relative_to(REPOSITORY / "docs")}
        lost = sorted(str(page.relative_to(REPOSITORY)) for page in below_docs - reached)
        self.assertEqual(lost, [])

    def test_the_test_itself(self) -> None:
        text = "[a](b.md#c) `[not](one)` ![d](e.png)\n\n    [nor](this)\n\n[g](https://h/)"
        self.assertEqual(list(links(text)), ["b.md#c", "e.png"])
