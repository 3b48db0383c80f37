"""Addresses, text made safe, what endings mean, and who has answered."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import address
from apptuner_relay.client.address import Relay
from apptuner_relay.client.failures import describe, is_untrusted
from apptuner_relay.client.phones import Answer, Answers, Phone, Roster
from apptuner_relay.client.policy import MAX_REFUSAL_BYTES, Ending, How, Patience, read_refusal
from apptuner_relay.client.printable import json_line, printable, printable_json

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class AddressTests(SynchronousTestCase):
    def test_relays(self) -> None:
        for text, expected in {
            "ws://127.0.0.1:3000": Relay(False, "127.0.0.1", 3000),
            "http://localhost": Relay(False, "localhost", 80),
            "wss://relay.example.com": Relay(True, "relay.example.com", 443),
            "https://Relay.example.com:8443/": Relay(True, "relay.example.com", 8443),
            "wss://example.com/apptuner/": Relay(True, "example.com", 443, "/apptuner"),
            "ws://[::1]:3000": Relay(False, "::1", 3000),
        }.items():
            self.assertEqual(Relay.parse(text), expected)

    def test_what_is_no_relay(self) -> None:
        for text in (
            "", "relay.example.com", "localhost:3000", "ftp://x", "ws://", "ws://x:99999",
            "ws://x:y", "ws://x/?a=b", "ws://x/#y", "ws://user:secret@x", "ws://[::1",
        ):  # fmt: skip
            self.assertRaises(ValueError, Relay.parse, text)

    def test_how_a_relay_is_written(self) -> None:
        self.assertEqual(str(Relay(True, "::1", 443, "/a")), "wss://[::1]:443/a")
        self.assertEqual(Relay(False, "::1", 3000).host_header, "[::1]")

    def test_resources(self) -> None:
        relay = Relay(False, "x", 80, "/at")
        self.assertEqual(relay.resource("cli", "ABC234"), "/at/cli/ABC234")
        self.assertEqual(
            relay.resource("mobile", "A", {"deviceId": "a:b", "name": "Zoë's & co/😀"}),
            "/at/mobile/A?deviceId=a%3Ab&name=Zo%C3%AB%27s%20%26%20co%2F%F0%9F%98%80",
        )

    def test_ids(self) -> None:
        for good in ("ABC234", "a", "_-" * 32):
            self.assertEqual(address.session_id(good), good)
        for bad in ("", "a b", "a/b", "é", "x" * 65, "a\n", "../x"):
            self.assertRaises(ValueError, address.session_id, bad)
        self.assertEqual(address.device_id("a.b:c-d_e"), "a.b:c-d_e")
        for bad in ("", "a b", "x" * 65, "a/b", "a\n", 'a"b'):
            self.assertRaises(ValueError, address.device_id, bad)
        self.assertEqual(address.device_name("Zoë's phone 😀"), "Zoë's phone 😀")
        for bad in ("", "x" * 65, "a\x1b[m", "a\nb"):
            self.assertRaises(ValueError, address.device_name, bad)


class PrintableTests(SynchronousTestCase):
    @given(st.text(st.characters()))
    def test_nothing_is_left_that_a_terminal_obeys(self, text: str) -> None:
        for shown, kept in (
            (printable(text), "\u200c\u200d"),
            (printable_json([text]), "\u200c\u200d"),
            (printable_json(text), "\u200c\u200d\n\t"),
        ):
            for character in shown:
                if character in kept:
                    continue
                self.assertNotIn(unicodedata.category(character), ("Cc", "Cf", "Cs", "Zl", "Zp"))
            shown.encode()

    def test_plain_text_stays(self) -> None:
        for text in ("", "hello", "Zoë 😀 日本語", "👨\u200d👩\u200d👧", "100% [bold]x[/bold]"):
            self.assertEqual(printable(text), text)

    def test_escapes(self) -> None:
        self.assertEqual(
            printable("\x1b[31m\x07\r\n\t\x7f\x9b"), "\\x1b[31m\\x07\\r\\n\\t\\x7f\\x9b"
        )
        self.assertEqual(printable("a\u202eb\u2028\ud83d"), "a\\u202eb\\u2028\\ud83d")
        self.assertEqual(printable("\U000e0041"), "\\U000e0041")

    def test_lines_are_indented(self) -> None:
        self.assertEqual(printable("a\nb\tc\rd", lines=True), "a\n    b\tc\\rd")

    def test_long_text_is_cut(self) -> None:
        self.assertEqual(printable("x" * 1003, limit=3), "xxx … (1,000 more characters)")

    def test_values(self) -> None:
        self.assertEqual(printable_json("a\nb"), "a\n    b")
        self.assertEqual(printable_json({"a": [1, None, "é\x1b"]}), '{"a": [1, null, "é\\u001b"]}')
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        self.assertIn("too deep", printable_json(deep))
        self.assertRaises(ValueError, json_line, deep)

    @given(JSON)
    def test_a_json_line_is_one_line_and_the_same_value(self, value: Any) -> None:
        line = json_line(value)
        self.assertTrue(line.isascii() and line.isprintable())
        self.assertEqual(json.loads(line), value)

    def test_delete_is_escaped_in_a_json_line(self) -> None:
        self.assertEqual(json_line("\x7f"), '"\\u007f"')


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

    def test_errors_in_words(self) -> None:
        tls = SSL.Error([("SSL routines", "", "certificate verify failed")])
        self.assertTrue(is_untrusted(tls))
        self.assertEqual(describe(tls), "certificate verify failed")
        self.assertFalse(is_untrusted(SSL.Error([("SSL routines", "", "wrong version number")])))
        self.assertEqual(describe(SSL.Error()), "TLS failed")
        self.assertTrue(is_untrusted(VerificationError(errors=[])))
        self.assertEqual(describe(VerificationError(errors=[])), "it is for another host")
        self.assertEqual(describe(OSError("no route.")), "no route")
        self.assertEqual(describe(KeyError()), "KeyError")

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


def came(device: str | None = None, **more: str) -> dict[str, Any]:
    return {"type": "mobile_connected", **({"deviceId": device} if device else {}), **more}


def went(device: str | None = None) -> dict[str, Any]:
    return {"type": "mobile_disconnected", **({"deviceId": device} if device else {})}


class RosterTests(SynchronousTestCase):
    def test_phones_with_ids(self) -> None:
        roster = Roster()
        self.assertTrue(roster.heed(came("a", deviceName="Ann's", platform="ios")))
        self.assertFalse(roster.heed(came("a", deviceName="Ann's", platform="ios")))
        self.assertEqual(roster.known, {"a": Phone("a", "Ann's", "ios")})
        self.assertTrue(roster.heed(went("a")))
        self.assertFalse(roster.heed(went("a")))
        self.assertEqual(len(roster), 0)

    def test_phones_without(self) -> None:
        roster = Roster()
        roster.heed(came())
        roster.heed(came())
        roster.heed(went())
        self.assertEqual((len(roster), roster.unnamed), (1, 1))
        roster.heed(went())
        self.assertFalse(roster.heed(went()))
        self.assertEqual(len(roster), 0)

    def test_a_list_is_the_whole_truth(self) -> None:
        roster = Roster()
        roster.heed(came())
        roster.heed(came("gone"))
        listed = {"type": "device_list", "devices": [{"deviceId": "a", "name": "A"}, 5, {}]}
        self.assertTrue(roster.heed(listed))
        self.assertFalse(roster.heed(listed))
        self.assertEqual(roster.known, {"a": Phone("a", "A")})
        self.assertEqual(len(roster), 1)

    def test_rubbish(self) -> None:
        roster = Roster()
        for message in (
            {"type": "device_list"},
            {"type": "device_list", "devices": "a"},
            {"type": "bundle_ack", "deviceId": "a"},
        ):
            self.assertFalse(roster.heed(message))
        roster.heed({"type": "mobile_connected", "deviceId": "a", "deviceName": 5, "platform": []})
        self.assertEqual(roster.known, {"a": Phone("a")})
        roster.clear()
        self.assertEqual(len(roster), 0)

    def test_how_a_phone_is_written(self) -> None:
        self.assertEqual(str(Phone("a", "Ann's", "ios")), "Ann's (ios, a)")
        self.assertEqual(str(Phone("a")), "a")
        self.assertEqual(str(Phone("a\n", "\x1b[2J")), "\\x1b[2J (a\\n)")


class AnswersTests(SynchronousTestCase):
    A, B = Phone("a"), Phone("b")
    YES, NO = Answer(True), Answer(False, "no")

    def test_answers_in_messages(self) -> None:
        self.assertEqual(Answer.in_message({"success": True}), self.YES)
        self.assertEqual(Answer.in_message({"success": False, "error": "no"}), self.NO)
        for odd in ({}, {"success": 1}, {"success": "true"}, {"success": None, "error": 5}):
            self.assertEqual(Answer.in_message(odd), Answer(False))

    def test_each_phone_owes_one(self) -> None:
        answers = Answers([self.A, self.B])
        here = {"a": self.A, "b": self.B}
        self.assertEqual((answers.missing, answers.none_yet), (2, True))
        self.assertEqual(answers.take("b", self.YES, here), self.B)
        self.assertEqual(answers.take("b", self.YES, here), self.B)
        self.assertEqual((answers.missing, answers.owing()), (1, [self.A]))
        answers.take("a", self.NO, here)
        self.assertEqual((answers.missing, answers.failed), (0, True))

    def test_a_stranger_pays_nobodys_debt(self) -> None:
        answers = Answers([self.A])
        self.assertEqual(answers.take("c", self.NO, {}), Phone("c"))
        self.assertEqual((answers.missing, answers.failed), (1, True))

    def test_the_only_phone_needs_no_name(self) -> None:
        answers = Answers([self.A])
        self.assertEqual(answers.take(None, self.YES, {"a": self.A}), self.A)
        self.assertEqual(answers.missing, 0)

    def test_nor_does_the_last_that_owes_one(self) -> None:
        answers, here = Answers([self.A, self.B]), {"a": self.A, "b": self.B}
        answers.take("a", self.YES, here)
        self.assertEqual(answers.take(None, self.YES, here), self.B)

    def test_otherwise_answers_are_counted(self) -> None:
        answers, here = Answers([self.A, self.B]), {"a": self.A, "b": self.B}
        self.assertIsNone(answers.take(None, self.YES, here))
        self.assertEqual((answers.missing, answers.countable_only), (1, True))
        self.assertIsNone(answers.take(None, self.YES, here))
        self.assertEqual((answers.missing, answers.failed), (0, False))

    def test_phones_without_ids_are_counted(self) -> None:
        answers = Answers([], unnamed=2)
        self.assertIsNone(answers.take(None, self.YES, {}))
        self.assertIsNone(answers.take(None, self.NO, {}))
        self.assertEqual((answers.missing, answers.failed), (0, True))
