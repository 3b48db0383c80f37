"""Encodes a bundle's code in the content codings of HTTP (RFC 9110 §8.4.1), piece by piece.

The same code gives the same bytes, whatever pieces it is fed in, while the compression libraries
are the same: the relay serves it with strong validators.
"""

from collections.abc import Callable
from typing import Protocol

from apptuner_relay.wire.deflate import codec

_BLOCK_BYTES = 64 * 1024
_GZIP_WINDOW_BITS = 31
_GZIP_LEVEL = 3 if codec.__name__ == "isal.isal_zlib" else 6
"""The densest level of ISA-L, which costs an eighth of zlib's default level."""
_BROTLI_QUALITY = 5
_ZSTD_LEVEL = 3


class _Library(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Identity:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Brotli:
    def __init__(self) -> None:
        # The worker is to be small while no client asks for this, as with `_zstd`.
        import brotli  # type: ignore[import-untyped]

        self._compressor = brotli.Compressor(mode=brotli.MODE_TEXT, quality=_BROTLI_QUALITY)

    def compress(self, data: bytes, /) -> bytes:
        made: bytes = self._compressor.process(data)
        return made

    def flush(self) -> bytes:
        made: bytes = self._compressor.finish()
        return made


def _gzip() -> _Library:
    # Writes no name and 0 as the time.
    library: _Library = codec.compressobj(_GZIP_LEVEL, codec.DEFLATED, _GZIP_WINDOW_BITS)
    return library


def _zstd() -> _Library:
    import zstandard

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()


_LIBRARIES: dict[str, Callable[[], _Library]] = {
    "identity": _Identity,
    "gzip": _gzip,
    "br": _Brotli,
    "zstd": _zstd,
}
CODINGS = tuple(_LIBRARIES)
"""The names of the codings, as in ``bundle.CODINGS``."""


class Encoder:
    """Encodes one file in one of `CODINGS`.

    :raises KeyError: ``coding`` is none of them.
    """

    def __init__(self, coding: str) -> None:
        self._library = _LIBRARIES[coding]()
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take in the next bytes. Returns the encoded bytes that are ready."""
        # What a library makes of the same bytes may depend on the pieces in which it gets them.
        data = self._rest + data
        stop = len(data) - len(data) % _BLOCK_BYTES
        self._rest = data[stop:]
        return b"".join(
            self._library.compress(data[at : at + _BLOCK_BYTES])
            for at in range(0, stop, _BLOCK_BYTES)
        )

    def finish(self) -> bytes:
        """Return the rest of the encoded bytes: all has been fed."""
        return self._library.compress(self._rest) + self._library.flush()
