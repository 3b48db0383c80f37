"""`apptuner_relay.wire.client_request`: which requests are read in one go, and their answer. What
becomes of them, beside those that are not: `tests.web.test_front`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.client_request import ClientRequest, read_client_request
from tests.memory import HANDSHAKE

LIMIT = 16384


def read(extra: str = "", rest: bytes = b"") -> ClientRequest:
    """A usual request with these fields more."""
    data = HANDSHAKE.format(target="/mobile/A?deviceId=d1", extra=extra).encode() + rest
    request = read_client_request(data, LIMIT)
    assert request is not None
    return request


class Reading(SynchronousTestCase):
    def test_what_is_in_it(self) -> None:
        request = read("Origin:  null \r\nSec-WebSocket-Protocol: a, b\r\n", b"\x81")
        self.assertEqual((request.role, request.target), ("mobile", "/mobile/A?deviceId=d1"))
        self.assertEqual(request.fields["origin"], "null")
        self.assertEqual(request.subprotocols, ["a", "b"])
        self.assertEqual((request.deflate, request.rest), (None, b"\x81"))

    def test_the_limit_counts_the_whole_head(self) -> None:
        data = HANDSHAKE.format(target="/cli/A", extra="").encode()
        self.assertIsNotNone(read_client_request(data, len(data)))
        self.assertIsNone(read_client_request(data, len(data) - 1))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        self.assertIsNone(read_client_request(data, LIMIT))


class Answering(SynchronousTestCase):
    def test_the_example_of_the_rfc(self) -> None:
        """RFC 6455 §1.3."""
        request = read()
        request.fields["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        answer = request.answer("Relay", None, True).decode()
        self.assertTrue(answer.startswith("HTTP/1.1 101 "), answer)
        self.assertIn("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", answer)
        self.assertNotIn("Sec-WebSocket-Protocol", answer)
        self.assertNotIn("Sec-WebSocket-Extensions", answer)

    def test_what_was_agreed_on(self) -> None:
        request = read(
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n"
        )
        answer = request.answer("Relay", "a", True).decode()
        self.assertIn("\r\nSec-WebSocket-Protocol: a\r\n", answer)
        self.assertIn("; server_max_window_bits=15\r\n", answer)
        self.assertNotIn("Sec-WebSocket-Extensions", request.answer("Relay", "a", False).decode())
