"""Whether text is valid UTF-8 (RFC 6455 §8.1), and what JSON there is in it (RFC 8259)."""

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
    """The value of a JSON text. What `JSON.parse` refuses of what Python takes is none: a byte
    order mark, UTF-16 and UTF-32, ``NaN`` and ``Infinity``.

    :raises ValueError: it is no JSON, or too deep to be read.
    """
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("too deep") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class TextChecker:
    """Checks one message after another. Nearly all of what passes is ASCII, which costs least."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def inside_character(self) -> bool:
        """Whether the last piece ended inside of a character."""
        return self._decoder is not None

    def check(self, data: bytes | bytearray, start: int, stop: int, end: bool) -> bool:
        """Whether the next piece, ``data[start:stop]``, goes on as UTF-8; ``end`` says that it is
        the message's last. A character may be cut by the end of any piece but the last."""
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
                # A surrogate, of which the decoder waits for the last byte.
                self._decoder = None
                return False
        if not end or self._decoder is None:
            return True
        self._decoder = None
        return False
