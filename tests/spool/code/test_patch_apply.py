"""`apptuner_relay.spool.code.patch_apply`: right patches make the code, all others are refused."""

import io
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.patch_apply import COPIED_BYTES, MAPPED_BYTES, apply_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, BundlePatch, Edit, PatchFault
from tests.spool.code.patch_texts import in_javascript, pairs, texts
from tests.spool.code.test_patch_making import patch_between
from tests.spool.wire_forms import sha256

LIMIT = 50 * 1024 * 1024


def applied(patch: BundlePatch, base: str, most_bytes: int = LIMIT) -> str:
    out = io.BytesIO()
    for _ in apply_patch(patch, base.encode(), out, most_bytes):
        pass
    return out.getvalue().decode()


def patch_to(new: str, edits: Sequence[tuple[Any, ...]], **changed: Any) -> BundlePatch:
    """A patch that makes ``new``, as it says."""
    size, units = len(new.encode()), utf16_length(new)
    patch = BundlePatch("", sha256(new), size, units, [Edit(*edit) for edit in edits])
    return patch._replace(**changed)


@st.composite
def edits_of(draw: st.DrawFn, base: str) -> list[tuple[int, int, str]]:
    """Edits of ``base``, between characters."""
    places = sorted(draw(st.lists(st.integers(0, len(base)), max_size=8)))
    units = [utf16_length(base[:place]) for place in places]
    return [
        (start, end, draw(st.text(max_size=5)))
        for start, end in zip(units[::2], units[1::2], strict=False)
    ]


class Right(SynchronousTestCase):
    @given(pairs())
    def test_what_is_found_is_applied(self, pair: tuple[str, str]) -> None:
        base, new = pair
        try:
            patch = patch_between(base, new)
        except TooDifferent:
            return
        self.assertEqual(applied(patch, base), new)

    @given(st.data(), texts())
    def test_any_edits(self, data: st.DataObject, base: str) -> None:
        edits = data.draw(edits_of(base))
        new = in_javascript(base, [[*edit] for edit in edits])
        self.assertEqual(applied(patch_to(new, edits), base), new)

    def test_over_many_blocks(self) -> None:
        half = "é🛒a" * (COPIED_BYTES // 8)
        base = half + half
        at = utf16_length(half)
        new = half + "🛍" + half
        steps = 0
        out = io.BytesIO()
        patch = patch_to(new, [(at, at, "🛍", "")])
        for _ in apply_patch(patch, base.encode(), out, LIMIT):
            steps += 1
        self.assertEqual(out.getvalue().decode(), new)
        size = len(base.encode())
        self.assertGreaterEqual(steps, size // MAPPED_BYTES + size // COPIED_BYTES)


class Wrong(SynchronousTestCase):
    def refused(self, fault: PatchFault, patch: BundlePatch, base: str, limit: int = LIMIT) -> None:
        with self.assertRaises(BadPatch) as caught:
            applied(patch, base, limit)
        self.assertIs(caught.exception.fault, fault)

    def test_each_check(self) -> None:
        base, new = "a🛒bc", "a🛒Xc"
        edit = (3, 4, "X", "b")
        self.assertEqual(applied(patch_to(new, [edit]), base, 7), new)
        self.refused(PatchFault.TOO_BIG, patch_to(new, [edit]), base, 6)
        self.refused(PatchFault.BOUNDS, patch_to(new, [edit, (4, 6, "")]), base)
        self.refused(PatchFault.BOUNDS, patch_to(new, [(2**53 - 1, 2**53 - 1, "X")]), base)
        self.refused(PatchFault.SURROGATE, patch_to(new, [(2, 4, "X")]), base)
        self.refused(PatchFault.SURROGATE, patch_to(new, [(0, 2, "X")]), base)
        self.refused(PatchFault.SIZE, patch_to(new, [edit], size=8), base)
        self.refused(PatchFault.UNITS, patch_to(new, [edit], units=6), base)
        self.refused(PatchFault.SHA256, patch_to(new, [edit], sha256="0" * 64), base)
        self.refused(PatchFault.SHA256, patch_to(new, [edit]), "b🛒bc")
        self.refused(PatchFault.OLD, patch_to(new, [(3, 4, "X", "c")]), base)
        self.refused(PatchFault.OLD, patch_to(new, [(3, 4, "X", "bc")]), base)
        self.refused(PatchFault.OLD, patch_to(new, [(3, 4, "X", "bcd")]), base)

    def test_what_is_too_big_by_its_edits_writes_nothing(self) -> None:
        out = io.BytesIO()
        patch = patch_to("", [(0, 0, "x" * 1000)])
        with self.assertRaises(BadPatch):
            list(apply_patch(patch, b"abc", out, 100))
        self.assertEqual(out.getvalue(), b"")

    @given(
        texts(),
        st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.text(max_size=3)), max_size=5),
        st.integers(0, 100),
        st.integers(0, 100),
    )
    def test_nothing_else_is_raised(
        self, base: str, shapes: list[tuple[int, int, str]], size: int, units: int
    ) -> None:
        edits, at = [], 0
        for skipped, length, text in shapes:
            edits.append((at + skipped, at + skipped + length, text))
            at += skipped + length
        with self.assertRaises(BadPatch):
            applied(patch_to("", edits, size=size, units=units, sha256="f" * 64), base)
