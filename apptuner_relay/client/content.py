"""Content addresses: what a user says that is here already, as the wire's SHA-256."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from apptuner_relay.client.command import checked
from apptuner_relay.client.outcome import UsageError
from apptuner_relay.client.representation import is_sha256


def sha256_hex(text: str) -> str:
    """`text`, if it is a SHA-256, in lower case. Raises `ValueError` with a text for the user."""
    if not is_sha256(text.lower()):
        raise ValueError(f"{text!r} is no SHA-256: 64 hex digits make one")
    return text.lower()


def add_have_argument(parser: argparse.ArgumentParser, effect: str) -> None:
    """`--have`; read it with `had`."""
    parser.add_argument(
        "--have",
        metavar="SHA256|FILE",
        type=checked(_not_empty),
        help=f"say which code is here already, by its SHA-256 or by the file that has it: {effect}",
    )


def had(have: str | None, output: Path | None) -> str | None:
    """The SHA-256 that `--have` stands for, or None where there is nothing.

    Its file may be missing if it is the very one that the command is to write.
    Raises `UsageError` when it can't be read.
    """
    if have is None:
        return None
    try:
        return sha256_hex(have)
    except ValueError:
        path = Path(have)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        if output is not None and path.resolve() == output.resolve():
            return None
        raise UsageError(f"--have {have}: neither a SHA-256 (64 hex digits) nor a file") from None
    except OSError as error:
        raise UsageError(f"--have {have}: {error.strerror or error}") from None


def had_code(have: str | None, output: Path | None) -> bytes | None:
    """The code that `--have` stands for, or None where there is nothing: what patches change.

    A SHA-256 has to be that of the file which the command is to write; a file may be missing as for
    `had`. Raises `UsageError` when the code can't be read, or is not UTF-8.
    """
    if have is None:
        return None
    try:
        wanted: str | None = sha256_hex(have)
        path = output
    except ValueError:
        if had(have, output) is None:
            return None
        wanted, path = None, Path(have)
    try:
        code = path.read_bytes() if path is not None else b""
        code.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (at byte {error.start:,})") from None
    except OSError as error:
        if wanted is None:
            raise UsageError(f"--have {have}: {error.strerror or error}") from None
        path = None
    if path is None or wanted not in (None, hashlib.sha256(code).hexdigest()):
        raise UsageError(
            f"--have {have}: with --patch it has to be a FILE that has the code, as that is changed"
        )
    return code


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("it needs a SHA-256 or a file")
    return text
