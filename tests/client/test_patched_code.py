"""`apptuner_relay.client.patched_code`: what is made of a patch, and what is refused."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.patched_code import patched_code
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault, build_patch

from .bundle_server import sha256

BASE, NEW = "let a = '🛒';\n".encode(), "let a = 'é🛍';\n".encode()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def patch(base: bytes, new: bytes) -> dict[str, Any]:
    """The message, parsed."""
    made = make_patch(base, sha256(base), new, sha256(new), time.monotonic)
    message: dict[str, Any] = json.loads(build_patch(made, 1))
    return message


def by_hand(base: bytes, new: bytes, *edits: list[object]) -> dict[str, Any]:
    return {
        "type": "bundle_patch",
        "base": sha256(base),
        "sha256": sha256(new),
        "size": len(new),
        "units": len(new.decode().encode("utf-16-le")) // 2,
        "edits": list(edits),
        "timestamp": 1,
    }


class PatchedCodeTest(SynchronousTestCase):
    def fault(self, message: dict[str, Any], base: bytes | None = BASE) -> PatchFault:
        label = None if base is None else sha256(base)
        return self.assertRaises(BadPatch, patched_code, message, base, label).fault

    def test_it_is_applied(self) -> None:
        message = by_hand(BASE, NEW, [9, 11, "é🛍", "🛒"])
        self.assertEqual(patched_code(message, BASE, sha256(BASE)), NEW)

    @given(TEXTS, TEXTS, TEXTS, TEXTS)
    def test_what_is_made_of_it_is_what_it_was_made_of(
        self, start: str, old: str, new: str, end: str
    ) -> None:
        before, after = (f"{start}{text}{end}".encode() for text in (old, new))
        try:
            message = patch(before, after)
        except TooDifferent:
            return
        self.assertEqual(patched_code(message, before, sha256(before)), after)

    def test_other_code(self) -> None:
        message = by_hand(BASE, NEW, [9, 11, "é🛍"])
        self.assertIs(self.fault(message, None), PatchFault.BASE)
        self.assertIs(self.fault(message, NEW), PatchFault.BASE)

    def test_what_does_not_fit(self) -> None:
        good = by_hand(BASE, NEW, [9, 11, "é🛍"])
        for change, fault in (
            ({"edits": [[9, 11, "é🛍", "x"]]}, PatchFault.OLD),
            ({"edits": [[9, 11, "ê🛍"]]}, PatchFault.SHA256),
            ({"edits": [[9, 10, "é🛍"]]}, PatchFault.SURROGATE),
            ({"edits": [[9, 999, "é🛍"]]}, PatchFault.BOUNDS),
            ({"size": 1}, PatchFault.SIZE),
            ({"size": 2**50}, PatchFault.TOO_BIG),
            ({"units": 1}, PatchFault.UNITS),
            ({"sha256": sha256(BASE)}, PatchFault.SHA256),
            ({"sha256": None}, PatchFault.MALFORMED),
            ({"edits": {}}, PatchFault.MALFORMED),
        ):
            self.assertIs(self.fault({**good, **change}), fault, change)

    @given(st.dictionaries(st.sampled_from(("base", "sha256", "size", "units", "edits")),
                           st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                                        lambda inner: st.lists(inner, max_size=4))))  # fmt: skip
    def test_nothing_else_is_raised(self, change: dict[str, Any]) -> None:
        good = by_hand(BASE, NEW, [9, 11, "é🛍"])
        try:
            made = patched_code({**good, **change}, BASE, sha256(BASE))
        except BadPatch:
            return
        self.assertEqual(made, NEW)
