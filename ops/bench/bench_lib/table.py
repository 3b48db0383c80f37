"""The tables of medians and of targets as text."""

from .peers import BEFORE, BUN, FLOOR, LEAN, RELAY, Peer
from .results import Results
from .targets import Verdict

BASELINES = (LEAN, BUN, FLOOR, BEFORE)
"""The servers that the relay's figures are divided by."""


def number(value: float) -> str:
    """Three significant digits, large ones in full."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def baselines(peers: list[Peer]) -> list[Peer]:
    """Those that this run can compare the relay with."""
    names = {peer.name: peer for peer in peers}
    return [names[name] for name in BASELINES if name in names and RELAY in names]


def table(results: Results, peers: list[Peer]) -> str:
    """A line for each figure, a column for each server, and then the relay's ratios."""
    bases = baselines(peers)
    heads = [*(peer.title for peer in peers), *(f"÷ {base.title}" for base in bases)]
    rows = [["medians", "unit", *heads]]
    for case in results.cases:
        for figure in case.figures:
            values = [results.median(peer.name, case.name, figure.name) for peer in peers]
            values += [results.ratio(RELAY, b.name, case.name, figure.name) for b in bases]
            rows.append([figure.title, figure.unit, *map(_cell, values)])
    return aligned(rows, left=2)


def targets(verdicts: list[Verdict], peers: list[Peer]) -> str:
    """A line for each target: this relay's figure, what it is compared with, their ratio, and the
    earlier build's figure in the same terms."""
    titles = {peer.name: peer.title for peer in peers}
    earlier = BEFORE in titles
    head = ["targets", "unit", "this relay", "beside", "", "ratio"]
    rows = [[*head, *(["before"] if earlier else []), "target", "issue", ""]]
    for verdict in sorted(verdicts, key=lambda v: -v.target.issue):
        target = verdict.target
        row = [verdict.title, verdict.unit, _cell(verdict.value)]
        if not target.against:
            row += ["", "", ""]
        elif target.server:
            row += [_cell(verdict.base), titles.get(target.server, target.server)]
            row += [_cell(verdict.measured)]
        else:
            own = target.against.removeprefix(f"{target.case}/")
            row += [_cell(verdict.base), own, _cell(verdict.measured)]
        row += [_cell(verdict.before)] if earlier else []
        rows.append([*row, f"{verdict.sign} {target.limit:g}", str(target.issue), verdict.says()])
    return aligned(rows, left=2, left_too=(4, len(rows[0]) - 1))


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


def aligned(rows: list[list[str]], left: int, left_too: tuple[int, ...] = ()) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if i < left or i in left_too else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def machine(facts: dict[str, str]) -> str:
    width = max(map(len, facts))
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in facts.items())
