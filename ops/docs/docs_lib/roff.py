"""Writes a page of the manual in the macros of man(7)."""

import re
import textwrap

_WIDTH = 79
_ESCAPES = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    '"': "\\(dq",
}
"""So that these are shown as they are typed in a shell."""


class ManPage:
    """A page, section by section."""

    def __init__(self, name: str, section: int, version: str, manual: str) -> None:
        self._lines = [
            '.\\" Made by ops/docs/run: changes here would be lost.',
            f'.TH "{escaped(name.upper())}" "{section}" "" "{escaped(version)}" "{manual}"',
            ".nh",
            ".ad l",
        ]

    def heading(self, text: str) -> None:
        """A section begins."""
        self._lines.append(f".SH {escaped(text.upper())}")

    def subheading(self, text: str) -> None:
        """A part of a section begins."""
        self._lines.append(f'.SS "{escaped(text)}"')

    def text(self, text: str) -> None:
        """A paragraph in the prose of this project: `code` and --options are set bold."""
        self._begin_paragraph()
        self._fill(inline(text))

    def line(self, marked: str) -> None:
        """A line that is roff already, by itself."""
        self._begin_paragraph()
        self._lines.append(marked)

    def item(self, tag: str, text: str) -> None:
        """An entry of a list; the tag is roff already."""
        self._lines += [".TP", tag]
        self._fill(inline(text))

    def more(self, text: str) -> None:
        """A further paragraph of the entry before."""
        self._lines.append(".IP")
        self._fill(inline(text))

    def render(self) -> str:
        """The page's source."""
        return "\n".join(self._lines) + "\n"

    def _begin_paragraph(self) -> None:
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")

    def _fill(self, marked: str) -> None:
        words = textwrap.wrap(marked, _WIDTH, break_long_words=False, break_on_hyphens=False)
        # A line that begins so would be a request.
        self._lines += [f"\\&{one}" if one[0] in ".'" else one for one in words]


def escaped(text: str) -> str:
    """Plain text as roff."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def bold(text: str) -> str:
    """Plain text in bold."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """Plain text in italics, or underlined: what stands for something else."""
    return f"\\fI{escaped(text)}\\fR"


def _breakable(text: str) -> str:
    """Roff in which long URLs may be broken behind their separators."""
    return re.sub(r"\S+://\S{40,}", lambda url: re.sub(r"[/?&](?=\w)", r"\g<0>\\:", url[0]), text)


def inline(text: str) -> str:
    """Prose, with `code` and --options in bold."""
    words = re.sub(r"\s+", " ", text).strip()
    parts = re.split(r"(`[^`]+`|(?<![\w-])--[a-z][a-z-]*[a-z])", words)
    return "".join(
        bold(part.strip("`"))
        if part.startswith(("`", "--")) and len(part) > 2
        else _breakable(escaped(part))
        for part in parts
    )
