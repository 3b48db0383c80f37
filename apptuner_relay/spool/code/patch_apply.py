"""Makes a bundle's code of another's by a patch, and checks that it is what the patch says.

The base is a file in memory, whose parts go to the result without a copy in between; a block of it
at a time.
"""

import hashlib
import mmap
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from apptuner_relay.spool.code.utf16_offsets import BytesOfUnits, utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, BundlePatch, PatchFault

MAPPED_BYTES = 128 * 1024
"""In how much of the base offsets are looked up at a time: what is copied for that stays in the
processor's cache."""
COPIED_BYTES = 1024 * 1024
"""How much of the base is hashed and written at a time."""


class Output(Protocol):
    """Where code goes."""

    def write(self, code: bytes | memoryview, /) -> int:
        """Take the next of it."""


def apply_patch(
    patch: BundlePatch, base: bytes | mmap.mmap, out: Output, most_bytes: int
) -> Iterator[None]:
    """Write to ``out`` what ``patch`` makes of ``base``. Yields after each block.

    What was written is of use when this has ended: only then all of it has been checked. That
    ``base`` is the patch's base is for the caller to know.

    :param base: UTF-8.
    :param most_bytes: how many bytes the result may have.
    :raises BadPatch: the result isn't what the patch says, or the patch doesn't fit the base.
    """
    if patch.size > most_bytes:
        raise BadPatch(PatchFault.TOO_BIG)
    edits = patch.edits
    old_code = memoryview(base)
    offsets = BytesOfUnits([offset for edit in edits for offset in (edit.start, edit.end)])
    for at in range(0, len(old_code), MAPPED_BYTES):
        offsets.feed(bytes(old_code[at : at + MAPPED_BYTES]))
        yield
    found = offsets.finish()
    texts = [edit.text.encode() for edit in edits]
    # The parts of the base that stay: one before each edit, and one behind the last.
    parts = list(zip([0, *found[1::2]], [*found[::2], offsets.size], strict=True))
    if sum(end - start for start, end in parts) + sum(map(len, texts)) != patch.size:
        raise BadPatch(PatchFault.SIZE)
    removed = sum(edit.end - edit.start - utf16_length(edit.text) for edit in edits)
    if offsets.units - removed != patch.units:
        raise BadPatch(PatchFault.UNITS)
    for edit, ((_, start), (end, _)) in zip(edits, pairwise(parts), strict=True):
        old = edit.old.encode()
        if len(old) > end - start or old_code[start : start + len(old)] != old:
            raise BadPatch(PatchFault.OLD)
    sha256 = hashlib.sha256()
    for (start, end), text in zip(parts, [*texts, b""], strict=True):
        for at in range(start, end, COPIED_BYTES):
            block = old_code[at : min(at + COPIED_BYTES, end)]
            sha256.update(block)
            out.write(block)
            yield
        sha256.update(text)
        out.write(text)
    if sha256.hexdigest() != patch.sha256:
        raise BadPatch(PatchFault.SHA256)
