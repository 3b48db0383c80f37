"""What the worker does with patches of bundles. `worker` has the requests and their answers."""

import mmap
import os
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any, NamedTuple

from apptuner_relay.spool.code.bundle_messages import MessageWriter
from apptuner_relay.spool.code.patch_apply import Output, apply_patch
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import Text, TooDifferent
from apptuner_relay.wire.bundle_patch import (
    MOST_PATCH_BYTES,
    BadPatch,
    PatchFault,
    build_patch,
    parse_patch,
)

_Answer = dict[str, Any]
_Steps = Generator[_Answer | None, None, None]
"""The steps of a request: each yields None, and the last one the answer."""


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


class PatchJob:
    """A request about a patch, in steps."""

    has_work = True

    def __init__(self, steps: _Steps) -> None:
        self._steps = steps

    def step(self) -> _Answer | None:
        """Do a step. Returns the answer, where that was the last one."""
        return next(self._steps)

    def close(self) -> None:
        """Give up."""
        # Closing the file writes what is buffered, and the disk may be full. Nobody needs it.
        with suppress(OSError):
            self._steps.close()


class _Both(NamedTuple):
    """Code goes to both."""

    one: Output
    other: Output

    def write(self, code: bytes) -> int:
        """See `Output`."""
        self.one.write(code)
        return self.other.write(code)


def diffing(request: _Answer) -> _Steps:
    """Find the patch between two files with code."""
    base, new = (_mapped(request[which]) for which in ("base", "path"))
    try:
        patch = make_patch(base, request["base_sha256"], new, request["sha256"], time.monotonic)
        message = build_patch(patch, request["now_ms"])
    except TooDifferent:
        message = b""
    if 0 < len(message) <= MOST_PATCH_BYTES:
        yield {"message": message.decode()}
    else:
        yield {"error": "the bundles are too different"}


def _mapped(path: str) -> Text:
    with open(path, "rb") as file:
        # A file without bytes can't be mapped.
        is_empty = not os.fstat(file.fileno()).st_size
        return b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def patching(request: _Answer) -> _Steps:
    """Apply a patch to a file with code, and write the result to another one, and its messages to a
    third."""
    part, code, limit = request["part"], request["code"], request["limit"]
    try:
        patch = parse_patch(request["message"].encode())
        if patch.base != request["base_sha256"]:
            raise BadPatch(PatchFault.BASE)
        try:
            with (
                open(request["path"], "rb") as base,
                open(part, "wb", opener=private) as out,
                open(f"{code}.part", "wb", opener=private) as code_out,
            ):
                messages = MessageWriter(out, patch.size, patch.units, request["now_ms"], limit)
                yield from apply_patch(patch, base, _Both(code_out, messages), limit)
                messages.finish()
            os.replace(f"{code}.part", code)
            os.replace(part, request["output"])
        finally:
            for left in (part, f"{code}.part"):
                with suppress(FileNotFoundError):
                    os.unlink(left)
    except BadPatch as refusal:
        yield {"error": "the patch is refused", "fault": refusal.fault.value}
    else:
        yield {"sha256": patch.sha256, "size": patch.size, "units": patch.units}
