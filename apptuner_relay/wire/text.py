"""Checks that text is valid UTF-8 (RFC 6455 §8.1), and parses JSON (RFC 8259). Pure."""

import codecs
import json
from typing import Any, NoReturn

_SLICE_BYTES = 64 * 1024
_new_decoder = codecs.getincrementaldecoder("utf-8")


def is_text(data: bytes | bytearray) -> bool:
    """Whether a whole message is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_json(text: bytes) -> Any:
    """The value of a JSON text. As `JSON.parse` does, it refuses some texts that Python's parser
    takes: with a byte order mark, in UTF-16 or UTF-32, with ``NaN`` or ``Infinity``.

    :raises ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("too deep") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class TextChecker:
    """Checks the pieces of one message after another. ASCII, which nearly all of them are, is the
    cheapest case."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def inside_character(self) -> bool:
        """Whether the last piece ended inside a character."""
        return self._decoder is not None

    def check(self, data: bytes | bytearray, start: int, stop: int, end: bool) -> bool:
        """Whether the message is still UTF-8 with its next piece, ``data[start:stop]``.

        :param end: whether that is the message's last piece. Only the last one may not end inside
            a character.
        """
        for at in range(start, stop, _SLICE_BYTES):
            text = data[at : min(stop, at + _SLICE_BYTES)]
            if self._decoder is None:
                if text.isascii():
                    continue
                self._decoder = _new_decoder()
            try:
                self._decoder.decode(text)
            except UnicodeDecodeError:
                self._decoder = None
                return False
            begun = self._decoder.getstate()[0]
            if not begun:
                self._decoder = None
            elif begun[0] == 0xED and begun[1:] > b"\x9f":
                # A surrogate. The decoder would refuse it only with its last byte.
                self._decoder = None
                return False
        if not end or self._decoder is None:
            return True
        self._decoder = None
        return False
