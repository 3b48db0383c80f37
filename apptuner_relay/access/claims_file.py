"""The file of claims: its lines, and how it is opened, locked, read and replaced. All of its I/O
blocks. `journal` says what is in it.

A line that is none of a claim is not thrown away with the next rewriting, but kept in
``claims.bad``. The last line is no bad one where it has no end: it was cut short by a crash.
"""

import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

from apptuner_relay.access.claims import MOST_CLAIMS, Claim

FILE = "claims"
BAD_FILE = "claims.bad"

_FILE_MODE = 0o600
_LINE = re.compile(rb"([0-9a-f]{64}) ([A-Za-z0-9_-]{43}) ([01]) ([0-9]{1,12}(?:\.[0-9]{1,9})?)")
_MOST_BYTES = 8 * MOST_CLAIMS * 150
"""A longer file is not read."""


class TooLong(OSError):
    """The file is longer than any file of claims."""

    def __init__(self) -> None:
        super().__init__(0, "it is too long to be a file of claims")


class Contents(NamedTuple):
    """What is in a file of claims."""

    claims: list[tuple[str, Claim, float]]
    """In the file's order, each with the wall clock's time of its last use."""
    bad: list[bytes]
    """The lines that are none of a claim."""


def lines_of(claims: Iterable[tuple[str, Claim, float]], ahead_s: float) -> bytes:
    """The file's lines for these claims. The wall clock is ``ahead_s`` ahead of the clock of their
    times."""
    return "".join(
        f"{session} {claim.proof} {int(claim.tokens)} {max(0.0, used_s + ahead_s):.3f}\n"
        for session, claim, used_s in claims
    ).encode()


def open_file(path: Path) -> IO[bytes]:
    """Open the file, or create it.

    :raises OSError: that has failed.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, _FILE_MODE), "r+b", buffering=0)


def lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed. Returns False where another process has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_anew(path: Path, data: bytes) -> IO[bytes]:
    """Replace the file. Returns the new one, open and locked.

    :raises OSError: that has failed; the old file is still there.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    file = os.fdopen(os.open(new, flags, _FILE_MODE), "r+b", buffering=0)
    try:
        lock(file)
        _write_all(file, data)
        os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # So that the new file is there after a power failure, too.
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        file.close()
        raise
    return file


def append(path: Path, file: IO[bytes], data: bytes) -> None:
    """Add lines to the open file at ``path``, and wait until they are on the disk.

    :raises OSError: that has failed, or the file is there no more.
    """
    if not is_at(path, file):
        raise OSError(0, "somebody has removed or replaced it")
    _write_all(file, data)
    os.fdatasync(file.fileno())


def is_at(path: Path, file: IO[bytes]) -> bool:
    """Whether an open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def read_claims(file: IO[bytes]) -> Contents:
    """What is in the file.

    :raises TooLong: it is none of claims.
    :raises OSError: it can't be read.
    """
    file.seek(0)
    # Unbuffered: it may take several reads.
    data = b"".join(iter(lambda: file.read(1 << 20), b""))
    if len(data) > _MOST_BYTES:
        raise TooLong
    found = Contents([], [])
    for line in data.split(b"\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            found.bad.append(line)
        else:
            session, proof = match[1].decode(), match[2].decode()
            found.claims.append((session, Claim(proof, match[3] == b"1"), float(match[4])))
    return found


def keep_bad(path: Path, lines: Iterable[bytes]) -> None:
    """Add bad lines of the file at ``path`` to ``claims.bad`` beside it.

    :raises OSError: that has failed.
    """
    there = path.with_name(BAD_FILE)
    with open_file(there) as file:
        append(there, file, b"".join(line + b"\n" for line in lines))


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
