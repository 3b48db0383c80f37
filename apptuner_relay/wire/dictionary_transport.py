"""Compression Dictionary Transport (RFC 9842): what its header fields and its coding ``dcz`` say.
Pure.

A bundle's code is the dictionary with which a later bundle's code is coded: what is in both takes
next to nothing.
"""

import base64
import math
import re

DCZ = "dcz"
"""The content coding: Zstandard (RFC 8878) with a dictionary."""
DICTIONARY_BYTES = range(8, 2**27 + 1)
"""How many bytes a dictionary may have. Less is none to the library. No window is longer, so that
the end of a longer one could not be reached."""
DCZ_HEADER_BYTES = 40

_MAGIC = bytes.fromhex("5e2a4d1820000000")
"""A skippable frame of Zstandard with the 32 bytes of the dictionary's SHA-256."""
# Parameters (RFC 9651 §3.3) are allowed, and mean nothing here.
_BYTE_SEQUENCE = re.compile(r" *:([A-Za-z0-9+/]{43}=?):(?: *;.*)? *")
_LEAST_LOG, _MOST_LOG = 23, 27
_LEAST_WINDOW_LOG = 10


def read_available_dictionary(field: str | None) -> str | None:
    """The hex SHA-256 in an ``Available-Dictionary`` (§2.2); None where there is none, or the field
    is malformed."""
    match = _BYTE_SEQUENCE.fullmatch(field or "")
    if match is None:
        return None
    return base64.b64decode(match[1].rstrip("=") + "=").hex()


def write_available_dictionary(sha256: str) -> str:
    """The field for the dictionary with this hex SHA-256."""
    return f":{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def write_use_as_dictionary(path: str) -> str:
    """A ``Use-As-Dictionary`` (§2.1): the response is a dictionary for ``path``, and all below it.

    :param path: absolute, of characters that mean nothing in a URL pattern.
    """
    return f'match="{path}{{/*}}?"'


def write_dcz_header(sha256: str) -> bytes:
    """What a body in ``dcz`` begins with (§5), for a dictionary with this hex SHA-256."""
    return _MAGIC + bytes.fromhex(sha256)


def read_dcz_header(data: bytes) -> str | None:
    """The hex SHA-256 of the dictionary that a body in ``dcz`` needs, which begins with ``data``.
    None where it is no such body."""
    if len(data) < DCZ_HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    return data[len(_MAGIC) : DCZ_HEADER_BYTES].hex()


def tag_of_dictionary(sha256: str) -> str:
    """How entity tags and file names tell codings with different dictionaries apart."""
    return f"{DCZ}-{sha256[:12]}"


def window_log(dictionary_bytes: int, size: int) -> int:
    """The binary logarithm of the window for code of ``size`` bytes: as long as that, so that all
    of the dictionary is in reach, but no longer than clients with that dictionary have to take
    (Chromium takes 1.25 times its length, within 8 and 128 MiB)."""
    most = math.ceil(math.log2(max(1.25 * dictionary_bytes, 1)))
    most = min(max(most, _LEAST_LOG), _MOST_LOG)
    return max(_LEAST_WINDOW_LOG, min(math.ceil(math.log2(max(size, 1))), most))
