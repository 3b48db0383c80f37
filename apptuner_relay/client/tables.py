"""Tables that fit a width: titles fold first, then texts, then the table itself. Pure.

A table that is still too wide is told in several, one below the other, each with the first column.
No figure is ever cut or broken: one cut short is a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

_GAP, _TIGHT_GAP = 3, 2
"""Blanks between two columns, in a table that fits as it is, and in one that has to be folded."""
_INDENT = 2
"""Of the lines that go on with a text."""
_NARROWEST_TEXT = 12
"""A column of texts is not folded further than that, if its words aren't longer."""

Measure = Callable[[str], int]
"""How many columns of a terminal a text takes."""


class LineKind(Enum):
    """What a line of a table is."""

    TITLES = auto()
    RULE = auto()
    CELLS = auto()
    TOTAL = auto()
    BLANK = auto()


class TableLine(NamedTuple):
    """A line of a table, without blanks at its end."""

    kind: LineKind
    text: str


class TableText(NamedTuple):
    """What is in a table."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Collection[int] = (0,)
    """The columns of texts, which stand at the left and may be folded. The others are figures."""
    total: bool = False
    """Whether the last row stands apart."""


def table_lines(
    table: TableText, width: int, *, measure: Measure = len, rule: str = "─"
) -> Iterator[TableLine]:
    """The lines of a table that is at most `width` columns wide, unless a figure alone is wider.

    Every table begins and ends with a blank line.
    """
    columns = [_Column(table, index, measure) for index in range(len(table.titles))]
    natural = sum(column.natural for column in columns) + _GAP * (len(columns) - 1)
    gap = _GAP if natural <= width else _TIGHT_GAP
    for band in _bands(columns, width, gap):
        yield TableLine(LineKind.BLANK, "")
        yield from _band_lines(table, band, gap, measure, rule)
    yield TableLine(LineKind.BLANK, "")


def folded(text: str, width: int, *, measure: Measure = len, indent: int = _INDENT) -> list[str]:
    """A text in lines of at most `width`, broken at blanks, and in words that are longer still.

    All but the first line are indented.
    """
    further = " " * min(indent, width // 4)
    lines: list[str] = []
    lead, line = "", ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(lead + longer) <= width:
            line = longer
            continue
        if line:
            lines.append(lead + line)
            lead = further
        line = word
        while measure(lead + line) > width and len(line) > 1:
            at = _fitting(line, width - len(lead), measure)
            lines.append(lead + line[:at])
            lead, line = further, line[at:]
    return [*lines, lead + line]


def _fitting(text: str, width: int, measure: Measure) -> int:
    """How many characters of a text fit: one at least, and not all."""
    return next((n for n in range(len(text) - 1, 1, -1) if measure(text[:n]) <= width), 1)


class _Column:
    """How wide a column wants to be, and how narrow it can be."""

    def __init__(self, table: TableText, index: int, measure: Measure) -> None:
        self.index = index
        self.is_text = index in table.left
        title = table.titles[index]
        cells = [row[index] for row in table.rows]
        widest_cell = max(map(measure, cells), default=0)
        self.natural = max(measure(title), widest_cell)
        words = title.split(" ") + ([w for cell in cells for w in cell.split(" ")])
        if self.is_text:
            longest_word = max(map(measure, words))
            self.least = min(self.natural, max(longest_word + _INDENT, _NARROWEST_TEXT))
        else:
            self.least = max(widest_cell, max(map(measure, title.split(" "))))


class _Placed(NamedTuple):
    number: int
    """Of the column in the table, from 0."""
    width: int
    is_text: bool


def _bands(columns: Sequence[_Column], width: int, gap: int) -> list[list[_Placed]]:
    """Which columns stand side by side, and how wide they are. As few bands as can be, and none of
    them much wider than the others."""
    split = _split(columns, width, gap)
    for narrower in range(width - 1, 0, -1):
        closer = _split(columns, narrower, gap)
        if len(closer) > len(split):
            break
        split = closer
    return [_stretched(band, width, gap) for band in split]


def _split(columns: Sequence[_Column], width: int, gap: int) -> list[list[_Column]]:
    key, *others = columns
    bands: list[list[_Column]] = [[key]]
    for column in others:
        if len(bands[-1]) > 1 and _least_width([*bands[-1], column], gap) > width:
            bands.append([key])
        bands[-1].append(column)
    return bands


def _least_width(columns: Sequence[_Column], gap: int) -> int:
    return sum(column.least for column in columns) + gap * (len(columns) - 1)


def _stretched(columns: Sequence[_Column], width: int, gap: int) -> list[_Placed]:
    """Give what is left of the width to those that would be folded most."""
    widths = [column.least for column in columns]
    spare = width - _least_width(columns, gap)
    if spare < 0 and columns[0].is_text:
        # The other column is a figure, or a long word.
        widths[0] = max(widths[0] + spare, min(widths[0], _NARROWEST_TEXT // 2))
    while spare > 0:
        wants = [at for at, one in enumerate(columns) if widths[at] < one.natural]
        if not wants:
            break
        widths[max(wants, key=lambda at: columns[at].natural / widths[at])] += 1
        spare -= 1
    return [_Placed(one.index, widths[at], one.is_text) for at, one in enumerate(columns)]


def _band_lines(
    table: TableText, band: Sequence[_Placed], gap: int, measure: Measure, rule: str
) -> Iterator[TableLine]:
    line = rule * (sum(column.width for column in band) + gap * (len(band) - 1))
    for text in _row_lines(table.titles, band, gap, measure, at_bottom=True):
        yield TableLine(LineKind.TITLES, text)
    yield TableLine(LineKind.RULE, line)
    for number, row in enumerate(table.rows):
        is_total = table.total and number == len(table.rows) - 1
        if is_total and number:
            yield TableLine(LineKind.RULE, line)
        for text in _row_lines(row, band, gap, measure, at_bottom=False):
            yield TableLine(LineKind.TOTAL if is_total else LineKind.CELLS, text)


def _row_lines(
    row: Sequence[str], band: Sequence[_Placed], gap: int, measure: Measure, *, at_bottom: bool
) -> Iterator[str]:
    """The lines of one row. Titles stand at the bottom, where they have fewer lines than others."""
    cells = []
    for column in band:
        text = row[column.number]
        if column.is_text:
            cells.append(folded(text, column.width, measure=measure))
        elif at_bottom:
            cells.append(folded(text, column.width, measure=measure, indent=0))
        else:
            cells.append([text])
    height = max(map(len, cells))
    for number in range(height):
        parts = []
        for column, cell in zip(band, cells, strict=True):
            at = number - (height - len(cell)) if at_bottom else number
            text = cell[at] if 0 <= at < len(cell) else ""
            blanks = " " * (column.width - measure(text))
            parts.append(text + blanks if column.is_text else blanks + text)
        yield (" " * gap).join(parts).rstrip()
