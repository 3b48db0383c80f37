"""Writes text as the inside of a JSON string (RFC 8259 §7), piece by piece. Pure.

It works on UTF-8, as a bundle of 50 MB that passes through Python's own encoder, character by
character, would take the event loop four times as long.
"""

from apptuner_relay.wire.text import TextChecker

MOST_GROWTH = 6
"""How many bytes may stand for one: ``\\u0000``."""

_SHORT_FORMS = (
    # The backslash is first: the others' forms have one.
    (b"\\", b"\\\\"),
    (b'"', b'\\"'),
    (b"\n", b"\\n"),
    (b"\r", b"\\r"),
    (b"\t", b"\\t"),
)
_SCARCE = frozenset(range(0x20)) - frozenset(b"\n\r\t")
"""Control characters that code hardly ever has."""
_NOT_SCARCE = bytes(byte for byte in range(256) if byte not in _SCARCE)


class NotText(ValueError):
    """The text is not UTF-8."""


class JsonEscaper:
    """Escapes one text. A piece may end inside a character, the last one may not."""

    def __init__(self) -> None:
        self._checker = TextChecker()

    def feed(self, piece: bytes) -> bytes:
        """The next piece, escaped: up to `MOST_GROWTH` times its size.

        :raises NotText: the text is not UTF-8, as far as it is known.
        """
        self._check(piece, False)
        for plain, escaped in _SHORT_FORMS:
            piece = piece.replace(plain, escaped)
        # Deleting all others is the fastest way to look for these.
        for byte in set(piece.translate(None, _NOT_SCARCE)):
            piece = piece.replace(b"%c" % byte, b"\\u%04x" % byte)
        return piece

    def finish(self) -> None:
        """All of the text has been fed.

        :raises NotText: it ends inside a character.
        """
        self._check(b"", True)

    def _check(self, piece: bytes, end: bool) -> None:
        if not self._checker.check(piece, 0, len(piece), end):
            raise NotText("text that is not UTF-8")
