"""permessage-deflate (RFC 7692): what to negotiate, how to look into a message, how to make one.

Both directions are negotiated without context takeover, so every message stands alone and can be
passed on, as it is, to whoever negotiated the same.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from apptuner_relay.wire.frames import CLOSE_INVALID_PAYLOAD, CLOSE_TOO_BIG, FrameError
from apptuner_relay.wire.offers import FULL_WINDOW_BITS
from apptuner_relay.wire.text import TextChecker

codec: Any
try:
    # On bundles it inflates twice and deflates 3.5 times as fast as zlib: `ops/bench/codecs`.
    codec = import_module("isal.isal_zlib")
except ImportError:  # pragma: no cover (isal has wheels for the common platforms)
    codec = import_module("zlib")

NO_CONTEXT_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

_TAIL = b"\x00\x00\xff\xff"
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"
"""An empty one, which is the last: behind the tail, it is read as that only if a block could begin
there, so that a message that ends inside of one is found out."""
_FREE_STREAMS = 64
"""A message may have as many finished streams, and one more for each `_STREAM_BYTES` of it: to
begin one costs as much as to inflate some hundred bytes."""
_STREAM_BYTES = 1024
_SHORT_PART_BYTES = 4 * 1024
"""How much is inflated at once behind a final block: what is left of it, once the next such block
has come, is copied."""
_RAW_WINDOW_BITS = -15
_LEVEL = 1
_SLICE_BYTES = 64 * 1024

_MOST_EXPANSION = 1032
"""Deflate's largest ratio: a match of 258 bytes in two bits."""
_COUNTED_BYTES = 64 * 1024
_SAMPLE_EVERY_BYTES = 32 * 1024
_SAMPLE_BYTES = 64
_FEW_VALUES = 8


class _Accept(PerMessageDeflateOfferAccept):
    """Autobahn leaves out what the client didn't ask for; we say that we don't take context over
    in any case, so that the client needs to keep none (RFC 7692 §7.1.1.1)."""

    def get_extension_string(self) -> str:
        window = self.offer.request_max_window_bits
        said = f"; server_max_window_bits={window}" if window else ""
        return NO_CONTEXT_TAKEOVER + said


def accept(offers: Sequence[object]) -> PerMessageDeflateOfferAccept | None:
    """Autobahn's ``perMessageCompressionAccept``: the first offer that leaves us the full window,
    as what other clients compress was made with it."""
    for offer in offers:
        if not isinstance(offer, PerMessageDeflateOffer):
            continue
        # None asked for is 0.
        if offer.request_max_window_bits in (0, FULL_WINDOW_BITS):
            return _Accept(offer, request_no_context_takeover=True)
    return None


class Inflation:
    """One compressed message, inflated as it comes and is asked for.

    A block that says it is the last one ends a DEFLATE stream, but not the message: another may
    begin at the next byte (RFC 7692 §7.2.1), with a window of its own.

    :param limit: the most bytes that it may inflate to.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decompress: Any = codec.decompressobj(_RAW_WINDOW_BITS)
        self._input = b""
        self._at = 0
        self._fed = 0
        self._ended = False
        self._streams_left: float = _FREE_STREAMS
        self._part_bytes = _SLICE_BYTES
        self.size = 0
        """Bytes that came out so far."""

    def feed(self, data: bytes, end: bool) -> None:
        """Take in the next payload bytes of the message."""
        self._input = self._input[self._at :] + data
        self._at = 0
        self._fed += len(data)
        if end:
            self._input += _TAIL
            self._ended = True

    def expects(self, payload_bytes: int) -> int:
        """How many bytes a payload of ``payload_bytes`` inflates to, if the rest of it is like what
        has been inflated; at most the limit."""
        used = self._fed - len(self._input) + self._at
        return min(self._limit, self.size * payload_bytes // max(1, used))

    def read(self, most: int = _SLICE_BYTES) -> bytes:
        """Up to ``most`` more bytes; none when what was fed is used up.

        :raises FrameError: 1007, it is not deflate, or not all of it; 1009, it is above the limit.
        """
        try:
            data = self._inflate(most)
            while len(data) < most and self._at < len(self._input):
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
        """Inflate a part of what was fed, up to the end of its stream."""
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
        """Go on behind a final block. Whether there is anything."""
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
        """Whether a message, of which all has been inflated, ended where another block could
        begin."""
        last = self._decompress
        return bool(last.eof or (not last.decompress(_LAST_BLOCK, 1) and last.eof))


def inflate_head(payload: bytes, length: int, end: bool) -> tuple[bytes, bool]:
    """The first ``length`` bytes (or fewer) of the message that ``payload`` begins, and whether
    that is all of it.

    :raises FrameError: 1007, it is not deflate.
    """
    inflation = Inflation(length + 1)
    inflation.feed(payload, end)
    head = b""
    while len(head) <= length and (data := inflation.read(length + 1 - len(head))):
        head += data
    return head[:length], end and len(head) <= length


class BombGuard:
    """Looks at a compressed message on its way through, and refuses one that would inflate to
    more than the limit; or, if ``thorough``, would inflate to text that is not UTF-8.

    Counting everything would mean inflating everything, which costs more than all the rest of the
    relay. So, unless ``thorough``: what can't exceed the limit by its length isn't counted; of the
    rest the first 64 KiB are, and behind them samples are watched for the few, ever repeated byte
    values that very high ratios are made of. A stream crafted to look random behind a harmless
    start may pass: its sender could send the phone worse, as code.
    """

    def __init__(self, limit: int, thorough: bool, text: bool) -> None:
        self._limit = limit
        self._text = TextChecker() if thorough and text else None
        self._inflation: Inflation | None = Inflation(limit)
        self._to_count = limit if thorough else _COUNTED_BYTES
        self._suspect_bytes = 0

    def check(self, payload: memoryview, end: bool) -> None:
        """Look at the next piece, before it is passed on.

        :raises FrameError: 1009, it is a bomb; 1007, it is not deflate.
        """
        inflation = self._inflation
        if inflation is None:
            self._sample(payload)
            return
        counted = payload[: self._to_count]
        self._to_count -= len(counted)
        last = end and len(counted) == len(payload)
        inflation.feed(bytes(counted), last)
        while data := inflation.read():
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
    """Whether a message of so many compressed bytes can inflate to more than ``limit``."""
    return compressed_bytes * _MOST_EXPANSION > limit


class Deflation:
    """One message, compressed as it comes."""

    def __init__(self) -> None:
        self._compress: Any = codec.compressobj(_LEVEL, codec.DEFLATED, _RAW_WINDOW_BITS)

    def feed(self, data: bytes, end: bool) -> bytes:
        """Take in the next bytes; returns what is ready, which may be nothing before the end."""
        out: bytes = self._compress.compress(data)
        if not end:
            return out
        out += self._compress.flush(codec.Z_SYNC_FLUSH)
        return out.removesuffix(_TAIL)
