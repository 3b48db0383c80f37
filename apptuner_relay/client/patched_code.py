"""What a phone makes of a patch: code of the code that it has. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping

from apptuner_relay.client.bundles import MAX_MESSAGE_BYTES
from apptuner_relay.spool.code.patch_apply import apply_patch
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault, patch_in


def patched_code(message: Mapping[str, object], base: bytes | None, sha256: str | None) -> bytes:
    """The code that the message `bundle_patch` makes of `base`, of which `sha256` is the hash.

    It has the SHA-256 that the patch says. Raises `BadPatch` for a patch of other code, or one that
    can't be applied.
    """
    patch = patch_in(message)
    if base is None or patch.base != sha256:
        raise BadPatch(PatchFault.BASE)
    out = io.BytesIO()
    # A patch adds no more than its own message has.
    for _ in apply_patch(patch, base, out, len(base) + MAX_MESSAGE_BYTES):
        pass
    return out.getvalue()
