"""Makes text from the wire safe to print. Pure.

A terminal obeys what it is sent: escape sequences can rewrite what was printed before, set the
window's title, even answer as if typed. Every text that another client or a relay wrote goes
through `printable` before it is shown.
"""

from __future__ import annotations

import json
import unicodedata

MAX_SHOWN_CHARACTERS = 20_000
"""Of one text; the rest is only counted."""

_CATEGORIES_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls, invisible formatting (text direction among it), lone surrogates, odd line ends."""

_JOINERS = "\u200c\u200d"
"""Formatting that belongs to how emoji and some scripts are written, and can do no harm."""


def printable(text: str, *, lines: bool = False, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """`text` with everything a terminal could act on spelled out as an escape.

    With `lines`, line feeds stay, and each continued line is indented, so that no text can pass
    for a line of this program's own.
    """
    shown = text[:limit]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(_shown(character, lines) for character in shown)
    if len(text) > limit:
        shown += f" … ({len(text) - limit:,} more characters)"
    return shown


def printable_json(value: object, *, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """A JSON value for a reader: a string as it is, anything else as JSON, made safe."""
    if isinstance(value, str):
        return printable(value, lines=True, limit=limit)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        text = "(nested too deeply to show)"
    return printable(text, limit=limit)


def json_line(value: object) -> str:
    """A JSON value on one line of ASCII without control characters, for other programs.

    Raises `ValueError` for a value nested too deeply to print.
    """
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return text.replace("\x7f", "\\u007f")


def _shown(character: str, lines: bool) -> str:
    if lines and character in "\n\t":
        return "\n    " if character == "\n" else "\t"
    if unicodedata.category(character) not in _CATEGORIES_ESCAPED or character in _JOINERS:
        return character
    code = ord(character)
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
