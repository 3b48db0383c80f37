"""The table of medians as text."""

from .peers import LEAN, Peer
from .results import Results
from .targets import Verdict


def number(value: float) -> str:
    """Three significant digits, large ones in full."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def cell(results: Results, peer: str, case: str, figure: str) -> str:
    """The median, and beside it the ratio to lean Node's."""
    value = results.median(peer, case, figure)
    if value is None:
        return "-"
    base = results.median(LEAN, case, figure)
    if not base or base < 0 or value < 0:
        return number(value)
    return f"{number(value)} ({number(value / base)})"


def table(results: Results, peers: list[Peer], verdicts: list[Verdict]) -> str:
    """A line for each figure, a column for each server, what the targets say at the end."""
    rows = [["median (ratio to lean Node)", "unit", *(peer.title for peer in peers), "target"]]
    for case in results.cases:
        for figure in case.figures:
            said = [
                verdict.short()
                for verdict in verdicts
                if (verdict.target.case, verdict.target.figure) == (case.name, figure.name)
            ]
            cells = [cell(results, peer.name, case.name, figure.name) for peer in peers]
            rows.append([figure.title, figure.unit, *cells, said[0] if said else ""])
            rows += [["", "", *("" for _ in peers), more] for more in said[1:]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        middle = [text.rjust(width) for text, width in zip(row[2:-1], widths[2:-1], strict=True)]
        lines.append("  ".join([*left, *middle, row[-1]]).rstrip())
    lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def machine(facts: dict[str, str]) -> str:
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items())
