"""`apptuner_relay.client.phones`: which phones are there, and which have answered."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.phones import Acknowledgement, Answers, Phone, PhoneRoster


def came(device: str | None = None, **more: str) -> dict[str, Any]:
    return {"type": "mobile_connected", **({"deviceId": device} if device else {}), **more}


def went(device: str | None = None) -> dict[str, Any]:
    return {"type": "mobile_disconnected", **({"deviceId": device} if device else {})}


class RosterTests(SynchronousTestCase):
    def test_phones_with_ids(self) -> None:
        roster = PhoneRoster()
        self.assertTrue(roster.heed(came("a", deviceName="Ann's", platform="ios")))
        self.assertFalse(roster.heed(came("a", deviceName="Ann's", platform="ios")))
        self.assertEqual(roster.known, {"a": Phone("a", "Ann's", "ios")})
        self.assertTrue(roster.heed(went("a")))
        self.assertFalse(roster.heed(went("a")))
        self.assertEqual(len(roster), 0)

    def test_phones_without(self) -> None:
        roster = PhoneRoster()
        roster.heed(came())
        roster.heed(came())
        roster.heed(went())
        self.assertEqual((len(roster), roster.unnamed), (1, 1))
        roster.heed(went())
        self.assertFalse(roster.heed(went()))
        self.assertEqual(len(roster), 0)

    def test_a_list_is_the_whole_truth(self) -> None:
        roster = PhoneRoster()
        roster.heed(came())
        roster.heed(came("gone"))
        listed = {"type": "device_list", "devices": [{"deviceId": "a", "name": "A"}, 5, {}]}
        self.assertTrue(roster.heed(listed))
        self.assertFalse(roster.heed(listed))
        self.assertEqual(roster.known, {"a": Phone("a", "A")})
        self.assertEqual(len(roster), 1)

    def test_rubbish(self) -> None:
        roster = PhoneRoster()
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
    YES, NO = Acknowledgement(True), Acknowledgement(False, "no")

    def test_answers_in_messages(self) -> None:
        self.assertEqual(Acknowledgement.in_message({"success": True}), self.YES)
        self.assertEqual(Acknowledgement.in_message({"success": False, "error": "no"}), self.NO)
        for odd in ({}, {"success": 1}, {"success": "true"}, {"success": None, "error": 5}):
            self.assertEqual(Acknowledgement.in_message(odd), Acknowledgement(False))

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
