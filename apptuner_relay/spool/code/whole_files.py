"""Files that are there whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


@contextmanager
def whole_file(part: str, output: str) -> Iterator[BinaryIO]:
    """Write a file that only its owner may read. It is ``part`` while a `with` lasts, and then
    ``output``; where the `with` ends with an exception, it is removed.

    :raises OSError: it can't be written.
    """
    try:
        with open(part, "wb", opener=_private) as file:
            yield file
        os.replace(part, output)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
