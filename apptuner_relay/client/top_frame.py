"""What `top` shows: a frame of lines, for any width and height. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from apptuner_relay.client.printable import printable
from apptuner_relay.client.relay_figures import RelayFigures
from apptuner_relay.client.session_list import (
    UNKNOWN,
    bundle_of,
    clients_of,
    marks_of,
    seconds_or_unknown,
)
from apptuner_relay.client.session_records import SessionRecord
from apptuner_relay.client.tables import LineKind, TableText, folded, table_lines
from apptuner_relay.support.units import show_bytes, show_duration, show_memory

BUSY = "busy"
"""The order in which sessions stand unless somebody wants another: what is sent to them now."""
MOST_SESSIONS = 10
"""That are shown where the height is not given."""

_GAP = "   "
_MOST_WARNINGS = 4
_MOST_TEXT = 300
_LEVELS = {"warning": "red", "notice": "yellow"}
_STYLES = {LineKind.TITLES: "bold", LineKind.RULE: "dim"}
_TITLES = ("session", "clients", "phones", "sending", "reload", "last bundle", "")
_LEFT = (0, 1, 2, 5, 6)

Measure = Callable[[str], int]
"""How many columns of a terminal a text takes."""


class FrameLine(NamedTuple):
    """A line, with its style. The text is printable."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class TopView:
    """What there is to show."""

    figures: RelayFigures
    sessions: Sequence[SessionRecord]
    """In order, the first ones first."""
    rates: Mapping[str, float]
    """What is sent to them now, in bytes per second, as far as it is known."""
    order: str
    every_s: float
    keys: bool = False
    """Whether somebody can press keys."""
    away: str | None = None
    """Why the relay does not answer any more, in words."""
    note: str | None = None
    """What else has happened to it."""
    zone: tzinfo | None = None
    """Of times of day; None for this machine's."""


def frame(
    view: TopView, width: int, height: int | None = None, *, measure: Measure = len, rule: str = "─"
) -> list[FrameLine]:
    """The lines of a frame; no more than `height`, where that is given."""
    head = [*_head(view, width, measure), *_warnings(view, width, measure)]
    foot = [FrameLine(_keys(view, width), "dim")] if view.keys else []
    events = _events(view, width, measure)
    if height is None:
        return [*head, *_table(view, MOST_SESSIONS, width, measure, rule), *events]
    room = max(0, height - len(head) - len(foot))
    table: list[FrameLine] = []
    for count in range(min(len(view.sessions), room), -1, -1):
        table = _table(view, count, width, measure, rule)
        # Events get what sessions leave, and two lines in five where both have more to show.
        if room - len(table) >= min(len(events), room * 2 // 5):
            break
    body = [*table, *events][:room]
    return [*head, *body, *[FrameLine("")] * (room - len(body)), *foot][:height]


def _head(view: TopView, width: int, measure: Measure) -> Iterator[FrameLine]:
    now = view.figures
    state = now.state if now.state == "ok" else f"{now.state}: {'; '.join(now.reasons) or '?'}"
    title = f"{now.node}  {now.version}, up {show_duration(now.uptime_s)}, {state}"
    yield from _said(title, "bold" if now.state == "ok" else "bold yellow", width, measure)
    if view.away is not None:
        yield from _said(view.away, "bold red", width, measure)
    if view.note is not None:
        yield from _said(view.note, "yellow", width, measure)
    yield FrameLine("")
    style = "" if view.away is None else "dim"
    for line in packed(list(_figures(now)), width, measure):
        yield FrameLine(line, style)


def _figures(now: RelayFigures) -> Iterator[str]:
    roles = ", ".join(f"{count:,} {role}" for role, count in now.connections.items() if count)
    yield f"sessions {now.sessions:,}" + (f" ({roles})" if roles else "")
    yield f"bundles {_or_unknown(now.bundles_per_min, '{:,}/min')}"
    yield f"sending {_rate(now.sending_bytes_per_s)}"
    yield f"reload {_reload(now)}"
    memory = UNKNOWN if now.memory_bytes is None else show_memory(now.memory_bytes)
    if now.memory_limit_bytes is not None:
        memory += f" of {show_memory(now.memory_limit_bytes)}"
    yield f"memory {memory}"
    yield f"loop lag {_or_unknown(now.loop_lag_ms, '{:.1f} ms')}"
    busy = "" if now.busy_share is None else f" (busy {now.busy_share:.0%})"
    yield f"CPU {_or_unknown(now.cpu_share, '{:.0%}')}{busy}"


def _reload(now: RelayFigures) -> str:
    reload = now.reload
    if reload is None:
        return UNKNOWN
    if reload.median_s is None:
        text = "none today"
    else:
        text = f"{reload.median_s:.2f} s median, {seconds_or_unknown(reload.p95_s)} p95"
        if reload.count is not None:
            text += f", {reload.count:,} today"
    return f"{text}, {_or_unknown(reload.failed, '{:,}')} failed"


def _or_unknown(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)


def _rate(bytes_per_s: float | None) -> str:
    return UNKNOWN if bytes_per_s is None else f"{show_bytes(round(bytes_per_s))}/s"


def _warnings(view: TopView, width: int, measure: Measure) -> Iterator[FrameLine]:
    warnings = view.figures.warnings
    if not warnings:
        return
    yield FrameLine("")
    for one in warnings[:_MOST_WARNINGS]:
        level, text = str(one.get("level")), str(one.get("text"))
        yield from _said(f"{level}: {text}", _LEVELS.get(level, ""), width, measure)
    if len(warnings) > _MOST_WARNINGS:
        yield FrameLine(f"and {len(warnings) - _MOST_WARNINGS} more")


def _table(view: TopView, count: int, width: int, measure: Measure, rule: str) -> list[FrameLine]:
    if count <= 0:
        return []
    shown = view.sessions[:count]
    if not shown:
        return [FrameLine(""), FrameLine("no session is connected", "dim")]
    rows = [[printable(cell) for cell in _row(one, view)] for one in shown]
    table = TableText(_TITLES, rows, _LEFT)
    lines = table_lines(table, width, measure=measure, rule=rule)
    found = [FrameLine(line.text, _STYLES.get(line.kind, "")) for line in lines]
    # It ends with an empty line, and the events begin with one.
    return found[:-1]


def _row(session: SessionRecord, view: TopView) -> tuple[str, ...]:
    return (
        session.session,
        clients_of(session),
        ", ".join(session.devices),
        _rate(view.rates.get(session.session)),
        seconds_or_unknown(session.reload_s),
        bundle_of(session),
        marks_of(session),
    )


def _events(view: TopView, width: int, measure: Measure) -> list[FrameLine]:
    events = view.figures.events
    lines = [FrameLine("")]
    if events is None:
        lines += _said(f"events {UNKNOWN}", "dim", width, measure)
    elif not events:
        lines.append(FrameLine("no events yet", "dim"))
    for event in events or ():
        style = _LEVELS.get(str(event.get("level")), "")
        lines += _said(event_text(event, view.zone), style, width, measure)
    return lines


def event_text(event: Mapping[str, Any], zone: tzinfo | None = None) -> str:
    """An event in a line: `09:21:05 8c640c4e Pixel 9 connected`."""
    try:
        at = datetime.fromtimestamp(event["at_ms"] / 1000, zone).strftime("%H:%M:%S")
    except (OverflowError, OSError, ValueError):
        at = "?"
    session = event.get("session")
    where = f"{session} " if isinstance(session, str) else ""
    text = str(event.get("text"))
    # Texts begin with the session as the log's lines do, which stands there already.
    return f"{at} {where}{text.removeprefix(f'session {session}: ')}"


def _keys(view: TopView, width: int) -> str:
    long = f"q quits, s sorts (now: {view.order}); every {view.every_s:g} s"
    return long if len(long) <= width else "q quits, s sorts"[:width]


def _said(text: str, style: str, width: int, measure: Measure) -> Iterator[FrameLine]:
    for line in folded(printable(text, limit=_MOST_TEXT), width, measure=measure):
        yield FrameLine(line, style)


def packed(items: Sequence[str], width: int, measure: Measure = len) -> list[str]:
    """Items side by side, in as many lines as it takes; one longer than a line is folded."""
    lines: list[str] = []
    for item in items:
        longer = f"{lines[-1]}{_GAP}{item}" if lines else item
        if lines and measure(longer) <= width:
            lines[-1] = longer
        else:
            lines += folded(item, width, measure=measure)
    return lines
