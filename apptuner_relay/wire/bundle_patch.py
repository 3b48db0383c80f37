"""The message ``bundle_patch``: a bundle as the edits that make it of another one. Pure.

It is read and checked here as far as it says by itself what is wrong with it. Whether it fits its
base is for `spool.code.patch_apply`.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from apptuner_relay.wire.messages import compact_json
from apptuner_relay.wire.text import parse_json

PATCH_TYPE = "bundle_patch"
PATCH_MEDIA_TYPE = "application/vnd.apptuner.bundle-patch+json"
"""The media type (RFC 6838) of a patch over HTTP."""
MOST_EDITS = 4_000
"""Beyond this, a whole bundle is little more work for everybody."""
MOST_PATCH_BYTES = 1024 * 1024
"""The largest message, inflated. iOS copes badly with more, and parsing it may take some thirty
times that in memory, whatever is in it."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_INTEGER = 2**53 - 1
"""The largest that every client has exactly."""
_EDIT_FIELDS = (3, 4)


class PatchFault(Enum):
    """What is wrong with a patch; the value is the ``reason`` in ``bundle_wanted``."""

    MALFORMED = "malformed"
    """It isn't the message that the protocol describes."""
    TOO_BIG = "too_big"
    """It is above `MOST_PATCH_BYTES`, or what it makes is above ``--max-message``."""
    TOO_MANY = "too_many"
    """It has more than `MOST_EDITS` edits."""
    ORDER = "order"
    """Its edits don't ascend, or they overlap."""
    SURROGATE = "surrogate"
    """A text has half a surrogate pair, or an edit begins or ends inside a pair."""
    BOUNDS = "bounds"
    """An edit is beyond the end of the base."""
    BASE = "base"
    """The base isn't the bundle that is kept, or none is."""
    OLD = "old"
    """The base has another text where an edit says what it replaces."""
    UNITS = "units"
    """What it makes has another length."""
    SIZE = "size"
    """What it makes has another size."""
    SHA256 = "sha256"
    """What it makes has another SHA-256."""
    TARGET = "target"
    """It is for one device: bundles for one device aren't kept."""
    NOT_NOW = "not_now"
    """It can't be checked now: the disk or the worker process has failed."""


class BadPatch(ValueError):
    """A patch is refused. The text is the reason word."""

    def __init__(self, fault: PatchFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Edit(NamedTuple):
    """Replaces a part of the base. Offsets are in UTF-16 code units of the base."""

    start: int
    end: int
    text: str
    old: str = ""
    """What the replaced part begins with, as a check; nothing where the patch doesn't say."""


class BundlePatch(NamedTuple):
    """How a bundle's code is made of another's, its base."""

    base: str
    """Hex SHA-256 of the base, as UTF-8."""
    sha256: str
    """Hex SHA-256 of the result, as UTF-8."""
    size: int
    """Bytes of the result, as UTF-8."""
    units: int
    """UTF-16 code units of the result."""
    edits: Sequence[Edit]
    """In the order of the base; they don't overlap."""


def build_patch(patch: BundlePatch, now_ms: int) -> bytes:
    """The message.

    :param now_ms: the time in ms since the epoch.
    """
    edits = [edit if edit.old else edit[:3] for edit in patch.edits]
    fields = patch._asdict() | {"edits": edits}
    return compact_json({"type": PATCH_TYPE, **fields, "timestamp": now_ms})


def parse_patch(message: bytes) -> BundlePatch:
    """Read the message, inflated. Fields that are unknown are passed over.

    :raises BadPatch: for anything but `PatchFault`'s ``BASE``, ``OLD``, ``UNITS``, ``SIZE``,
        ``SHA256``, ``TARGET`` and ``NOT_NOW``.
    """
    if len(message) > MOST_PATCH_BYTES:
        raise BadPatch(PatchFault.TOO_BIG)
    try:
        fields = parse_json(message)
    except ValueError:
        raise BadPatch(PatchFault.MALFORMED) from None
    return patch_in(fields)


def patch_in(fields: object) -> BundlePatch:
    """Read the message, parsed.

    :raises BadPatch: see `parse_patch`.
    """
    if not isinstance(fields, dict) or fields.get("type") != PATCH_TYPE:
        raise BadPatch(PatchFault.MALFORMED)
    rows = fields.get("edits")
    if not isinstance(rows, list):
        raise BadPatch(PatchFault.MALFORMED)
    if len(rows) > MOST_EDITS:
        raise BadPatch(PatchFault.TOO_MANY)
    edits = [_edit(row) for row in rows]
    at = 0
    for edit in edits:
        if not at <= edit.start <= edit.end:
            raise BadPatch(PatchFault.ORDER)
        at = edit.end
    return BundlePatch(
        _sha256(fields.get("base")),
        _sha256(fields.get("sha256")),
        _integer(fields.get("size")),
        _integer(fields.get("units")),
        edits,
    )


def _edit(row: Any) -> Edit:
    if not isinstance(row, list) or len(row) not in _EDIT_FIELDS:
        raise BadPatch(PatchFault.MALFORMED)
    start, end, *texts = row
    return Edit(_integer(start), _integer(end), *map(_text, texts))


def _integer(value: Any) -> int:
    # A bool is an int to isinstance, and 1.0 is an integer to JavaScript alone.
    if type(value) is not int or not 0 <= value <= _MOST_INTEGER:
        raise BadPatch(PatchFault.MALFORMED)
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BadPatch(PatchFault.MALFORMED)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadPatch(PatchFault.MALFORMED)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadPatch(PatchFault.SURROGATE) from None
    return value
