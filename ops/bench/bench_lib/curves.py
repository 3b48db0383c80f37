"""Curves: as SVG, a panel for each figure, and as a line of text. Both begin at zero, so that what
is flat looks flat. Pure."""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import NamedTuple

from .plot import STYLE
from .table import number

_WIDTH, _HEIGHT, _MARGIN, _HEAD = 760, 150, 56, 70
_TITLE = 24
_STEPS = "▁▂▃▄▅▆▇█"
_LINE = ".line { fill: none; stroke: #0969da; stroke-width: 1.5; } .axis { stroke: #afb8c1; }"


class Curve(NamedTuple):
    """One figure, at each of some x."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]]

    @property
    def most(self) -> float:
        """The highest of its values; 0 without any."""
        return max((y for _, y in self.points), default=0.0)

    @property
    def least(self) -> float:
        """The lowest of its values; 0 without any."""
        return min((y for _, y in self.points), default=0.0)


def line(curve: Curve, columns: int = 60) -> str:
    """The curve as a line of text: the highest value of each column, drawn from zero on."""
    points, most = curve.points, curve.most or 1.0
    columns = min(columns, len(points))
    drawn = ""
    for column in range(columns):
        start, stop = (len(points) * at // columns for at in (column, column + 1))
        highest = max(y for _, y in points[start:stop])
        drawn += _STEPS[round(max(highest, 0.0) / most * (len(_STEPS) - 1))]
    return (
        f"{curve.title:<24} {drawn} {number(curve.least)} to {number(curve.most)} {curve.unit}"
    ).rstrip()


def svg(title: str, note: str, x_title: str, curves: Sequence[Curve], log_x: bool = False) -> str:
    """The curves, one below the other.

    :param log_x: whether x is drawn in powers of ten; all of it is above 0 then.
    """
    total = _HEAD + len(curves) * (_HEIGHT + _MARGIN + _TITLE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}" '
        f'width="{_WIDTH}" height="{total}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}{_LINE}</style>",
        _text(_MARGIN, 30, title, "head"),
        _text(_MARGIN, 52, note, "note"),
    ]
    for at, curve in enumerate(curves):
        top = _HEAD + at * (_HEIGHT + _MARGIN + _TITLE)
        parts += _panel(curve, top, x_title, log_x)
    return "\n".join([*parts, "</svg>", ""])


def _panel(curve: Curve, top: float, x_title: str, log_x: bool) -> list[str]:
    bottom = top + _TITLE + _HEIGHT
    right = _WIDTH - _MARGIN
    parts = [
        _text(_MARGIN, top + 14, f"{curve.title}, {curve.unit}", "title"),
        f'<path class="axis line" d="M{_MARGIN} {top + _TITLE} V{bottom} H{right}"/>',
        _text(4, top + _TITLE + 10, number(curve.most), "note"),
        _text(4, bottom, "0", "note"),
    ]
    if not curve.points:
        return [*parts, _text(_MARGIN + 8, bottom - 8, "not measured", "note")]
    xs = [log10(x) if log_x else x for x, _ in curve.points]
    span = (xs[-1] - xs[0]) or 1.0
    most = curve.most or 1.0
    places = " ".join(
        f"{_MARGIN + (x - xs[0]) / span * (right - _MARGIN):.1f},"
        f"{bottom - max(y, 0.0) / most * _HEIGHT:.1f}"
        for x, (_, y) in zip(xs, curve.points, strict=True)
    )
    first, last = number(curve.points[0][0]), number(curve.points[-1][0])
    return [
        *parts,
        f'<polyline class="line" points="{places}"/>',
        _text(_MARGIN, bottom + 16, first, "note"),
        _text(right - 40, bottom + 16, last, "note"),
        _text((_MARGIN + right) / 2 - 40, bottom + 16, x_title, "note"),
    ]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
