"""HTTP answers, from any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.http_answer import (
    HttpAnswer,
    NoHttpError,
    name_of_other,
    read_answer,
)

PLAIN = b'HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 15\r\n\r\n{"error":"what"}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVary: a\r\nVary: b\r\n\r\n"
    b"4;x=y\r\nfour\r\n5\r\n five\r\n0\r\n\r\n"
)
TO_THE_END = b"HTTP/1.0 502 Bad Gateway\r\n\r\n<h1>no</h1>"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n\x81\x02{}"


class ReadTest(SynchronousTestCase):
    def test_whole_ones(self) -> None:
        answer = read_answer(CHUNKED, at_end=False)
        self.assertEqual(
            answer,
            HttpAnswer(200, "OK", {"transfer-encoding": "chunked", "vary": "a, b"}, b"four five"),
        )
        answer = read_answer(PLAIN + b"more", at_end=False)
        assert answer is not None
        self.assertEqual((answer.status, answer.phrase), (404, "Not Found"))
        self.assertEqual(answer.body, b'{"error":"what"')
        answer = read_answer(UPGRADE, at_end=False)
        assert answer is not None
        self.assertEqual((answer.status, answer.body), (101, b""))
        self.assertIsNone(read_answer(TO_THE_END, at_end=False))
        answer = read_answer(TO_THE_END, at_end=True)
        assert answer is not None
        self.assertEqual(answer.body, b"<h1>no</h1>")
        answer = read_answer(PLAIN[:-9], at_end=False, head_only=True)
        assert answer is not None
        self.assertEqual(answer.body, b"")

    def test_json(self) -> None:
        for body, error in (
            (b'{"error":"what"}', "what"),
            (b'{"error":1}', ""),
            (b'["error"]', ""),
            (b"<html>", ""),
            (b"[" * 100_000, ""),
            (b"\xff", ""),
        ):
            self.assertEqual(HttpAnswer(400, body=body).error, error)

    def test_what_is_none(self) -> None:
        for data, name in (
            (b"", "nothing at all"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
            (b"\0\0\x12\x04\0\0\0\0\0" + bytes(18), "HTTP/2"),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server"),
            (b"220 mail ESMTP\r\n", "a mail or FTP server"),
            (b"-ERR wrong\r\n", "Redis"),
            (b"* OK IMAP\r\n", "a mail server"),
            (b"HTTP/2 200\r\n\r\n", "HTTP of another version"),
            (b"HTTP/1.1 abc\r\n\r\n", "HTTP of another version"),
            (b"hello", "something that is not HTTP"),
        ):
            error = self.assertRaises(NoHttpError, read_answer, data, at_end=True)
            self.assertEqual(str(error), name)
        error = self.assertRaises(NoHttpError, read_answer, b"HTTP/1.1 200", at_end=True)
        self.assertIn("cut short", str(error))

    @given(st.sampled_from([PLAIN, CHUNKED, TO_THE_END, UPGRADE]), st.data())
    def test_a_beginning_is_no_error(self, whole: bytes, data: st.DataObject) -> None:
        """An answer that comes in pieces is the same as one that comes at once."""
        cut = data.draw(st.integers(1, len(whole)))
        early = read_answer(whole[:cut], at_end=False)
        if early is not None:
            self.assertEqual(early, read_answer(whole, at_end=True))

    @given(st.binary(max_size=200), st.booleans(), st.booleans())
    def test_any_bytes(self, data: bytes, at_end: bool, head_only: bool) -> None:
        for text in (data, b"HTTP/1.1 200 OK\r\n" + data, CHUNKED[:60] + data):
            try:
                answer = read_answer(text, at_end=at_end, head_only=head_only)
            except NoHttpError as error:
                self.assertTrue(str(error))
            else:
                self.assertFalse(at_end and answer is None)
        self.assertTrue(name_of_other(data))
