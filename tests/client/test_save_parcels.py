"""`apptuner_relay.client.save_parcels`: saves as patches and whole, that a phone can take."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.bundles import BundleError, Form, Joiner
from apptuner_relay.client.patched_code import patched_code
from apptuner_relay.client.save_parcels import save_messages
from apptuner_relay.client.saved_file import Save

LINES = "".join(f"log('é🛒 {number}');\n" for number in range(200))


def save(text: str) -> Save:
    return Save.of(text.encode())


def taken(messages: Sequence[bytes]) -> bytes | None:
    """What a phone makes of a whole bundle."""
    joiner, code = Joiner(), None
    for message in messages:
        code = joiner.feed(json.loads(message))
    return code


class SaveMessagesTest(SynchronousTestCase):
    def test_a_patch(self) -> None:
        base, new = save(LINES), save(LINES.replace(" 77'", " seventy-seven'"))
        made = save_messages(new, base, None, None, 5)
        self.assertTrue(made.is_patch)
        [message] = made.messages
        self.assertLess(len(message), 300)
        self.assertEqual(json.loads(message)["timestamp"], 5)
        self.assertEqual(patched_code(json.loads(message), base.code, base.sha256), new.code)

    def test_whole(self) -> None:
        base, new = save(LINES), save(LINES + "// end")
        for made in (
            save_messages(new, None, None, None, 5),
            save_messages(new, base, "ann", None, 5),
        ):
            self.assertEqual((made.is_patch, made.no_patch_because), (False, ""))
            self.assertEqual(taken(made.messages), new.code)
        self.assertEqual(json.loads(made.messages[0])["targetDeviceId"], "ann")

    def test_in_a_form(self) -> None:
        made = save_messages(save(LINES), None, None, Form.CHUNKS, 5)
        self.assertEqual(json.loads(made.messages[0])["type"], "bundle_start")
        self.assertEqual(taken(made.messages), LINES.encode())

    def test_why_it_is_whole_all_the_same(self) -> None:
        for before, after, words in (
            (LINES, LINES[::-1], "too much has changed for a patch"),
            (LINES, LINES + "\ufffd", "too much has changed for a patch"),
            ("let a;\n" * 8, "let a;\n" * 8 + "b", "a patch would have "),
        ):
            made = save_messages(save(after), save(before), None, None, 5)
            self.assertFalse(made.is_patch)
            self.assertIn(words, made.no_patch_because)
            self.assertEqual(taken(made.messages), after.encode())

    def test_what_no_relay_would_take(self) -> None:
        large = save("x" * 52_428_800)
        self.assertRaises(BundleError, save_messages, large, None, None, Form.SINGLE, 5)

    @given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
    def test_whatever_changes(self, old: str, new: str) -> None:
        base, after = (save(LINES + text + LINES) for text in (old, new))
        made = save_messages(after, base, None, None, 5)
        if made.is_patch:
            message = json.loads(made.messages[0])
            self.assertEqual(patched_code(message, base.code, base.sha256), after.code)
        else:
            self.assertEqual(taken(made.messages), after.code)
