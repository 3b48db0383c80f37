"""Makes a bundle's code of another's by a patch, and checks that it is what the patch says.

It works on files, a block at a time: what is in memory is bounded by the size of a block and of the
patch.
"""

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Protocol

from apptuner_relay.spool.code.utf16_offsets import BytesOfUnits, utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, BundlePatch, PatchFault

BLOCK_BYTES = 128 * 1024
"""How many bytes of a file are read at a time."""


class Output(Protocol):
    """Where code goes."""

    def write(self, code: bytes, /) -> int:
        """Take the next of it."""


def apply_patch(patch: BundlePatch, base: BinaryIO, out: Output, most_bytes: int) -> Iterator[None]:
    """Write to ``out`` what ``patch`` makes of ``base``. Yields after each block.

    What was written is of use when this has ended: only then all of it has been checked. That
    ``base`` is the patch's base is for the caller to know.

    :param base: a file with UTF-8, at its beginning.
    :param most_bytes: how many bytes the result may have.
    :raises BadPatch: the result isn't what the patch says, or the patch doesn't fit the base.
    """
    if patch.size > most_bytes:
        raise BadPatch(PatchFault.TOO_BIG)
    edits = patch.edits
    offsets = BytesOfUnits([offset for edit in edits for offset in (edit.start, edit.end)])
    while block := base.read(BLOCK_BYTES):
        offsets.feed(block)
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
        base.seek(start)
        if len(old) > end - start or base.read(len(old)) != old:
            raise BadPatch(PatchFault.OLD)
    sha256 = hashlib.sha256()
    for (start, end), text in zip(parts, [*texts, b""], strict=True):
        base.seek(start)
        while block := base.read(min(BLOCK_BYTES, end - base.tell())):
            sha256.update(block)
            out.write(block)
            yield
        sha256.update(text)
        out.write(text)
    if sha256.hexdigest() != patch.sha256:
        raise BadPatch(PatchFault.SHA256)
