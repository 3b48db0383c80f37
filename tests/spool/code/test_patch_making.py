"""`apptuner_relay.spool.code.patch_making`: patches that phones can apply, as they count."""

import json

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.patch_making import EDITS_WITH_OLD, MOST_OLD_BYTES, make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.wire.bundle_patch import BundlePatch, build_patch, parse_patch
from tests.spool.code.patch_texts import in_javascript, pairs
from tests.spool.code.test_text_diff import modules, no_time
from tests.spool.wire_forms import sha256


def patch_between(base: str, new: str) -> BundlePatch:
    return make_patch(base.encode(), sha256(base), new.encode(), sha256(new), no_time)


class Making(SynchronousTestCase):
    @given(pairs())
    def test_a_phone_gets_the_new_code(self, pair: tuple[str, str]) -> None:
        base, new = pair
        try:
            patch = patch_between(base, new)
        except TooDifferent:
            return
        message = build_patch(patch, 1)
        self.assertEqual(parse_patch(message), patch)
        self.assertEqual(in_javascript(base, json.loads(message)["edits"]), new)
        self.assertEqual((patch.units, patch.size), (utf16_length(new), len(new.encode())))
        self.assertEqual((patch.base, patch.sha256), (sha256(base), sha256(new)))

    def test_what_is_replaced_is_said_of_the_last_edits(self) -> None:
        patch = patch_between(modules(50), modules(50, first=10_000))
        self.assertEqual(len(patch.edits), 50)
        self.assertEqual([bool(edit.old) for edit in patch.edits[-EDITS_WITH_OLD:]], [True] * 16)
        self.assertFalse(any(edit.old for edit in patch.edits[:-EDITS_WITH_OLD]))

    def test_a_long_text_is_said_in_part(self) -> None:
        base = modules(50) + "é" * 100 + modules(2)
        patch = patch_between(base, base.replace("é", ""))
        self.assertEqual([edit.old for edit in patch.edits], ["é" * (MOST_OLD_BYTES // 2)])

    def test_what_may_be_half_a_pair_is_not_patched(self) -> None:
        base = modules(50)
        with self.assertRaises(TooDifferent):
            patch_between(base, base.replace("number 7'", "number \ufffd'"))
        patch = patch_between(base.replace("number 7'", "number \ufffd'"), base)
        self.assertEqual([edit.old for edit in patch.edits], [""])
