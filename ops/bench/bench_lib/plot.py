"""The table as a picture: a panel for each figure, a bar for each server.  SVG, written by
hand, without fonts or scripts from elsewhere."""

from html import escape

from .cases import Figure
from .peers import LEAN, RELAY, Peer
from .results import Results
from .table import number

COLUMNS = 3
PANEL_WIDTH = 400
LABEL_WIDTH = 112
VALUE_WIDTH = 110
BAR_HEIGHT = 15
BAR_GAP = 5
TITLE_HEIGHT = 42
MARGIN = 20
HEAD_HEIGHT = 70

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.head { font-size: 18px; font-weight: 600; }
.note { fill: #57606a; }
.title { font-weight: 600; }
.bar { fill: #afb8c1; }
.base { fill: #6e7781; }
.relay { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  text { fill: #e6edf3; } .note { fill: #8d96a0; }
  .bar { fill: #484f58; } .base { fill: #8d96a0; } .relay { fill: #4493f8; }
}
"""


def svg(results: Results, peers: list[Peer], machine: dict[str, str], rounds: int) -> str:
    panels = [(case, figure) for case in results.cases for figure in case.figures]
    height = TITLE_HEIGHT + len(peers) * (BAR_HEIGHT + BAR_GAP) + MARGIN
    rows = -(-len(panels) // COLUMNS)
    width = COLUMNS * (PANEL_WIDTH + MARGIN) + MARGIN
    total = HEAD_HEIGHT + rows * height + MARGIN
    note = f"{machine['cpu']}; {machine['cores']}; {machine['date']}; relay {machine['relay']}"
    of = f"medians of {rounds} rounds" if rounds > 1 else "a single round"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" '
        f'width="{width}" height="{total}" role="img">',
        f"<title>AppTuner Relay and its peers</title><style>{STYLE}</style>",
        _text(MARGIN, 30, f"AppTuner Relay and its peers, {of}", "head"),
        _text(MARGIN, 52, f"Ratio to lean Node in brackets. {note}", "note"),
    ]
    for i, (case, figure) in enumerate(panels):
        x = MARGIN + i % COLUMNS * (PANEL_WIDTH + MARGIN)
        y = HEAD_HEIGHT + i // COLUMNS * height
        taking_part = [peer for peer in peers if not case.only or peer.name in case.only]
        parts += _panel(results, taking_part, case.name, figure, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    results: Results, peers: list[Peer], case: str, figure: Figure, x: int, y: int
) -> list[str]:
    better = "less is better" if figure.lower_is_better else "more is better"
    parts = [
        _text(x, y + 14, figure.title, "title"),
        _text(x, y + 30, f"{figure.unit}, {better}", "note"),
    ]
    values = {peer.name: results.median(peer.name, case, figure.name) for peer in peers}
    most = max((value for value in values.values() if value is not None), default=0) or 1
    base = values.get(LEAN)
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    for row, peer in enumerate(peers):
        top = y + TITLE_HEIGHT + row * (BAR_HEIGHT + BAR_GAP)
        baseline = top + BAR_HEIGHT - 3
        parts.append(_text(x, baseline, peer.title))
        value = values[peer.name]
        if value is None:
            parts.append(_text(x + LABEL_WIDTH, baseline, "not measured", "note"))
            continue
        length = max(1.0, room * max(value, 0) / most)
        kind = {RELAY: "relay", LEAN: "base"}.get(peer.name, "bar")
        parts.append(
            f'<rect class="{kind}" x="{x + LABEL_WIDTH}" y="{top}" '
            f'width="{length:.1f}" height="{BAR_HEIGHT}"/>'
        )
        said = number(value)
        if base and base > 0 and value >= 0:
            said += f" ({number(value / base)})"
        parts.append(_text(x + LABEL_WIDTH + length + 6, baseline, said))
    return parts


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:.1f}" y="{y}">{escape(text)}</text>'
