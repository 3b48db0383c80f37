"""Writes a bundle's code as the messages in which AppTuner's CLI sends it: in one up to 512 KiB, in
chunks above, as iOS takes no long messages. One message a line.

`relay.patched_sender` sends them.
"""

from typing import BinaryIO

from apptuner_relay.wire.json_escaper import MOST_GROWTH, JsonEscaper

CHUNK_BYTES = 512 * 1024
"""How much code is in a chunk, and the most that goes in a single message: bytes of UTF-8. The CLI
counts UTF-16 code units, of which there are no more."""

_LONGEST_CHARACTER = 4
_MOST_AROUND_BYTES = 256
"""How many bytes of a message stand before and behind the code in it, at most; with what the last
chunk has beyond the others."""


def chunk_bytes(longest: int) -> int:
    """How much code goes in a message, in bytes, where none may have more than ``longest``."""
    return min(CHUNK_BYTES, (longest - _MOST_AROUND_BYTES) // MOST_GROWTH)


def bundle_start(size: int, units: int, now_ms: int, longest: int) -> bytes | None:
    """The message that goes before the chunks of a bundle; None for one that has no chunks.

    :param size: bytes of the code.
    :param units: UTF-16 code units of the code.
    :param now_ms: the time in ms since the epoch.
    :param longest: the most bytes that a message may have.
    """
    chunks = _count_chunks(size, longest)
    if not chunks:
        return None
    text = b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d,"timestamp":%d}'
    return text % (chunks, units, now_ms)


def _count_chunks(size: int, longest: int) -> int:
    most = chunk_bytes(longest)
    return -(-size // most) if size > most else 0


class MessageWriter:
    """Writes the messages of one bundle; of one in chunks those behind `bundle_start`.

    :param out: where to.
    :param size: bytes of the code.
    :param now_ms: the time in ms since the epoch.
    :param longest: the most bytes that a message may have.
    """

    def __init__(self, out: BinaryIO, size: int, now_ms: int, longest: int) -> None:
        self._out = out
        self._chunk_bytes = chunk_bytes(longest)
        self._chunks = _count_chunks(size, longest)
        self._now_ms = now_ms
        self._index = 0
        self._code = bytearray()
        """What has been written, and is in no message yet."""

    def write(self, code: bytes) -> int:
        """Take the next bytes of the code, which is UTF-8."""
        held, most = self._code, self._chunk_bytes
        held += code
        # The last chunk takes what the others have left of characters that they would have cut.
        while self._index < self._chunks - 1 and len(held) > most:
            stop = most
            while stop > most - _LONGEST_CHARACTER and held[stop] & 0xC0 == 0x80:
                stop -= 1
            self._chunk(held[:stop])
            del held[:stop]
        return len(code)

    def finish(self) -> None:
        """All of the code has been written."""
        if self._chunks:
            self._chunk(self._code)
            return
        begin, end = b'{"type":"bundle_update","payload":{"code":"', b'"},"timestamp":%d}'
        self._say(begin + _escaped(self._code) + end % self._now_ms)

    def _chunk(self, code: bytearray) -> None:
        begin = b'{"type":"bundle_chunk","index":%d,"totalChunks":%d,"data":"'
        self._say(begin % (self._index, self._chunks) + _escaped(code) + b'"}')
        self._index += 1

    def _say(self, message: bytes) -> None:
        self._out.write(message + b"\n")


def _escaped(code: bytearray) -> bytes:
    return JsonEscaper().feed(bytes(code))
