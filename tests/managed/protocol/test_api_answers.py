"""`managed.protocol.api_answers`: a refusal is found wherever a service has put it."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.api_answers import ApiAnswer, ApiRefusal, read_answer


def refused(status: int, body: bytes) -> ApiRefusal:
    """The refusal in an answer."""
    answer = read_answer(status, body)
    assert answer.refusal is not None
    assert answer.value == {}
    return answer.refusal


class Good(SynchronousTestCase):
    def test_the_body(self) -> None:
        self.assertEqual(read_answer(200, b"{}"), ApiAnswer({}, None))
        self.assertEqual(read_answer(200, b'{"ok":true}'), ApiAnswer({"ok": True}, None))
        self.assertEqual(
            read_answer(200, b'{"channels":{"a":{}}}'), ApiAnswer({"channels": {"a": {}}}, None)
        )
        self.assertEqual(read_answer(200, b""), ApiAnswer({}, None))


class Refused(SynchronousTestCase):
    def test_in_the_status(self) -> None:
        one = refused(401, b"Unknown auth_key\n")
        self.assertEqual(one.code, 401)
        self.assertTrue(one.text.endswith(": Unknown auth_key"))
        self.assertTrue(one.is_permanent)
        self.assertFalse(one.over_quota)

    def test_in_the_body_of_a_200(self) -> None:
        one = refused(200, b'{"error":"The app does not exist","code":404}')
        self.assertEqual((one.code, one.is_permanent), (404, True))
        self.assertIn("The app does not exist", one.text)

    def test_the_body_knows_better_than_the_status(self) -> None:
        self.assertEqual(refused(400, b'{"error":"x","code":413}').code, 413)
        for code in (b"null", b"true", b'"413"', b"200", b"99999", b"4.5"):
            self.assertEqual(refused(400, b'{"error":"x","code":%b}' % code).code, 400)
            self.assertEqual(refused(200, b'{"error":"x","code":%b}' % code).code, 500)

    def test_over_the_quota(self) -> None:
        one = refused(403, b"Account is over quota")
        self.assertTrue(one.over_quota and one.is_permanent)
        self.assertIn("quota of messages", one.text)

    def test_what_passes(self) -> None:
        for status in (413, 429, 500, 502, 503):
            self.assertFalse(refused(status, b"").is_permanent)

    def test_what_is_no_answer(self) -> None:
        for body in (b"<html>", b"[]", b"7", b"\xff", b'{"a":'):
            self.assertEqual(refused(200, body).code, 502)
        self.assertEqual(refused(302, b"{}").code, 500)

    def test_its_words_are_made_harmless(self) -> None:
        text = refused(500, b'{"error":"a\\nb\\u001b[2J' + b"x" * 1000 + b'"}').text
        self.assertTrue(text.isprintable())
        self.assertLess(len(text), 300)
        self.assertEqual(refused(500, b'{"error":7}').text, "it gives no reason")

    @given(st.integers(100, 999), st.binary(max_size=40))
    def test_whatever_comes_it_is_good_or_a_refusal(self, status: int, body: bytes) -> None:
        answer = read_answer(status, body)
        if answer.refusal is None:
            self.assertEqual(status, 200)
        else:
            self.assertTrue(answer.refusal.text.isprintable())
            self.assertTrue(answer.refusal.text)
