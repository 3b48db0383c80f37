"""Decodes a body in ``dcz`` (RFC 9842): a bundle's code, coded against code that is here.

One that was cut short or damaged can't go unnoticed: the body names its dictionary, and ends with a
checksum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

from apptuner_relay.support import zstd_library
from apptuner_relay.wire.dictionary_transport import (
    DCZ_HEADER_BYTES,
    DICTIONARY_BYTES,
    read_dcz_header,
)

_BLOCK_BYTES = 128 * 1024
_MOST_WINDOW_LOG = 27
"""Of the window: what a decoder holds in memory."""


class Undecodable(Exception):
    """It is no whole body in ``dcz``, or needs another dictionary."""


class DictionaryReader:
    """Reads what is in one body.

    :param source: the body, from its first byte.
    :param base: the file with the dictionary.
    :raises Undecodable: the body needs another one.
    :raises OSError: one of them can't be read.
    :raises ValueError: the library is not there.
    """

    def __init__(self, source: IO[bytes], base: Path) -> None:
        zstd = zstd_library.load()
        if zstd is None:
            raise ValueError("there is no library that decodes with a dictionary")
        self._source = source
        code = base.read_bytes()
        wanted = read_dcz_header(source.read(DCZ_HEADER_BYTES))
        if wanted is None:
            raise Undecodable("it does not say with which dictionary it is to be decoded")
        if wanted != hashlib.sha256(code).hexdigest() or len(code) not in DICTIONARY_BYTES:
            raise Undecodable("it needs another dictionary than the file that is here")
        self._error: Any = zstd.ZstdError
        self._decoder: Any = zstd.ZstdDecompressor(
            zstd_dict=zstd.ZstdDict(code, is_raw=True).as_prefix,
            options={zstd.DecompressionParameter.window_log_max: _MOST_WINDOW_LOG},
        )

    def __enter__(self) -> DictionaryReader:
        return self

    def __exit__(self, *reason: object) -> None:
        """The source is somebody else's to close."""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the code, at least one; none at its end.

        :raises Undecodable: the body is damaged, or ends too early.
        """
        while not self._decoder.eof:
            data = self._source.read(_BLOCK_BYTES) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not data:
                raise Undecodable("it ends too early")
            try:
                made: bytes = self._decoder.decompress(data, size)
            except self._error as error:
                raise Undecodable(str(error)) from None
            if made:
                return made
        if self._decoder.unused_data or self._source.read(1):
            raise Undecodable("something follows it")
        return b""
