"""`apptuner_relay.wire.bundle_ack`: what a phone says, and its name in it."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.bundle_ack import (
    MOST_ERROR_CHARACTERS,
    AckContent,
    name_ack,
    read_ack,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NO_REASON = "the phone gives no reason"


def ack(**fields: object) -> bytes:
    return json.dumps({"type": "bundle_ack", **fields}).encode()


class Reading(SynchronousTestCase):
    def error(self, **fields: object) -> str:
        answer = read_ack(ack(**fields))
        self.assertFalse(answer.success)
        assert answer.error is not None
        return answer.error

    def test_a_success(self) -> None:
        self.assertEqual(read_ack(ack(success=True)), AckContent(True, None))
        self.assertEqual(read_ack(ack(success=True, error="none")), AckContent(True, None))

    def test_anything_else_is_a_failure(self) -> None:
        for success in (False, None, 1, "true", [], {}):
            with self.subTest(success=success):
                self.assertEqual(self.error(success=success), NO_REASON)
        self.assertEqual(self.error(), NO_REASON)

    def test_an_error_may_be_any_value(self) -> None:
        said = {"name": "SyntaxError", "message": "Unexpected token"}
        self.assertEqual(self.error(error=said), "SyntaxError: Unexpected token")
        self.assertEqual(self.error(error={"message": "no"}), "no")
        self.assertEqual(self.error(error={"code": 7}), '{"code": 7}')
        self.assertEqual(self.error(error=[1, None]), "[1, null]")
        self.assertEqual(self.error(error=False), "false")
        self.assertEqual(self.error(error=None), NO_REASON)
        self.assertEqual(self.error(error="\n \x07"), NO_REASON)

    def test_an_error_is_one_printable_line(self) -> None:
        said = "Syntax\x1b[31mError\u202e:\n   at main.js\t7\x00"
        self.assertEqual(self.error(error=said), "Syntax [31mError : at main.js 7")
        long = self.error(error="x" * 10_000)
        self.assertEqual((len(long), long[-1]), (MOST_ERROR_CHARACTERS, "…"))

    def test_only_the_top_level_counts(self) -> None:
        text = b'{"type":"bundle_ack","inner":{"success":true,"error":"deep"},"error":"top"}'
        for complete in (True, False):
            self.assertEqual(read_ack(text, complete), AckContent(False, "top"))

    def test_of_one_that_is_cut_off_what_is_there_counts(self) -> None:
        whole = ack(success=False, error="Un\\expected \u00e4 " + "x" * 1000)
        answer = read_ack(whole[:200], False)
        self.assertFalse(answer.success)
        assert answer.error is not None
        self.assertTrue(answer.error.startswith("Un\\expected \u00e4 xxx"))
        self.assertTrue(read_ack(ack(success=True, more="x" * 1000)[:100], False).success)
        self.assertEqual(read_ack(ack(more="x" * 1000, success=True)[:100], False).error, NO_REASON)

    def test_a_later_key_counts_as_in_javascript(self) -> None:
        text = b'{"type":"bundle_ack","success":true,"success":false,"x":1}'
        self.assertFalse(read_ack(text).success)
        self.assertFalse(read_ack(text + b"  ", False).success)

    @given(success=VALUES, error=VALUES, cut=st.integers(0, 400))
    def test_any_beginning_of_any(self, success: object, error: object, cut: int) -> None:
        text = ack(success=success, error=error, more=[{"success": True}])
        whole = read_ack(text)
        self.assertEqual(read_ack(text, False).success, whole.success)
        self.assertEqual(whole.success, success is True)
        for answer in (whole, read_ack(text[:cut], False)):
            self.assertEqual(answer.success, answer.error is None)
            if answer.error is not None:
                self.assertTrue(answer.error.isprintable())
                self.assertLessEqual(len(answer.error), MOST_ERROR_CHARACTERS)

    def test_of_a_long_one_that_is_malformed_only_the_beginning_counts(self) -> None:
        start = b'{"type":"bundle_ack","success":false,"error":"first"'
        for filler in (b"{", b":", b'"",', b"[ "):
            text = start + b"," + filler * 30_000 + b',"error":"last"'
            self.assertEqual(read_ack(text), AckContent(False, "first"))

    @given(st.binary(max_size=300), st.booleans())
    def test_any_bytes(self, text: bytes, complete: bool) -> None:
        read_ack(text, complete)


class Naming(SynchronousTestCase):
    def named(self, text: bytes) -> object:
        return json.loads(name_ack(text, "ann", "Pixel 9"))

    def test_the_name_is_on_the_top_level(self) -> None:
        self.assertEqual(
            self.named(b'{"type":"bundle_ack","success":true}'),
            {"type": "bundle_ack", "success": True, "deviceId": "ann", "deviceName": "Pixel 9"},
        )

    def test_the_relays_word_wins_and_stands_once(self) -> None:
        text = name_ack(b'{"type":"bundle_ack","deviceId":"bob","deviceName":1}', "ann", None)
        self.assertEqual(text.count(b"deviceId"), 1)
        self.assertEqual(
            json.loads(text), {"type": "bundle_ack", "deviceId": "ann", "deviceName": None}
        )

    def test_the_type_stays_in_front(self) -> None:
        self.assertTrue(
            name_ack(ack(success=True), "ann", None).startswith(b'{"type":"bundle_ack"')
        )

    def test_what_can_not_be_written_again_stays_as_it_is(self) -> None:
        for text in (b'{"n":1e999}', b"[1]", b"{", b'{"deep":' + b"[" * 100_000, b'{"n":NaN}'):
            with self.subTest(text=text[:20]):
                self.assertEqual(name_ack(text, "ann", None), text)

    @given(st.dictionaries(st.text(), VALUES))
    def test_the_rest_stays(self, fields: dict[str, object]) -> None:
        expected = fields | {"deviceId": "ann", "deviceName": "Pixel 9"}
        self.assertEqual(self.named(json.dumps(fields).encode()), expected)

    def test_half_a_surrogate_pair(self) -> None:
        self.assertIn(b"\\ud800", name_ack(b'{"error":"\\ud800"}', "ann", None))
