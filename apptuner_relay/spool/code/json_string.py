"""Decodes a JSON string (RFC 8259 §7) that comes in pieces to UTF-8. Pure.

At the end of a piece it holds what can't be decoded yet, and nothing else: a part of an escape or
of a character, or the first half of a surrogate pair.
"""

import json
import re

import orjson

_ESCAPE_BYTES = 6
_MOST_CONTINUATION_BYTES = 3
_BACKSLASH = ord("\\")
_HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTE = re.compile(rb'"(?<![^\\]\\")')
"""A quote, unless exactly one backslash is before it. Most quotes in code are escaped like that,
and skipping them in this way costs next to nothing."""
_FREE_QUOTE = re.compile(rb'"(?<!\\")')
"""A quote with no backslash before it."""
_BACKSLASH = ord("\\")


class NotALiteral(ValueError):
    """It is no JSON string, or its text is not UTF-8."""


class ValueEnd:
    """Finds the ends of strings in JSON text that comes in pieces."""

    def __init__(self) -> None:
        self._escaped = False

    def find(self, text: bytes, start: int) -> int:
        """The index of the quote that ends the string that begins at ``start`` or, where that is 0,
        may have begun in an earlier piece; -1 where it doesn't end in ``text``."""
        begin = start
        if self._escaped and start < len(text):
            begin += 1
            self._escaped = False
        if text[begin : begin + 1] == b'"':
            return begin
        found = _QUOTE.search(text, begin)
        if found is not None and text[found.start() - 1] == _BACKSLASH:
            free = _FREE_QUOTE.search(text, begin)
            stop = len(text) if free is None else free.end()
            # Without escaped backslashes, a backslash before a quote escapes it.
            found = _FREE_QUOTE.search(text[begin:stop].replace(rb"\\", b".."))
            if found is not None:
                return begin + found.start()
        elif found is not None:
            return found.start()
        if begin < len(text):
            self._escaped = _backslashes_at_end(text[begin:]) % 2 == 1
        return -1


class Unescaping:
    """Decodes one string that may be spread over several JSON strings. A surrogate pair that is cut
    between two of them is joined."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, literal: bytes, end: bool) -> bytes:
        """Take in the next bytes, without quotes. Returns what is decoded, as UTF-8; lone
        surrogates become U+FFFD.

        :param end: whether one of the JSON strings ends here.
        :raises NotALiteral: it is no JSON string.
        """
        literal = self._held + literal
        stop = _before_high_surrogate(literal, len(literal)) if end else _safe_end(literal)
        self._held = literal[stop:]
        return _unescape(literal[:stop])

    def finish(self) -> bytes:
        """Return the rest of the string: all of it has been fed."""
        rest, self._held = self._held, b""
        return _unescape(rest)


def _safe_end(literal: bytes) -> int:
    """Up to where ``literal`` can be decoded, whatever follows."""
    end = len(literal)
    for _ in range(_MOST_CONTINUATION_BYTES):
        if end and literal[end - 1] & 0xC0 == 0x80:
            end -= 1
    if end and literal[end - 1] >= 0xC0:
        end -= 1
    slash = literal.rfind(b"\\", max(0, end - _ESCAPE_BYTES + 1), end)
    if slash >= 0 and _backslashes_at_end(literal[:slash]) % 2 == 0:
        length = _ESCAPE_BYTES if literal[slash + 1 : slash + 2] == b"u" else 2
        if slash + length > end:
            end = slash
    return _before_high_surrogate(literal, end)


def _before_high_surrogate(literal: bytes, end: int) -> int:
    """``end``; or, where an escaped high surrogate ends there, the index at which that begins."""
    start = end - _ESCAPE_BYTES
    if (
        start >= 0
        and _HIGH_SURROGATE.match(literal, start)
        and _backslashes_at_end(literal[:start]) % 2 == 0
    ):
        return start
    return end


def _unescape(literal: bytes) -> bytes:
    if not literal:
        return b""
    quoted = b'"%b"' % literal
    try:
        text: str = orjson.loads(quoted)
    except orjson.JSONDecodeError:
        # orjson refuses lone surrogates.
        try:
            text = json.loads(quoted.decode())
        except ValueError:
            raise NotALiteral("a string that is not JSON") from None
        text = _LONE_SURROGATE.sub("\ufffd", text)
    return text.encode()


def _backslashes_at_end(text: bytes) -> int:
    return len(text) - len(text.rstrip(b"\\"))
