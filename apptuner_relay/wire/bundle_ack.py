"""A phone's ``bundle_ack``: what it says, and the name of the phone in it. Pure.

A released phone says ``success`` and perhaps ``error``; nothing tells a CLI which of several phones
that was. The relay knows, and writes it into the message for those who ask.
"""

import json
import re
from typing import Any, NamedTuple

from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.wire.text import parse_json

ACK_TYPE = "bundle_ack"
MOST_ERROR_CHARACTERS = 500
_MOST_LOOKED_AT = 4096
"""How many bytes are looked at of one that can't be parsed: token by token takes long."""
_NO_REASON = "the phone gives no reason"

_TOKEN = re.compile(
    rb'[ \t\r\n]*+(?:"((?:[^"\\]|\\.)*+)(")?|([{}\[\]:,])|([^ \t\r\n"{}\[\]:,]++))', re.DOTALL
)


class AckContent(NamedTuple):
    """What a phone says of the bundle that it got last."""

    success: bool
    error: str | None
    """What is wrong: printable, on one line, at most `MOST_ERROR_CHARACTERS`. None for a
    success."""


def read_ack(text: bytes, complete: bool = True) -> AckContent:
    """Read a ``bundle_ack``. Anything but a plain ``true`` is a failure.

    :param complete: whether ``text`` is all of it. What its beginning doesn't show counts as
        missing.
    """
    fields: dict[str, Any] | None = None
    if complete:
        try:
            value = parse_json(text)
        except ValueError:
            value = None
        fields = value if isinstance(value, dict) else None
    if fields is None:
        fields = _beginning(text[:_MOST_LOOKED_AT])
    if fields.get("success") is True:
        return AckContent(True, None)
    return AckContent(False, _error_text(fields.get("error")) or _NO_REASON)


def name_ack(text: bytes, device_id: str, name: str | None) -> bytes:
    """A ``bundle_ack`` with the phone's name on its top level: ``deviceId`` and ``deviceName``. One
    that is no JSON that can be written again stays as it is."""
    try:
        value = parse_json(text)
        if not isinstance(value, dict):
            return text
        value |= {"deviceId": device_id, "deviceName": name}
        named = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return named.encode("utf-8", "backslashreplace")


def _error_text(value: object) -> str:
    """What an ``error`` says, which may be any JSON value."""
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        # As JavaScript shows an Error.
        name = value.get("name")
        parts = [name] if isinstance(name, str) and name else []
        value = ": ".join([*parts, value["message"]])
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            value = "(nested too deeply to show)"
    return printable_line(value, MOST_ERROR_CHARACTERS)


def _beginning(head: bytes) -> dict[str, Any]:
    """``success`` and ``error`` of the object that ``head`` begins, as far as it shows them. If a
    key stands twice, the last one counts, as for `JSON.parse`."""
    found: dict[str, Any] = {}
    depth, at = 0, 0
    key: bytes | None = None
    is_value = False
    while (token := _TOKEN.match(head, at)) is not None:
        at = token.end()
        string, _, mark, word = token.groups()
        if mark is not None:
            if mark in b"{[":
                depth += 1
            elif mark in b"}]":
                depth -= 1
            if depth == 1:
                is_value = mark == b":"
        elif depth == 1 and not is_value:
            key = string
        elif depth == 1 and key in (b"success", b"error"):
            found[key.decode()] = word == b"true" if string is None else _unescape(string)
    return found


def _unescape(string: bytes) -> str:
    """The text of a JSON string without its quotes, of which the end may be missing."""
    for cut in range(min(6, len(string)) + 1):
        try:
            # An escape may be cut off.
            value = json.loads(b'"' + string[: len(string) - cut] + b'"', strict=False)
        except ValueError:
            continue
        return value if isinstance(value, str) else ""
    return string.decode("utf-8", "replace")
