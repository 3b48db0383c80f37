"""Makes the patch that leads from one bundle's code to another's."""

from collections.abc import Callable, Sequence

from apptuner_relay.spool.code.text_diff import ByteEdit, Text, TooDifferent, diff
from apptuner_relay.spool.code.utf16_offsets import UnitsOfBytes, utf16_length
from apptuner_relay.wire.bundle_patch import BundlePatch, Edit

MOST_OLD_BYTES = 64
"""How much of the text that an edit replaces is sent along, as a check, at most."""
EDITS_WITH_OLD = 16
"""How many edits have that: the last ones, as what tells two builds apart is often at the end."""

_BLOCK_BYTES = 128 * 1024
_REPLACEMENT = "\ufffd"


def make_patch(
    base: Text, base_sha256: str, new: Text, new_sha256: str, seconds: Callable[[], float]
) -> BundlePatch:
    """The patch that makes ``new`` of ``base``, which are UTF-8.

    :param base_sha256: of ``base``, in hex, as ``new_sha256`` is of ``new``.
    :param seconds: a monotonic clock.
    :raises TooDifferent: there is none that would be of use.
    """
    found = diff(base, new, seconds)
    offsets, units = _offsets(base, found)
    edits: list[Edit] = []
    inserted = 0
    for at, edit in enumerate(found):
        text = new[edit.new_start : edit.new_end].decode()
        if _REPLACEMENT in text:
            # It may stand for half a surrogate pair, which phones get as it is in a whole bundle.
            raise TooDifferent
        start, end = offsets[2 * at : 2 * at + 2]
        old = _old_text(base, edit) if len(found) - at <= EDITS_WITH_OLD else ""
        edits.append(Edit(start, end, text, old))
        inserted += utf16_length(text) - (end - start)
    return BundlePatch(base_sha256, new_sha256, len(new), units + inserted, edits)


def _offsets(base: Text, edits: Sequence[ByteEdit]) -> tuple[list[int], int]:
    """Where edits start and end in UTF-16 code units, in turn, and how many ``base`` has."""
    mapping = UnitsOfBytes([offset for edit in edits for offset in (edit.start, edit.end)])
    for at in range(0, len(base), _BLOCK_BYTES):
        mapping.feed(base[at : at + _BLOCK_BYTES])
    return mapping.finish(), mapping.units


def _old_text(base: Text, edit: ByteEdit) -> str:
    stop = min(edit.end, edit.start + MOST_OLD_BYTES)
    # The last character may be cut.
    text = base[edit.start : stop].decode(errors="ignore")
    return "" if _REPLACEMENT in text else text
