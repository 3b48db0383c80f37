"""Writes a bundle's code as the messages in which AppTuner's CLI sends it: in one up to 512 KiB, in
chunks above, as iOS takes no long messages. One message a line.

`relay.patched_sender` sends them.
"""

from typing import BinaryIO

from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault
from apptuner_relay.wire.json_escaper import JsonEscaper

CHUNK_BYTES = 512 * 1024
"""How much code is in a chunk, and the most that goes in a single message: bytes of UTF-8. The CLI
counts UTF-16 code units, of which there are no more."""

_LONGEST_CHARACTER = 4


class MessageWriter:
    """Writes the messages of one bundle.

    :param out: where to.
    :param size: bytes of the code.
    :param units: UTF-16 code units of the code.
    :param now_ms: the time in ms since the epoch.
    :param longest: the most bytes that a message may have.
    """

    def __init__(self, out: BinaryIO, size: int, units: int, now_ms: int, longest: int) -> None:
        self._out = out
        self._chunks = -(-size // CHUNK_BYTES) if size > CHUNK_BYTES else 0
        self._now_ms = now_ms
        self._longest = longest
        self._index = 0
        self._code = bytearray()
        """What has been written, and is in no message yet."""
        if self._chunks:
            self._say(
                b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d,"timestamp":%d}'
                % (self._chunks, units, now_ms)
            )

    def write(self, code: bytes) -> int:
        """Take the next bytes of the code, which is UTF-8.

        :raises BadPatch: a message would be too long.
        """
        held = self._code
        held += code
        # The last chunk takes what the others have left of characters that they would have cut.
        while self._index < self._chunks - 1 and len(held) > CHUNK_BYTES:
            stop = CHUNK_BYTES
            while stop > CHUNK_BYTES - _LONGEST_CHARACTER and held[stop] & 0xC0 == 0x80:
                stop -= 1
            self._chunk(held[:stop])
            del held[:stop]
        return len(code)

    def finish(self) -> None:
        """All of the code has been written.

        :raises BadPatch: a message would be too long.
        """
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
        if len(message) > self._longest:
            raise BadPatch(PatchFault.TOO_BIG)
        self._out.write(message + b"\n")


def _escaped(code: bytearray) -> bytes:
    return JsonEscaper().feed(bytes(code))
