"""`apptuner_relay.wire.bundle_patch`: the message, and all that may be wrong with it by itself."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.bundle_patch import (
    MOST_EDITS,
    MOST_PATCH_BYTES,
    BadPatch,
    BundlePatch,
    Edit,
    PatchFault,
    build_patch,
    parse_patch,
)

BASE, RESULT = "a" * 64, "0b" * 32
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@st.composite
def patches(draw: st.DrawFn) -> BundlePatch:
    """Patches that are right by themselves."""
    offsets = sorted(draw(st.lists(st.integers(0, 2**53 - 1), max_size=20)))
    texts = st.text(max_size=20)
    edits = [
        Edit(start, end, draw(texts), draw(texts))
        for start, end in zip(offsets[::2], offsets[1::2], strict=False)
    ]
    return BundlePatch(BASE, RESULT, draw(st.integers(0, 10**9)), 7, edits)


def message(**changed: Any) -> bytes:
    """A right message, in which these fields are changed."""
    fields = {
        "type": "bundle_patch",
        "base": BASE,
        "sha256": RESULT,
        "size": 9,
        "units": 8,
        "edits": [[0, 2, "é", "x"], [2, 2, "😀"]],
        "timestamp": 1,
    }
    return json.dumps(fields | changed).encode()


class TheMessage(SynchronousTestCase):
    @given(patches())
    def test_what_is_built_is_read(self, patch: BundlePatch) -> None:
        self.assertEqual(parse_patch(build_patch(patch, 5)), patch)

    def test_its_form(self) -> None:
        patch = BundlePatch(BASE, RESULT, 9, 8, [Edit(0, 2, "é", "x"), Edit(2, 2, "😀")])
        self.assertEqual(json.loads(build_patch(patch, 1)), json.loads(message()))
        self.assertTrue(build_patch(patch, 1).startswith(b'{"type":"bundle_patch","base":"'))
        self.assertEqual(parse_patch(message(more=[1])), patch)


class Refusals(SynchronousTestCase):
    def refused(self, text: bytes, fault: PatchFault) -> None:
        with self.subTest(text[:200]):
            with self.assertRaises(BadPatch) as caught:
                parse_patch(text)
            self.assertIs(caught.exception.fault, fault)

    def test_what_is_malformed(self) -> None:
        for text in (
            b"",
            b"[]",
            b"{",
            b"\xff",
            b"\xef\xbb\xbf" + message(),
            b"[" * 100_000,
            message(type="bundle_update"),
            message(base="A" * 64),
            message(base=None),
            message(sha256="ab"),
            message(size=1.5),
            message(size=-1),
            message(size=True),
            message(units=2**53),
            message(units="8"),
            message(edits={}),
            message(edits=[[0, 1]]),
            message(edits=[[0, 1, "", "", ""]]),
            message(edits=[[0.0, 1, ""]]),
            message(edits=[[0, 1, None]]),
            message(edits=[[0, 1, "", 1]]),
            message(edits=["abc"]),
            message().replace(b'"size": 9', b'"size": NaN'),
            message().replace(b'"size": 9', b'"size": ' + b"9" * 5000),
        ):
            self.refused(text, PatchFault.MALFORMED)

    def test_edits_that_overlap_or_do_not_ascend(self) -> None:
        for edits in ([[2, 1, ""]], [[0, 2, ""], [1, 3, ""]], [[5, 6, ""], [0, 1, ""]]):
            self.refused(message(edits=edits), PatchFault.ORDER)

    def test_half_a_surrogate_pair(self) -> None:
        for edit in ([0, 1, "\ud83d"], [0, 1, "a\ude00"], [0, 1, "", "\ud83d"]):
            self.refused(message(edits=[edit]), PatchFault.SURROGATE)

    def test_a_pair_of_escapes_is_a_character(self) -> None:
        patch = parse_patch(message(edits=[[0, 1, "\ud83d\ude00"]]))
        self.assertEqual(patch.edits[0].text, "😀")

    def test_limits(self) -> None:
        edits = [[at, at, ""] for at in range(MOST_EDITS + 1)]
        self.refused(message(edits=edits), PatchFault.TOO_MANY)
        self.assertEqual(len(parse_patch(message(edits=edits[1:])).edits), MOST_EDITS)
        self.refused(message() + b" " * MOST_PATCH_BYTES, PatchFault.TOO_BIG)

    def test_the_last_of_two_keys_counts_as_it_does_to_phones(self) -> None:
        text = message()[:-1] + b',"type":"log"}'
        self.refused(text, PatchFault.MALFORMED)

    @given(st.dictionaries(st.sampled_from(["base", "size", "edits", "type"]), JSON_VALUES))
    def test_nothing_else_is_raised(self, changed: dict[str, Any]) -> None:
        try:
            parse_patch(message(**changed))
        except BadPatch as refusal:
            self.assertEqual(str(refusal), refusal.fault.value)
