"""Replaces files so that no reader ever sees a part of the new content, or nothing at all.

Not here: downloads that are kept in parts, see `part`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import IO

from apptuner_relay.client.outcome import UsageError


class Draft:
    """A file beside another, to take its place. Raises `OSError` if it can't be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
        self.file: IO[bytes] = self._draft.open("xb")
        """To be closed by who writes it."""

    def publish(self) -> None:
        """Put it in the other's place. Raises `OSError`, and is discarded, if it can't be done."""
        try:
            self._draft.replace(self._path)
        except OSError:
            self.discard()
            raise

    def discard(self) -> None:
        """Delete it. Harmless while somebody still writes to it."""
        with contextlib.suppress(OSError):
            self._draft.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file's content.

    Raises `OSError`, and leaves what was there before, when it can't be done.
    """
    draft = Draft(path)
    try:
        with draft.file as file:
            file.write(content)
    except OSError:
        draft.discard()
        raise
    draft.publish()


def could_not_write(error: OSError) -> str:
    """What to tell the user."""
    return f"could not write the file: {error.strerror or error}"


def checked_output(path: Path) -> Path:
    """Where to write, with symbolic links followed: renaming over one would replace it.

    Raises `UsageError` for what can't be written to.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise UsageError(f"{path} is not a regular file")
    if not target.parent.is_dir():
        raise UsageError(f"{path}: the directory does not exist")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: the directory can't be written to")
    return target
