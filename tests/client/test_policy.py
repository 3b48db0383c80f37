"""`apptuner_relay.client.policy`: what endings mean, and when to try again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.policy import MAX_REFUSAL_BYTES, Ending, How, Patience, read_refusal


class EndingTests(SynchronousTestCase):
    def test_which_are_final(self) -> None:
        for ending, final in {
            Ending(How.UNREACHABLE, "refused"): False,
            Ending(How.UNTRUSTED): True,
            Ending(How.LOST): False,
            Ending(How.REFUSED, "", 400): True,
            Ending(How.REFUSED, "", 403): True,
            Ending(How.REFUSED, "", 302): True,
            Ending(How.REFUSED, "", 503): False,
            Ending(How.CLOSED, "", None): False,
            Ending(How.CLOSED, "", 1000): False,
            Ending(How.CLOSED, "New CLI connected for this project", 1000): True,
            Ending(How.CLOSED, "New dashboard connected for this project", 1000): True,
            Ending(How.CLOSED, "New CLI connected for this project", 1011): False,
            Ending(How.CLOSED, "Session timeout", 1000): True,
            Ending(How.CLOSED, "", 1001): False,
            Ending(How.CLOSED, "", 1008): True,
            Ending(How.CLOSED, "", 1009): True,
            Ending(How.CLOSED, "", 1011): False,
            Ending(How.CLOSED, "", 1012): False,
            Ending(How.CLOSED, "", 1013): False,
            Ending(How.NOT_ASKED, "refused"): False,
            Ending(How.SERVICE, "", None): False,
            Ending(How.SERVICE, "bad signature", 401): True,
            Ending(How.SERVICE, "no such application", 4001): True,
            Ending(How.SERVICE, "full", 4100): False,
            Ending(How.SERVICE, "restarts", 4200): False,
            Ending(How.SERVICE, "", 1006): False,
        }.items():
            self.assertEqual(ending.final, final, ending)

    def test_words(self) -> None:
        for ending, words in {
            Ending(How.UNREACHABLE, "nobody there"): "could not connect: nobody there",
            Ending(How.UNTRUSTED, "old"): "the relay's certificate could not be verified: old",
            Ending(How.LOST): "the connection was lost",
            Ending(
                How.REFUSED, "full", 403
            ): "the relay refused the connection with HTTP 403: full",
            Ending(How.CLOSED, "bye", 1012): "the relay closed the connection with code 1012: bye",
            Ending(How.CLOSED): "the relay closed the connection with no code",
        }.items():
            self.assertEqual(str(ending), words)
        self.assertIn("took over", str(Ending(How.CLOSED, "New CLI connected", 1000)))
        self.assertIn("Session timeout", str(Ending(How.CLOSED, "Session timeout", 1000)))

    def test_a_relay_that_has_had_too_much_is_asked_again_when_it_says(self) -> None:
        head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n"
        for wait, seconds in ((b"17", 17), (b"0", 0), (b"999999", 3600), (b"soon", 0), (b"-1", 0)):
            ending = read_refusal(head % wait, at_end=True)
            assert ending is not None
            self.assertEqual((ending.final, ending.retry_after_seconds), (False, seconds))
        self.assertTrue(Ending(How.REFUSED, "", 401).final)


class PatienceTests(SynchronousTestCase):
    def test_the_phones_backoff(self) -> None:
        patience = Patience(tries=10, first_seconds=1, ceiling_seconds=30, forgiving=True)
        delays = [patience.delay(used) for used in range(11)]
        self.assertEqual(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, None])

    def test_the_clis_steady_five_seconds(self) -> None:
        patience = Patience(tries=100_000, first_seconds=5, ceiling_seconds=5, forgiving=False)
        self.assertEqual({patience.delay(used) for used in range(0, 100_000, 999)}, {5})

    def test_none(self) -> None:
        self.assertIsNone(Patience(0, 5, 5, forgiving=False).delay(0))


class RefusalTests(SynchronousTestCase):
    HEAD = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    BODY = b'{"error":"five phones"}'

    def test_the_reason_in_the_body(self) -> None:
        answer = self.HEAD + self.BODY
        for length in range(len(answer)):
            self.assertIsNone(read_refusal(answer[:length], at_end=False))
        self.assertEqual(
            read_refusal(answer, at_end=False), Ending(How.REFUSED, "five phones", 403)
        )

    def test_without_a_length_the_end_decides(self) -> None:
        answer = b"HTTP/1.0 400 Bad Request\r\n\r\n" + self.BODY
        self.assertIsNone(read_refusal(answer, at_end=False))
        self.assertEqual(read_refusal(answer, at_end=True), Ending(How.REFUSED, "five phones", 400))

    def test_a_body_that_says_nothing(self) -> None:
        for body in (b"", b"<html>", b"[]", b'{"error":5}', b'{"error":""}', b"[" * 100_000):
            self.assertEqual(
                read_refusal(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + body, at_end=True),
                Ending(How.REFUSED, "Bad Gateway", 502),
            )

    def test_a_body_that_never_ends(self) -> None:
        answer = b"HTTP/1.1 403 No\r\nContent-Length: 999999999\r\n\r\n" + b"x" * MAX_REFUSAL_BYTES
        self.assertEqual(read_refusal(answer, at_end=False), Ending(How.REFUSED, "No", 403))

    def test_no_http_at_all(self) -> None:
        for answer in (b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 101 Go\r\n\r\n", b"\xff\xfe"):
            ending = read_refusal(answer, at_end=True)
            assert ending is not None
            self.assertIs(ending.how, How.LOST)
