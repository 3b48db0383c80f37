"""permessage-deflate (RFC 7692): inflates and checks messages, compresses them.

Both directions are negotiated without context takeover (`edge.deflate_offers`). So every message
stands alone, and passes unchanged to every client that negotiated the same.
"""

from importlib import import_module
from typing import Any

from apptuner_relay.wire.frames import CLOSE_INVALID_PAYLOAD, CLOSE_TOO_BIG, FrameError
from apptuner_relay.wire.text import TextChecker

codec: Any
try:
    # For bundles it inflates 2 times and deflates 3.5 times as fast as zlib: `ops/bench/codecs`.
    codec = import_module("isal.isal_zlib")
except ImportError:  # pragma: no cover (isal has wheels for the common platforms)
    codec = import_module("zlib")

NO_CONTEXT_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

_TAIL = b"\x00\x00\xff\xff"
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"
"""An empty final block. The decompressor takes it behind `_TAIL` only where a block may begin, so
it reveals a message that ends inside a block."""
_FREE_STREAMS = 64
"""How many finished DEFLATE streams a message may have; and one more for each `_STREAM_BYTES` of
it. To begin one costs as much as to inflate some hundred bytes."""
_STREAM_BYTES = 1024
_PART_BYTES = 256 * 1024
"""The most input that is inflated at once."""
_SHORT_PART_BYTES = 4 * 1024
"""Likewise, behind a final block: the input that is left behind the next one is copied."""
_RAW_WINDOW_BITS = -15
_LEVEL = 1
_SLICE_BYTES = 64 * 1024

_MOST_EXPANSION = 1032
"""Deflate's largest ratio: a match of 258 bytes in two bits."""
_COUNTED_BYTES = 64 * 1024
_SAMPLE_EVERY_BYTES = 32 * 1024
_SAMPLE_BYTES = 64
_FEW_VALUES = 8


class Inflation:
    """Inflates one compressed message as a stream, as far as its output is read.

    A final block ends a DEFLATE stream, but not the message: another stream may begin at the next
    byte (RFC 7692 §7.2.1), with a window of its own.

    :param limit: the most bytes that the message may inflate to.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decompress: Any = codec.decompressobj(_RAW_WINDOW_BITS)
        self._input = memoryview(b"")
        self._at = 0
        self._fed = 0
        self._ended = False
        self._streams_left: float = _FREE_STREAMS
        self._part_bytes = _PART_BYTES
        self.size = 0
        """How many bytes it has inflated to so far."""

    @property
    def is_used_up(self) -> bool:
        """Whether all that was fed is inflated, after a `read` that returned less than it might
        have."""
        return self._at == len(self._input)

    def feed(self, data: bytes | memoryview, end: bool) -> None:
        """Take in the next payload bytes of the message. ``data`` must not change until `read` has
        used it up.

        :param end: whether these are the message's last bytes.
        """
        rest = self._input[self._at :]
        self._at = 0
        self._fed += len(data)
        if rest or end:
            data = b"".join((rest, data, _TAIL if end else b""))
        self._input = memoryview(data)
        self._ended = self._ended or end

    def expects(self, payload_bytes: int) -> int:
        """How many bytes a payload of ``payload_bytes`` inflates to, if its rest has the same ratio
        as what was inflated so far; at most the limit."""
        used = self._fed - len(self._input) + self._at
        return min(self._limit, self.size * payload_bytes // max(1, used))

    def read(self, most: int = _SLICE_BYTES) -> bytes:
        """Returns up to ``most`` more bytes, and none when all that was fed is used up. Before that
        it may return fewer than ``most``, but not fewer than 64 KiB.

        :raises FrameError: 1007, the message is not DEFLATE, or is cut short; 1009, it inflates to
            more than the limit.
        """
        try:
            data = self._inflate(most)
            while len(data) < min(most, _SLICE_BYTES) and self._at < len(self._input):
                data += self._inflate(most - len(data))
            if self._ended and not data and not self._at_end():
                raise FrameError(CLOSE_INVALID_PAYLOAD, "compressed message that is cut short")
        except codec.error:
            raise FrameError(CLOSE_INVALID_PAYLOAD, "message that can't be inflated") from None
        self.size += len(data)
        if self.size > self._limit:
            raise FrameError(CLOSE_TOO_BIG, f"message above {self._limit} bytes when inflated")
        return data

    def _inflate(self, most: int) -> bytes:
        """Inflate a part of what was fed, at most up to the end of its stream."""
        if self._decompress.eof and not self._begin_stream():
            return b""
        part = self._input[self._at : self._at + self._part_bytes]
        data: bytes = self._decompress.decompress(part, most)
        stream = self._decompress
        used = len(part) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
        self._at += used
        self._streams_left += used / _STREAM_BYTES
        return data

    def _begin_stream(self) -> bool:
        """Begin the stream behind a final block. Returns False where there is none."""
        rest = self._input[self._at : self._at + len(_TAIL) + 1]
        if not rest or (self._ended and rest == _TAIL):
            self._at += len(rest)
            return False
        self._streams_left -= 1
        if self._streams_left < 0:
            raise FrameError(CLOSE_INVALID_PAYLOAD, "compressed message of too many streams")
        self._decompress = codec.decompressobj(_RAW_WINDOW_BITS)
        self._part_bytes = _SHORT_PART_BYTES
        return True

    def _at_end(self) -> bool:
        """Whether a message, all of which is inflated, ends where another block could begin."""
        last = self._decompress
        return bool(last.eof or (not last.decompress(_LAST_BLOCK, 1) and last.eof))


def inflate_head(payload: bytes, length: int, end: bool) -> tuple[bytes, bool]:
    """At most the first ``length`` bytes of the message that ``payload`` begins, and whether they
    are all of it.

    :param end: whether ``payload`` is all of the message.
    :raises FrameError: 1007, it is not DEFLATE.
    """
    inflation = Inflation(length + 1)
    inflation.feed(payload, end)
    head = b""
    while len(head) <= length and (data := inflation.read(length + 1 - len(head))):
        head += data
    return head[:length], end and len(head) <= length


class BombGuard:
    """Checks a compressed message on its way through, and refuses one that would inflate to more
    than the limit. A ``thorough`` guard inflates all of it, and refuses text that is not UTF-8 too.

    To inflate every message would cost more than all the rest of the relay. So a guard that is not
    thorough inflates the first 64 KiB only. Behind them it takes samples: very high ratios need
    input that repeats very few byte values. (`may_exceed` tells which messages need no guard.) A
    crafted stream that looks random behind a harmless start may pass. That is accepted: its sender
    can send the phone any code.
    """

    def __init__(self, limit: int, thorough: bool, text: bool) -> None:
        self._limit = limit
        self._text = TextChecker() if thorough and text else None
        self._inflation: Inflation | None = Inflation(limit)
        self._to_count = limit if thorough else _COUNTED_BYTES
        self._suspect_bytes = 0
        self._deflated_bytes = 0
        self._inflated_bytes = 0

    @property
    def expansion(self) -> float:
        """How many times larger than it came the message gets, by what was inflated of it."""
        return self._inflated_bytes / self._deflated_bytes if self._deflated_bytes else 1.0

    def check(self, payload: memoryview, end: bool) -> None:
        """Check the next piece, before it is passed on.

        :param end: whether it is the message's last.
        :raises FrameError: 1009, the message inflates to more than the limit; 1007, it is not
            DEFLATE, or not UTF-8.
        """
        inflation = self._inflation
        if inflation is None:
            self._sample(payload)
            return
        counted = payload[: self._to_count]
        self._to_count -= len(counted)
        last = end and len(counted) == len(payload)
        self._deflated_bytes += len(counted)
        inflation.feed(bytes(counted), last)
        while data := inflation.read():
            self._inflated_bytes += len(data)
            self._check_text(data, False)
        if last:
            self._check_text(b"", True)
        if len(counted) < len(payload):
            self._inflation = None
            self._sample(payload[len(counted) :])

    def _check_text(self, data: bytes, end: bool) -> None:
        if self._text is not None and not self._text.check(data, 0, len(data), end):
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8")

    def _sample(self, payload: memoryview) -> None:
        for at in range(0, len(payload) - _SAMPLE_BYTES, _SAMPLE_EVERY_BYTES):
            if len(set(payload[at : at + _SAMPLE_BYTES])) < _FEW_VALUES:
                self._suspect_bytes += min(_SAMPLE_EVERY_BYTES, len(payload) - at)
        if self._suspect_bytes * _MOST_EXPANSION > self._limit:
            raise FrameError(CLOSE_TOO_BIG, f"message above {self._limit} bytes when inflated")


def may_exceed(compressed_bytes: int, limit: int) -> bool:
    """Whether a message of ``compressed_bytes`` can inflate to more than ``limit`` bytes."""
    return compressed_bytes * _MOST_EXPANSION > limit


class Deflation:
    """Compresses one message as a stream."""

    def __init__(self) -> None:
        self._compress: Any = codec.compressobj(_LEVEL, codec.DEFLATED, _RAW_WINDOW_BITS)

    def feed(self, data: bytes | memoryview, end: bool) -> bytes:
        """Take in the next bytes of the message; returns the output that is ready, which may be
        nothing before the end."""
        out: bytes = self._compress.compress(data)
        if not end:
            return out
        out += self._compress.flush(codec.Z_SYNC_FLUSH)
        return out.removesuffix(_TAIL)
