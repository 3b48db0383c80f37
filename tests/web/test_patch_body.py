"""`apptuner_relay.web.patch_body`: what a patch that is uploaded becomes on the wire, and which are
refused before the worker process sees them."""

import gzip
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.patch_body import PatchBody, check_if_match
from apptuner_relay.web.upload_answers import PatchRefusal
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, parse_patch

BASE, SHA256 = "a" * 64, "0123456789abcdef" * 4
FIELDS: dict[str, Any] = {
    "base": BASE,
    "sha256": SHA256,
    "size": 12,
    "units": 11,
    "edits": [[1, 2, "é"]],
}
IF_MATCH = f'"{BASE}"'


def passed(
    body: bytes, pieces: int = 10**9, coding: str = "identity", match: str = IF_MATCH
) -> Any:
    """What a body becomes: the message, its SHA-256 and its size."""
    code = PatchBody(coding, check_if_match(match))
    message = b""
    for at in range(0, len(body), pieces):
        message += b"".join(code.feed(body[at : at + pieces]))
    return message + code.finish(7), code.sha256, code.size


class PassedOnTest(SynchronousTestCase):
    def test_a_message_passes_as_it_is(self) -> None:
        body = json.dumps({"type": "bundle_patch", **FIELDS}, separators=(",", ":")).encode()
        self.assertEqual(passed(body), (body, SHA256, 12))

    def test_the_type_may_be_missing_or_anywhere(self) -> None:
        for fields in (FIELDS, {**FIELDS, "type": "bundle_patch"}):
            for indent in (None, 2):
                body = b" \r\n\t" + json.dumps(fields, indent=indent).encode()
                message, *rest = passed(body)
                self.assertTrue(message.startswith(b'{"type":"bundle_patch",'), message)
                self.assertEqual(json.loads(message), {"type": "bundle_patch", **FIELDS})
                self.assertEqual(rest, [SHA256, 12])

    @given(st.integers(1, 200), st.sampled_from(("identity", "gzip")), st.text(max_size=300))
    def test_any_pieces_codings_and_texts(self, pieces: int, coding: str, text: str) -> None:
        fields = {**FIELDS, "edits": [[0, 0, text + '{"base":"' + "b" * 64 + '"}']]}
        body = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
        coded = gzip.compress(body) if coding == "gzip" else body
        message, sha256, size = passed(coded, pieces, coding)
        self.assertEqual((sha256, size), (SHA256, 12))
        self.assertEqual(message, b'{"type":"bundle_patch",' + body[1:])
        self.assertEqual(parse_patch(message).base, BASE)

    def test_of_a_name_that_is_there_twice_the_last_one_counts(self) -> None:
        body = json.dumps(FIELDS).encode()[:-1] + b',"sha256":"%b","size":3}' % (b"c" * 64)
        self.assertEqual(passed(body)[1:], ("c" * 64, 3))


class RefusedTest(SynchronousTestCase):
    def assertRefused(self, status: int, reason: str, body: bytes, **more: Any) -> None:
        refusal = self.assertRaises(PatchRefusal, passed, body, **more)
        self.assertEqual((refusal.status, refusal.reason), (status, reason))

    def test_what_is_none(self) -> None:
        whole = json.dumps(FIELDS).encode()
        for body in (
            b"",
            b"{}",
            b" " * 1000,
            b"[" + whole + b"]",
            b"var code = 1;" * 20,
            whole.replace(b"base", b"b\\u0061se"),
            whole.replace(b'"size": 12', b'"size": "12"'),
            whole.replace(SHA256.encode(), SHA256.upper().encode()),
        ):
            self.assertRefused(400, "malformed", body)

    def test_another_base_than_if_match_names(self) -> None:
        body = json.dumps(FIELDS).encode()
        twice = body[:-1] + b',"base":"%b"}' % (b"b" * 64)
        other = f'"{"b" * 64}"'
        for text, match in ((body, other), (twice, IF_MATCH), (twice, other)):
            self.assertRefused(422, "base", text, match=match)

    def test_too_long(self) -> None:
        fields = {**FIELDS, "edits": [[0, 0, "x" * MOST_PATCH_BYTES]]}
        body = json.dumps(fields).encode()
        self.assertRefused(413, "too_big", body)
        self.assertRefused(413, "too_big", gzip.compress(body), coding="gzip")
        self.assertRefused(413, "too_big", gzip.compress(b" " * 2**27), coding="gzip")

    def test_a_cut_gzip_stream(self) -> None:
        body = gzip.compress(json.dumps(FIELDS).encode())[:-5]
        self.assertEqual(self.assertRaises(BadRequest, passed, body, coding="gzip").status, 400)


class IfMatchTest(SynchronousTestCase):
    def test_the_tag_of_any_coding(self) -> None:
        body = json.dumps(FIELDS).encode()
        for match in (
            IF_MATCH,
            f'"{BASE}-gzip"',
            f'"{BASE}-dcz-0123456789ab"',
            f'"other", "{BASE}-br"',
        ):
            self.assertEqual(passed(body, match=match)[1], SHA256)

    def test_what_names_no_bundle(self) -> None:
        for field in (None, "", "*", '"abc"', BASE):
            self.assertEqual(self.assertRaises(BadRequest, check_if_match, field).status, 428)
