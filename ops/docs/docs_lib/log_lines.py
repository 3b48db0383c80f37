# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/reference/log-lines.md: every line that the relay logs, from the calls of its loggers.

The code has the lines, and the page itself has what they mean: of each line that is still there,
or nearly so, its meaning stays; a new one has `UNKNOWN` for it, until somebody writes it into the
page.
"""

import ast
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGE = REPOSITORY / "apptuner_relay"
PATH = "docs/reference/log-lines.md"
UNKNOWN = "?"
"""The meaning of a line for which nobody has written one."""
_ALIKE = 0.6
"""How much of a line has to be the same for its meaning to stay."""

INTRODUCTION = """\
# Log lines

Every line that the relay logs, with its level. Words in braces are filled in; with `--log-format json` they are fields of the line as well, beside `time`, `level`, `logger` and `message`. A session is named by the first 8 hex digits of the SHA-256 of its id, as on the status page. Where anybody could cause a line again and again, it is logged once in 10 seconds, with a count.

As text, a line begins with the time and `[LOGGER#LEVEL]`. Levels: info for the record; warn for something to look at; error and critical for something to act on. Nothing to do is shown as –. `ops/docs/run` makes this page from the code; it keeps the meanings that stand here.
"""
FAULTS = """\
## Faults

Lines with a traceback, at level critical: something has failed that nobody has thought of. The relay goes on as the last column says. Report them with the traceback.

| line | what goes on |
|---|---|
"""
TITLES = {
    "tap": "Start and stop",
    "relay": "Clients and sessions",
    "access": "Access and claims",
    "edge": "Listening and TLS",
    "web": "HTTP",
    "spool": "Spool",
    "flow": "Flow",
    "operator": "Metrics, warnings and the log itself",
    "cluster": "Cluster",
    "managed": "Managed services",
}
_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "error": "error",
    "critical": "critical",
}


class Line(NamedTuple):
    """A call of a logger."""

    room: str
    level: str
    """``failure`` for one with a traceback, ``info or warn`` where the call decides."""
    text: str
    kind: str = ""
    """The field by which lines with the same text differ."""

    @property
    def shown(self) -> str:
        """How the page names it."""
        return f"`{self.text}`" + (f" (`kind` is `{self.kind}`)" if self.kind else "")


def lines() -> Iterator[Line]:
    """All of them, in the order of parts and modules."""
    seen = set()
    for room in TITLES:
        files = [PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))]
        for file in files:
            if file.exists():
                for line in _lines_of(room, ast.parse(file.read_text("utf-8"))):
                    if line not in seen:
                        seen.add(line)
                        yield line


def rooms_that_log() -> set[str]:
    """The rooms and modules of the package that have a logger."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if any(True for _ in _lines_of(room, ast.parse(file.read_text("utf-8")))):
            found.add(room)
    return found


def _lines_of(room: str, module: ast.Module) -> Iterator[Line]:
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in _calls(function):
                for text in _texts(call.first, function, module):
                    yield Line(room, call.level, text, call.kind)
    # Events that are made by hand.
    for node in ast.walk(module):
        if isinstance(node, ast.Dict):
            fields = {
                key.value: value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            text, level = fields.get("log_format"), fields.get("log_level")
            if isinstance(text, ast.Constant) and isinstance(level, ast.Attribute):
                yield Line(room, level.attr, str(text.value))


class _Call(NamedTuple):
    level: str
    first: ast.expr
    kind: str


def _calls(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[_Call]:
    """The calls of a logger in ``function`` itself, not in those within it."""
    nested = {
        id(node)
        for inner in ast.walk(function)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner is not function
        for node in ast.walk(inner)
    }
    for node in ast.walk(function):
        if (
            id(node) in nested
            or not isinstance(node, ast.Call)
            or not isinstance(node.func, ast.Attribute)
        ):
            continue
        whose, name = ast.unparse(node.func.value), node.func.attr
        if not re.search(r"(?:^|[._])log$|Logger\(\)$", whose):
            continue
        kind = next(
            (
                str(word.value.value)
                for word in node.keywords
                if word.arg == "kind" and isinstance(word.value, ast.Constant)
            ),
            "",
        )
        if name in _LEVELS or name == "failure":
            yield _Call(name, node.args[0], kind if _is_bare(node.args[0]) else "")
        elif name == "emit":
            yield _Call("info or warn", node.args[1], "")


def _is_bare(text: ast.expr) -> bool:
    """Whether a text is nothing but fields."""
    return isinstance(text, ast.Constant) and not re.sub(r"\{\w+\}|\W", "", str(text.value))


def _texts(
    first: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef, module: ast.Module
) -> Iterator[str]:
    """The text that a call logs. Where it is a parameter of the function, those that the function
    is called with."""
    if isinstance(first, ast.Constant):
        yield str(first.value)
        return
    names = [argument.arg for argument in function.args.args]
    if not isinstance(first, ast.Name) or first.id not in names:
        raise ValueError(f"{ast.unparse(first)} in {function.name}: the line is no literal")
    at = names.index(first.id) - (names[0] == "self")
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == function.name
        ):
            text = node.args[at]
            if not isinstance(text, ast.Constant):
                raise ValueError(f"{ast.unparse(node)}: the line is no literal")
            yield str(text.value)


def render() -> str:
    """The page, with the meanings of the page that is there."""
    page = REPOSITORY / PATH
    return render_with(page.read_text("utf-8") if page.exists() else "")


def render_with(before: str) -> str:
    """The page, with the meanings of the one before."""
    meanings = _Meanings(before)
    all_lines = list(lines())
    cells = meanings.of(all_lines)
    parts = [INTRODUCTION]
    for room, title in TITLES.items():
        rows = [
            f"| {line.level} | {line.shown} | {' | '.join(cells[line])} |"
            for line in all_lines
            if line.room == room and line.level != "failure"
        ]
        if rows:
            head = "| level | line | meaning | what to do |\n|---|---|---|---|\n"
            parts.append(f"## {title}\n\n{head}" + "\n".join(rows) + "\n")
    faults = [line for line in all_lines if line.level == "failure"]
    parts.append(
        FAULTS + "\n".join(f"| {line.shown} | {cells[line][0]} |" for line in faults) + "\n"
    )
    return "\n".join(parts)


class _Meanings:
    """What a page says of its lines."""

    def __init__(self, page: str) -> None:
        self._lines: dict[str, list[str]] = {}
        self._faults: dict[str, list[str]] = {}
        for row in re.findall(r"(?m)^\| (.*) \|$", page):
            cells = row.split(" | ")
            if len(cells) == 4 and cells[1].startswith("`"):
                self._lines[cells[1]] = cells[2:]
            elif len(cells) == 2 and cells[0].startswith("`"):
                self._faults[cells[0]] = cells[1:]

    def of(self, all_lines: list[Line]) -> dict[Line, list[str]]:
        """The cells of each line."""
        found: dict[Line, list[str]] = {}
        for is_fault, known in ((False, self._lines), (True, self._faults)):
            those = [line for line in all_lines if (line.level == "failure") == is_fault]
            unknown = [UNKNOWN] if is_fault else [UNKNOWN, UNKNOWN]
            names = {line.shown for line in those}
            # One that has a meaning of its own lends it to no other.
            free = [name for name in known if name not in names]
            for line in those:
                name = line.shown
                if name not in known:
                    alike = max(free, key=lambda one: _likeness(one, name), default="")
                    if alike and _likeness(alike, name) >= _ALIKE:
                        free.remove(alike)
                        name = alike
                found[line] = known.get(name, unknown)
        return found


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
