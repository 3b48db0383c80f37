"""Content codings (RFC 9110 §8.4.1) as a downloader needs them: which to ask for, and undoing them.

Files in, files out. No sockets.

Asked for are those that can be read as files, with little memory and with a limit on what comes
out: a few bytes of either can stand for gigabytes. Relays have zstd and gzip, and prefer zstd.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from apptuner_relay.client.dictionary_reader import DictionaryReader, Undecodable

IDENTITY = "identity"
COMPRESSED = ("zstd", "gzip")
"""What is asked for, best first. Identity is always understood besides."""

_BLOCK_BYTES = 128 * 1024
_MAX_WINDOW_BYTES = 128 * 1024 * 1024
"""Of a zstd frame: what its decoder holds in memory."""


class Garbled(Exception):
    """What came is not in the coding that it should be in, or is longer than it may be."""


class Content(NamedTuple):
    """What a file turned out to hold."""

    sha256: str
    """Hex, of the decoded bytes."""
    size: int
    """Decoded bytes."""


def unpack(
    source: IO[bytes],
    coding: str,
    into: IO[bytes] | None,
    limit_bytes: int,
    base: Path | None = None,
) -> Content:
    """Decode `source` from where it stands, into `into` where one is given, and measure it. `base`
    is the file with the dictionary, for a coding that needs one.

    Closes both, however it ends, so that it can run in a thread that nobody waits for any more.
    Raises `Garbled`, `OSError` for either file, and `ValueError` for a coding that is unknown.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with source, _reader(source, coding, base) as reader:
            while block := reader.read(_BLOCK_BYTES):
                size += len(block)
                if size > limit_bytes:
                    raise Garbled(f"it is longer than {limit_bytes:,} bytes")
                digest.update(block)
                if into is not None:
                    into.write(block)
        if into is not None:
            into.flush()
    except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError, Undecodable) as error:
        raise Garbled(f"it is no whole {coding} file ({error})") from None
    finally:
        if into is not None:
            into.close()
    return Content(digest.hexdigest(), size)


def _reader(source: IO[bytes], coding: str, base: Path | None) -> IO[bytes] | DictionaryReader:
    match coding:
        case "dcz" if base is not None:
            return DictionaryReader(source, base)
        case "identity":
            return source
        case "gzip":
            return gzip.GzipFile(fileobj=source)  # type: ignore[return-value]
        case "zstd":
            decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            return decoder.stream_reader(source, read_across_frames=True)
    raise ValueError(f"{coding!r} is no coding that was asked for")
