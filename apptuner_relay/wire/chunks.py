"""Turns one big ``bundle_update`` into ``bundle_start`` and ``bundle_chunk`` messages, as it comes.

For phones that cope badly with big messages and say ``chunks=1``. The code's JSON literal is cut
where no escape and no character is split, and passed on as it stands; a source map is left out, as
it is when the CLI sends chunks.
"""

import re

CHUNK_BYTES = 128 * 1024
"""How much of the code's JSON literal a chunk holds at most."""

_LONGEST_ESCAPE = 6
_MOST_SHORTENED_BYTES = 8
_BACKSLASH = ord("\\")
_START = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"bundle_update"\s*,\s*'
    rb'(?:"(?:timestamp|targetDeviceId)"\s*:\s*(?:\d+|"[^"\\]*")\s*,\s*)*'
    rb'"payload"\s*:\s*\{\s*"code"\s*:\s*"'
)


class NotABundle(ValueError):
    """The message ended inside of its code."""


def begins_bundle(head: bytes) -> bool:
    """Whether a message that begins with ``head`` is a ``bundle_update`` of the usual form."""
    return _START.match(head) is not None


class Rechunker:
    """One ``bundle_update`` on its way into chunks.

    :param most_bytes: how long the message may be; its real length where that is known. The number
        of chunks has to be said first, so it is made of this; where that turns out too many, the
        last ones are empty.
    :param now_ms: the timestamp of ``bundle_start``.
    """

    def __init__(self, most_bytes: int, now_ms: int) -> None:
        self._most_bytes = most_bytes
        self._now_ms = now_ms
        self._total = -(-most_bytes // (CHUNK_BYTES - _MOST_SHORTENED_BYTES))
        self._index = 0
        self._text = bytearray()
        self._scanned = 0
        self._begun = False
        self._code_ended = False

    def feed(self, text: bytes, end: bool) -> list[bytes]:
        """Take in the message's next bytes; returns the messages that are ready.

        The first call must bring what `begins_bundle` was asked about.

        :raises NotABundle: at the end, when there was no end of the code.
        """
        messages: list[bytes] = []
        if not self._code_ended:
            self._text += text
            if not self._begun:
                messages.append(self._start())
            self._find_end()
            while len(self._text) > CHUNK_BYTES:
                messages.append(self._chunk(_safe_cut(self._text, CHUNK_BYTES)))
            if self._code_ended:
                messages.append(self._chunk(len(self._text)))
        if end:
            if not self._code_ended:
                raise NotABundle("the bundle has no end")
            while self._index < self._total:
                messages.append(self._chunk(0))
        return messages

    def _start(self) -> bytes:
        match = _START.match(self._text)
        if match is None:
            raise NotABundle("not a bundle_update")
        del self._text[: match.end()]
        self._begun = True
        return b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d,"timestamp":%d}' % (
            self._total,
            self._most_bytes - match.end(),
            self._now_ms,
        )

    def _find_end(self) -> None:
        """Look for the quote that ends the code, and drop it and what follows."""
        text = self._text
        while (quote := text.find(b'"', self._scanned)) >= 0:
            if _backslashes_before(text, quote) % 2 == 0:
                del text[quote:]
                self._code_ended = True
                break
            self._scanned = quote + 1
        else:
            self._scanned = len(text)

    def _chunk(self, length: int) -> bytes:
        data = bytes(self._text[:length])
        del self._text[:length]
        self._scanned = max(0, self._scanned - length)
        message = b'{"type":"bundle_chunk","index":%d,"totalChunks":%d,"data":"%b"}' % (
            self._index,
            self._total,
            data,
        )
        self._index += 1
        return message


def _safe_cut(literal: bytearray, at: int) -> int:
    """The last place up to ``at`` that is inside of no escape and no character."""
    while literal[at] & 0xC0 == 0x80:
        at -= 1
    slash = literal.rfind(b"\\", at - _LONGEST_ESCAPE + 1, at)
    if slash < 0:
        return at
    if _backslashes_before(literal, slash) % 2:
        return at
    length = _LONGEST_ESCAPE if literal[slash + 1] == ord("u") else 2
    return slash if slash + length > at else at


def _backslashes_before(text: bytearray, at: int) -> int:
    run = 0
    while run < at and text[at - run - 1] == _BACKSLASH:
        run += 1
    return run
