"""Takes JSON texts apart without changing what is inside: the parts of an object or an array, as
the texts that stand there. Pure.

A message that a client wrote passes through a channel as it is. Parsed and written again, ``1e400``
would be no number any more.
"""

import json
import re
from typing import NoReturn, TypeVar

_T = TypeVar("_T")
_SPACE = re.compile(r"[ \t\r\n]*+")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def object_fields(text: str) -> dict[str, str]:
    """The fields of a JSON object, each with the text of its value. Of two with one name, the last.

    :raises ValueError: the text is not a JSON object, or is nested too deeply.
    """
    fields: dict[str, str] = {}
    at = _expect(text, 0, "{")
    if text[at : at + 1] == "}":
        return _at_end(text, at + 1, fields)
    while True:
        name, at = _value(text, at)
        if not isinstance(name, str):
            raise ValueError("a name is a string")
        start = _expect(text, at, ":")
        _, at = _value(text, start)
        fields[name] = text[start:at]
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            return _at_end(text, at + 1, fields)
        at = _expect(text, at, ",")


def array_items(text: str) -> list[str]:
    """The texts of the values in a JSON array.

    :raises ValueError: the text is not a JSON array, or is nested too deeply.
    """
    items: list[str] = []
    at = _expect(text, 0, "[")
    if text[at : at + 1] == "]":
        return _at_end(text, at + 1, items)
    while True:
        start = at
        _, at = _value(text, start)
        items.append(text[start:at])
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return _at_end(text, at + 1, items)
        at = _expect(text, at, ",")


def is_object(text: str) -> bool:
    """Whether the text is a JSON object."""
    try:
        object_fields(text)
    except ValueError:
        return False
    return True


def _value(text: str, at: int) -> tuple[object, int]:
    """The value that begins at ``at``, and where it ends."""
    try:
        return _decoder.raw_decode(text, at)
    except RecursionError:
        raise ValueError("too deep") from None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, mark: str) -> int:
    """Where the next token begins behind ``mark``, which has to be the one at ``at``."""
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"{mark} is missing")
    return _skip(text, at + 1)


def _at_end(text: str, at: int, value: _T) -> _T:
    if _skip(text, at) != len(text):
        raise ValueError("something stands behind the end")
    return value
