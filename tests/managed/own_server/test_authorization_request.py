"""`managed.own_server.authorization_request`: the body of ``POST /pusher/auth``."""

import json
from urllib.parse import parse_qs, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.own_server.authorization_request import (
    AuthorizationRequest,
    read_request,
)
from apptuner_relay.session.session import BadRequest, Role

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LEAST = {"socket_id": "12.34", "channel_name": "presence-x", "session": "ABC234"}


class Bodies(SynchronousTestCase):
    def refused(self, body: bytes, content_type: str | None = FORM) -> BadRequest:
        refusal: BadRequest = self.assertRaises(BadRequest, read_request, content_type, body)
        return refusal

    def test_a_form(self) -> None:
        body = urlencode(LEAST | {"role": "cli", "key": "a+b c", "other": "1"}).encode()
        wish = read_request(f"{FORM}; charset=UTF-8", body)
        self.assertEqual(wish[:4], ("12.34", "presence-x", "ABC234", Role.CLI))
        self.assertEqual(parse_qs(wish.query), {"announce": ["1"], "key": ["a+b c"]})

    def test_json(self) -> None:
        body = json.dumps(LEAST | {"deviceId": "pixel", "name": "Pixel ü"}).encode()
        wish = read_request(JSON, body)
        self.assertIs(wish.role, Role.MOBILE)
        self.assertEqual(parse_qs(wish.query)["name"], ["Pixel ü"])

    def test_what_a_phone_cannot_choose(self) -> None:
        body = urlencode(LEAST | {"announce": "0", "chunks": "1", "replay": "1"}).encode()
        self.assertEqual(read_request(FORM, body).query, "announce=1")

    def test_what_is_missing_is_named(self) -> None:
        refusal = self.refused(b"session=ABC234&socket_id=")
        self.assertEqual(refusal.status, 400)
        self.assertEqual(str(refusal), "The body lacks socket_id, channel_name")

    def test_what_is_malformed(self) -> None:
        for name, bad in (
            ("socket_id", "12:34"),
            ("session", "../x"),
            ("role", "admin"),
            ("role", "upload"),
        ):
            self.assertEqual(self.refused(urlencode(LEAST | {name: bad}).encode()).status, 400)

    def test_other_types(self) -> None:
        for content_type in (None, "text/plain", "multipart/form-data; boundary=x"):
            self.assertEqual(self.refused(urlencode(LEAST).encode(), content_type).status, 415)

    def test_bodies_that_are_none(self) -> None:
        for body in (b"\xff", b"session=%ff", b"&".join([b"a=b"] * 33)):
            self.assertEqual(self.refused(body).status, 400, body)
        for body in (b"\xff", b"[]", b"1", b'{"a":1}', b"[" * 8000, b'{"session":"\\ud800"}'):
            self.assertEqual(self.refused(body, JSON).status, 400, body[:20])

    @given(st.binary(max_size=300), st.sampled_from([FORM, JSON]))
    def test_any_bytes(self, body: bytes, content_type: str) -> None:
        try:
            wish = read_request(content_type, body)
        except BadRequest as refusal:
            self.assertIn(refusal.status, (400, 415))
        else:
            self.assertIsInstance(wish, AuthorizationRequest)

    @given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=6))
    def test_any_fields(self, more: dict[str, str]) -> None:
        for content_type, body in (
            (FORM, urlencode(more | LEAST, errors="replace")),
            (JSON, json.dumps(more | LEAST)),
        ):
            try:
                wish = read_request(content_type, body.encode())
            except BadRequest as refusal:
                self.assertEqual(refusal.status, 400)
            else:
                self.assertEqual(wish.session_id, "ABC234")
