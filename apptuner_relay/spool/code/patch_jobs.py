"""What the worker does with patches of bundles. `worker` has the requests and their answers."""

import mmap
import os
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from apptuner_relay.spool.code.bundle_messages import MessageWriter
from apptuner_relay.spool.code.patch_apply import apply_patch
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.spool.code.whole_files import whole_file
from apptuner_relay.wire.bundle_patch import (
    MOST_PATCH_BYTES,
    BadPatch,
    PatchFault,
    build_patch,
    parse_patch,
)

_READ_BYTES = 128 * 1024

_Answer = dict[str, Any]
_Steps = Generator[_Answer | None, None, None]
"""The steps of a request: each yields None, and the last one the answer."""


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


def _mapped(path: str) -> bytes | mmap.mmap:
    with open(path, "rb") as file:
        # A file without bytes can't be mapped.
        is_empty = not os.fstat(file.fileno()).st_size
        return b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def patching(request: _Answer) -> _Steps:
    """Apply a patch to a file with code, and write the result to another one."""
    try:
        patch = parse_patch(request["message"].encode())
        if patch.base != request["base_sha256"]:
            raise BadPatch(PatchFault.BASE)
        base = _mapped(request["path"])
        with whole_file(request["part"], request["output"]) as out:
            yield from apply_patch(patch, base, out, request["limit"])
    except BadPatch as refusal:
        yield {"error": "the patch is refused", "fault": refusal.fault.value}
    else:
        yield {"sha256": patch.sha256, "size": patch.size, "units": patch.units}


def writing(request: _Answer) -> _Steps:
    """Write the messages of a file with code to another one."""
    with (
        open(request["path"], "rb", buffering=0) as code,
        whole_file(request["part"], request["output"]) as out,
    ):
        size = os.fstat(code.fileno()).st_size
        messages = MessageWriter(out, size, request["now_ms"], request["limit"])
        while block := code.read(_READ_BYTES):
            messages.write(block)
            yield None
        messages.finish()
        size = out.tell()
    yield {"size": size}
