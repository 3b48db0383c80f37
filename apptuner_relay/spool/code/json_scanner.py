"""Reads one JSON message piece by piece: its code, which may be very long, and short fields. Pure.

All of the message's structure is checked (RFC 8259), and the strings that are asked for. Of other
strings only the end is looked for. A key that is looked for and appears twice is refused:
``JSON.parse`` uses the last one, and the first one's value has been passed on by then.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Any

from apptuner_relay.spool.code.json_string import Unescaping, ValueEnd
from apptuner_relay.wire.text import parse_json

MOST_DEPTH = 512
"""How deep objects and arrays may be nested."""

_MOST_SHORT_BYTES = 256
_TOKEN = re.compile(rb"[ \t\r\n]*+(?:([-+.0-9A-Za-z]++)|(.))?", re.DOTALL)
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")


class NotJson(ValueError):
    """It is no JSON object, or none that can be read piece by piece. The text says why, and nothing
    of the contents."""


class _Expect(Enum):
    VALUE = auto()
    VALUE_OR_END = auto()
    KEY = auto()
    KEY_OR_END = auto()
    COLON = auto()
    COMMA_OR_END = auto()
    NOTHING = auto()


class _String(Enum):
    SKIPPED = auto()
    SHORT = auto()
    CODE = auto()


_A_VALUE = (_Expect.VALUE, _Expect.VALUE_OR_END)
_A_KEY = (_Expect.KEY, _Expect.KEY_OR_END)
_ENDS = {
    (b"}", False): (_Expect.KEY_OR_END, _Expect.COMMA_OR_END),
    (b"]", True): (_Expect.VALUE_OR_END, _Expect.COMMA_OR_END),
}
"""What may be expected where an object ends, or an array ends (True)."""
_NO_KEY = ""
"""Stands for a key that isn't looked for."""

Path = list[str | None]
"""The keys that lead to a value; None for an array on the way."""


class Scan:
    """Reads one message.

    :param code: the keys that lead to the code, such as ``("payload", "code")``.
    :param fields: top-level keys whose values are wanted.
    :param unescaping: decodes the JSON string that holds the code.
    """

    def __init__(self, code: Sequence[str], fields: Sequence[str], unescaping: Unescaping) -> None:
        self.fields: dict[str, object] = {}
        """The values of those ``fields`` that are there, short, and neither objects nor arrays."""
        self.has_code = False
        """Whether there is a string at the place of the code."""
        self._code: Path = list(code)
        self._fields: list[Path] = [[key] for key in fields]
        self._count = [*self._fields, *(self._code[: i + 1] for i in range(len(code)))]
        self._met: list[Path] = []
        self._path: Path = []
        self._expect = _Expect.VALUE
        self._ends = ValueEnd()
        self._unescaping = unescaping
        self._string: _String | None = None
        self._short = b""
        self._scalar = b""

    def feed(self, text: bytes) -> Iterator[bytes]:
        """Yield the code in the next bytes, as UTF-8. It has to be used up before the next call.

        :raises NotJson: the message can't be read.
        :raises NotALiteral: the code is no JSON string.
        """
        if self._scalar:
            text = self._scalar + text
            self._scalar = b""
        at, stop = 0, len(text)
        while at < stop:
            if self._string is not None:
                quote = self._ends.find(text, at)
                part = text[at:] if quote < 0 else text[at:quote]
                at = stop if quote < 0 else quote + 1
                if self._string is _String.CODE:
                    code = self._unescaping.feed(part, quote >= 0)
                    if code:
                        yield code
                elif self._string is _String.SHORT:
                    self._keep_short(part)
                if quote >= 0:
                    self._end_string(self._string)
                continue
            token = _TOKEN.match(text, at)
            assert token is not None  # it matches nothing, too
            at = token.end()
            scalar, mark = token.groups()
            if mark is not None:
                self._take_mark(mark)
            elif scalar is not None and at < stop:
                self._take_scalar(scalar)
            elif scalar is not None:
                # The number or word may go on in the next piece.
                self._scalar = _checked_length(scalar)

    def finish(self) -> None:
        """The message has ended.

        :raises NotJson: it isn't whole.
        """
        if self._expect is _Expect.VALUE and not self._path and self._scalar:
            raise NotJson("not a JSON object")
        if self._expect is not _Expect.NOTHING or self._scalar:
            raise NotJson("not JSON: it has no end")

    def _take_mark(self, mark: bytes) -> None:
        expect, path = self._expect, self._path
        if mark == b'"' and expect in _A_KEY:
            self._string = _String.SHORT if self._keys_count() else _String.SKIPPED
        elif mark == b":" and expect is _Expect.COLON:
            self._expect = _Expect.VALUE
        elif mark == b"," and expect is _Expect.COMMA_OR_END:
            self._expect = _Expect.VALUE if path[-1] is None else _Expect.KEY
        elif mark == b"{" and expect in _A_VALUE:
            self._open(_NO_KEY, _Expect.KEY_OR_END)
        elif not path and expect is _Expect.VALUE:
            raise NotJson("not a JSON object")
        elif mark == b'"' and expect in _A_VALUE:
            self._begin_value()
        elif mark == b"[" and expect in _A_VALUE:
            self._open(None, _Expect.VALUE_OR_END)
        elif path and expect in _ENDS.get((mark, path[-1] is None), ()):
            path.pop()
            self._end_value()
        else:
            raise NotJson("not JSON")

    def _keys_count(self) -> bool:
        """Whether the keys of the object that is open are among those that are looked for."""
        depth = len(self._path)
        return depth <= len(self._code) and self._path[:-1] == self._code[: depth - 1]

    def _open(self, key: str | None, expect: _Expect) -> None:
        if len(self._path) == MOST_DEPTH:
            raise NotJson(f"not JSON that can be read: deeper than {MOST_DEPTH}")
        self._path.append(key)
        self._expect = expect

    def _end_value(self) -> None:
        self._expect = _Expect.COMMA_OR_END if self._path else _Expect.NOTHING

    def _begin_value(self) -> None:
        if self._path == self._code:
            self._string = _String.CODE
            self.has_code = True
        elif self._path in self._fields:
            self._string = _String.SHORT
        else:
            self._string = _String.SKIPPED

    def _keep_short(self, part: bytes) -> None:
        self._short += part
        if len(self._short) > _MOST_SHORT_BYTES:
            # No key or value that is looked for is as long.
            self._string = _String.SKIPPED
            self._short = b""

    def _end_string(self, string: _String) -> None:
        is_key = self._expect in _A_KEY
        self._string = None
        if is_key:
            self._path[-1] = _NO_KEY
            self._expect = _Expect.COLON
        else:
            self._end_value()
        if string is not _String.SHORT:
            return
        value = _parse(b'"%b"' % self._short)
        self._short = b""
        if is_key:
            self._path[-1] = value
            self._meet()
        else:
            self._keep_field(value)

    def _meet(self) -> None:
        if self._path in self._count:
            if self._path in self._met:
                raise NotJson("a key that counts stands twice")
            self._met.append(self._path.copy())

    def _take_scalar(self, scalar: bytes) -> None:
        if not self._path and self._expect is _Expect.VALUE:
            raise NotJson("not a JSON object")
        if self._expect not in _A_VALUE or not _SCALAR.fullmatch(_checked_length(scalar)):
            raise NotJson("not JSON")
        if self._path in self._fields:
            self._keep_field(_parse(scalar))
        self._end_value()

    def _keep_field(self, value: Any) -> None:
        self.fields[str(self._path[0])] = value


def _checked_length(scalar: bytes) -> bytes:
    if len(scalar) > _MOST_SHORT_BYTES:
        raise NotJson("not JSON that can be read: a number that is too long")
    return scalar


def _parse(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        raise NotJson("not JSON") from None
