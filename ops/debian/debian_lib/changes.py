"""CHANGELOG.md as release notes, and as the changelog of a Debian package."""

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

UNRELEASED = "Unreleased"
_WIDTH = 78
_HEADING = re.compile(r"## (?P<name>\S+)(?:[ ,(–-]+(?P<date>\d{4}-\d\d-\d\d)\)?)?\s*")
_LINK = re.compile(r"(?P<before>!?\[[^\]]*\]\()(?P<target>[^)\s]+)\)")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|#|/")


class NoSuchRelease(Exception):
    """The changelog has no section of this name, or nothing in it."""


class Section(NamedTuple):
    """What the changelog has under a heading such as ``## 0.2.0 (2026-12-01)``."""

    name: str
    """The version, or `UNRELEASED`."""
    date: datetime | None
    """None where the heading has none."""
    body: str
    """Markdown, without the heading."""


def read_changelog(path: Path) -> list[Section]:
    """The sections in their order: the newest first."""
    sections: list[Section] = []
    for line in path.read_text("utf-8").splitlines():
        if found := _HEADING.fullmatch(line):
            text = found["date"]
            date = datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
            sections.append(Section(found["name"], date, ""))
        elif sections:
            last = sections[-1]
            sections[-1] = last._replace(body=f"{last.body}{line}\n")
    return [section._replace(body=section.body.strip()) for section in sections]


def find_section(sections: list[Section], name: str) -> Section:
    """The section of a version, with or without a ``v`` before it.

    :raises NoSuchRelease: it is missing or empty.
    """
    wanted = name.removeprefix("v").lower()
    for section in sections:
        if section.name.lower() == wanted:
            if not section.body:
                raise NoSuchRelease(f"CHANGELOG.md says nothing under {section.name}")
            return section
    known = ", ".join(section.name for section in sections) or "none at all"
    raise NoSuchRelease(f"CHANGELOG.md has no section {name.removeprefix('v')}; it has {known}")


def release_notes(section: Section, tree_url: str | None) -> str:
    """Markdown for the page of a release.

    :param tree_url: where the files of this release are on the web, such as
        ``https://github.com/o/r/blob/v0.2.0``: links to files lead there. None leaves them.
    """
    if tree_url is None:
        return f"{section.body}\n"

    def lead(link: re.Match[str]) -> str:
        target = link["target"]
        if not _ABSOLUTE.match(target):
            target = f"{tree_url}/{target}"
        return f"{link['before']}{target})"

    return f"{_LINK.sub(lead, section.body)}\n"


def debian_changelog(
    sections: list[Section], package: str, current: str, version: str, date: datetime, who: str
) -> str:
    """The changelog as deb-changelog(5) has it.

    Its first entry is for the package that is built. Older sections follow where they have a date,
    which an entry must have.

    :param current: the name of the section that the package is of.
    :param version: the package's.
    """
    entries = []
    newest = find_section(sections, current)
    entries.append(_entry(package, version, newest, date, who))
    for section in sections[sections.index(newest) + 1 :]:
        if section.date is not None and section.body:
            entries.append(_entry(package, f"{section.name}-1", section, section.date, who))
    return "\n".join(entries)


def _entry(package: str, version: str, section: Section, date: datetime, who: str) -> str:
    lines = "\n".join(_plain(section.body))
    head = f"{package} ({version}) unstable; urgency=medium"
    return f"{head}\n\n{lines}\n\n -- {who}  {format_datetime(date)}\n"


def _plain(markdown: str) -> Iterator[str]:
    for line in markdown.splitlines():
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", line).replace("`", "").strip()
        if text.startswith("### "):
            yield from ("", f"  [ {text[4:]} ]")
        elif found := re.fullmatch(r"\*\*(.+)\*\*", text):
            yield f"  [ {found[1]} ]"
        elif text:
            text = text.removeprefix("- ").replace("**", "")
            yield from textwrap.wrap(text, _WIDTH, initial_indent="  * ", subsequent_indent="    ")
