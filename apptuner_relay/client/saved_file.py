"""A file with a bundle, at one moment: what tells it from the file at another, and its content."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """What a file looks like from outside. Where that is another, it may have other content."""

    device: int
    inode: int
    """Another where another file took its place by a rename."""
    size: int
    modified_ns: int
    changed_ns: int
    """Of its inode: who sets back the other time, as an unpacked archive does, changes this."""

    @classmethod
    def at(cls, file: Path | int) -> Look:
        """Look at a file, by its path or descriptor.

        Raises `OSError`, and `NotAFileError` for what is there and is no regular file.
        """
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            raise NotAFileError
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


class NotAFileError(Exception):
    """A path leads to a directory, a pipe or a device."""


@dataclass(frozen=True)
class Save:
    """The code that a file has had."""

    code: bytes
    """UTF-8."""
    sha256: str
    """In hex."""

    @classmethod
    def of(cls, code: bytes) -> Save:
        """Raises `UnicodeDecodeError` for what is not UTF-8."""
        code.decode()
        return cls(code, hashlib.sha256(code).hexdigest())


def read_bytes(path: Path) -> tuple[Look, bytes] | None:
    """Read a file; None where it has changed meanwhile.

    Raises `OSError` and `NotAFileError`.
    """
    # A pipe that has taken the file's place would have nobody at its other end.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        before = Look.at(file.fileno())
        code = file.read()
        after = Look.at(file.fileno())
    return (after, code) if before == after and len(code) == after.size else None
