"""`apptuner_relay.client.pushing`, with a clock that is turned by hand and no socket at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.bundles import Form, ReadBundle
from apptuner_relay.client.carriers import MessageCarrier
from apptuner_relay.client.no_phone_hint import AFTER_SECONDS, NoPhoneHint
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.pushing import SETTLE_SECONDS, Order, Push

from .little_relay import Recorder

ANN = {"deviceId": "ann", "deviceName": "Ann's", "platform": "ios"}
BOB = {"deviceId": "bob", "deviceName": "Bob's", "platform": "android"}


class FakeUpload:
    """Sends when it is told to."""

    def __init__(self, messages: Iterable[bytes], progress: Callable[[int], None]) -> None:
        self.messages = [json.loads(message) for message in messages]
        self.sizes = [len(json.dumps(m, separators=(",", ":"))) for m in self.messages]
        self.progress = progress
        self.done: Deferred[bool] = Deferred()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    def finish(self) -> None:
        self.progress(sum(self.sizes))
        self.done.callback(not self.stopped)


class FakeMembership:
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        self.uploads: list[FakeUpload] = []
        self.left: Exit | None = None

    def leave(self, code: Exit) -> None:
        assert self.left is None, "left twice"
        self.left = code

    def stream(self, messages: Iterable[bytes], progress: Callable[[int], None]) -> Any:
        self.uploads.append(FakeUpload(messages, progress))
        return self.uploads[-1]


class PushTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.membership = FakeMembership()
        self.screen = Recorder()

    def push(self, hint: NoPhoneHint | None = None, **order: Any) -> Push:
        bundle = order.pop("bundle", ReadBundle.of("let x"))
        carrier = MessageCarrier(bundle, self.membership)
        self.part = Push(Order(**order), carrier, self.membership, self.clock, self.screen, hint)
        self.part.welcomed()
        return self.part

    def hear(self, kind: str, **body: Any) -> None:
        self.part.received({"type": kind, **body})

    def come(self, *phones: dict[str, str], listed: bool = True) -> None:
        for phone in phones:
            self.hear("mobile_connected", **phone)
        if listed:
            self.list(*phones)

    def list(self, *phones: dict[str, str]) -> None:
        devices = [{**phone, "name": phone["deviceName"]} for phone in phones]
        self.hear("device_list", devices=devices)

    def ack(self, phone: dict[str, str] | None = None, error: str | None = None) -> None:
        body = {} if phone is None else {"deviceId": phone["deviceId"]}
        if error is not None:
            body["error"] = error
        self.hear("bundle_ack", success=error is None, **body)

    def assertSaid(self, *words: str) -> None:
        said = self.screen.out.getvalue() + self.screen.err.getvalue()
        for word in words:
            self.assertIn(word, said)

    def assertIdle(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_phone_takes_it(self) -> None:
        self.push()
        self.assertSaid("waiting for a phone (at most 60 s)")
        self.come(ANN)
        [upload] = self.membership.uploads
        self.assertEqual(upload.messages[0]["payload"], {"code": "let x"})
        self.assertNotIn("targetDeviceId", upload.messages[0])
        upload.finish()
        self.assertIsNone(self.membership.left)
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)
        self.assertEqual(
            self.screen.out.getvalue(), "77 B in 0.00 s · Ann's acknowledged after 0.00 s\n"
        )
        self.assertIdle()

    def test_a_hint_when_nobody_comes(self) -> None:
        told: list[float] = []
        hint = NoPhoneHint(self.clock, lambda: told.append(self.clock.seconds()))
        self.push(hint)
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(told, [AFTER_SECONDS])
        self.come(ANN)
        self.membership.uploads[0].finish()
        self.ack(ANN)
        self.assertEqual((told, self.membership.left), ([AFTER_SECONDS], Exit.DONE))
        self.assertIdle()

    def test_no_hint_when_somebody_comes_or_the_connection_is_lost(self) -> None:
        told: list[str] = []
        for happens in (lambda: self.come(ANN), lambda: self.part.disconnected()):
            self.push(NoPhoneHint(self.clock, lambda: told.append("")))
            self.clock.advance(AFTER_SECONDS - 1)
            happens()
            self.clock.advance(2)
            self.assertEqual(told, [])

    def test_a_hint_when_another_phone_comes_than_the_one_that_is_waited_for(self) -> None:
        told: list[str] = []
        self.push(NoPhoneHint(self.clock, lambda: told.append("")), device="bob")
        self.come(ANN)
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(told, [""])

    def test_without_a_list_it_waits_for_the_others_to_be_announced(self) -> None:
        self.push()
        self.come(ANN, listed=False)
        self.clock.advance(SETTLE_SECONDS / 2)
        self.come(BOB, listed=False)
        self.assertEqual(self.membership.uploads, [])
        self.clock.advance(SETTLE_SECONDS / 2)
        self.membership.uploads[0].finish()
        self.ack(BOB)
        self.assertIsNone(self.membership.left)
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)

    def test_a_relay_without_names(self) -> None:
        self.push()
        self.hear("mobile_connected")
        self.hear("mobile_connected")
        self.clock.advance(SETTLE_SECONDS)
        self.membership.uploads[0].finish()
        self.ack()
        self.assertIsNone(self.membership.left)
        self.ack()
        self.assertEqual(self.membership.left, Exit.DONE)
        self.assertSaid("sending to 2 phones", "to 2 phones\n", "a phone acknowledged after")

    def test_nobody_comes(self) -> None:
        self.push(wait_seconds=3.0)
        self.clock.advance(2.9)
        self.assertIsNone(self.membership.left)
        self.clock.advance(0.1)
        self.assertEqual(self.membership.left, Exit.NO_PHONE)
        self.assertSaid("no phone joined within 3 s")
        self.assertIdle()

    def test_a_phone_that_is_gone_before_anything_was_sent(self) -> None:
        self.push(wait_seconds=3.0)
        self.come(ANN, listed=False)
        self.hear("mobile_disconnected", **ANN)
        self.clock.advance(SETTLE_SECONDS)
        self.assertEqual(self.membership.uploads, [])
        self.clock.advance(3)
        self.assertEqual(self.membership.left, Exit.NO_PHONE)

    def test_a_phone_says_no(self) -> None:
        self.push()
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.ack(ANN, "\x1b[2Jsyntax")
        self.assertIsNone(self.membership.left)
        self.ack(BOB)
        self.assertEqual(self.membership.left, Exit.FAILED)
        self.assertSaid("Ann's failed after 0.00 s: \\x1b[2Jsyntax", "Bob's acknowledged after")
        self.assertIn("\\x1b[2Jsyntax", self.screen.err.getvalue())

    def test_a_phone_may_say_no_before_everything_is_sent(self) -> None:
        self.push()
        self.come(ANN)
        self.ack(ANN, "no room")
        self.assertIsNone(self.membership.left)
        self.membership.uploads[0].finish()
        self.assertEqual(self.membership.left, Exit.FAILED)

    def test_a_yes_before_everything_is_sent_is_for_an_earlier_bundle(self) -> None:
        self.push()
        self.ack(ANN)
        self.come(ANN)
        self.ack(ANN)
        self.membership.uploads[0].finish()
        self.assertIsNone(self.membership.left)
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)
        self.assertSaid("an earlier bundle")

    def test_a_yes_right_after_the_last_byte(self) -> None:
        # Over TLS it can come before the transport says that it wrote everything.
        self.push()
        self.come(ANN)
        [upload] = self.membership.uploads
        upload.progress(10**6)
        self.ack(ANN)
        upload.finish()
        self.assertEqual(self.membership.left, Exit.DONE)

    def test_an_answer_that_does_not_come(self) -> None:
        self.push(timeout_seconds=5.0)
        self.come(ANN, BOB)
        self.clock.advance(100)  # Sending may take its time.
        self.membership.uploads[0].finish()
        self.ack(ANN)
        self.hear("mobile_disconnected", **BOB)
        self.clock.advance(5)
        self.assertEqual(self.membership.left, Exit.NO_ACK)
        self.assertSaid("no acknowledgement within 5 s from Bob's, which left")
        self.assertIdle()

    def test_failure_outweighs_silence(self) -> None:
        self.push(timeout_seconds=5.0)
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.ack(ANN, "no")
        self.clock.advance(5)
        self.assertEqual(self.membership.left, Exit.FAILED)

    def test_answers_without_names_that_do_not_come(self) -> None:
        self.push(timeout_seconds=5.0)
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.ack()
        self.clock.advance(5)
        self.assertEqual(self.membership.left, Exit.NO_ACK)
        self.assertSaid("no acknowledgement within 5 s from a phone")

    def test_one_device(self) -> None:
        self.push(device="bob")
        self.come(ANN)
        self.assertEqual(self.membership.uploads, [])
        self.come(ANN, BOB)
        [upload] = self.membership.uploads
        self.assertEqual(upload.messages[0]["targetDeviceId"], "bob")
        upload.finish()
        self.ack(BOB)
        self.assertEqual(self.membership.left, Exit.DONE)

    def test_one_device_that_does_not_come(self) -> None:
        self.push(device="bob", wait_seconds=3.0)
        self.come(ANN)
        self.clock.advance(3)
        self.assertEqual(self.membership.left, Exit.NO_PHONE)
        self.assertSaid("device bob did not come within 3 s; here: Ann's (ios, ann)")

    def test_the_relay_objects_while_it_is_sent(self) -> None:
        self.push(bundle=ReadBundle.of("x", form=Form.CHUNKS))
        self.come(ANN)
        self.hear("error", error="no such\x07 device")
        [upload] = self.membership.uploads
        self.assertTrue(upload.stopped)
        self.assertIsNone(self.membership.left)
        upload.finish()
        self.assertEqual(self.membership.left, Exit.FAILED)
        self.assertSaid("the relay reports: no such\\x07 device")

    def test_the_relay_objects_afterwards(self) -> None:
        self.push()
        self.come(ANN)
        self.membership.uploads[0].finish()
        self.hear("error", error=5)
        self.assertEqual(self.membership.left, Exit.FAILED)
        self.assertIdle()

    def test_what_the_relay_says_before_does_not_concern_the_push(self) -> None:
        self.push()
        self.hear("error", error="slow down")
        self.assertIsNone(self.membership.left)
        self.assertSaid("slow down")

    def test_a_lost_connection_and_everything_once_more(self) -> None:
        self.push()
        self.come(ANN)
        self.part.disconnected()
        self.assertIdle()
        self.part.welcomed()
        self.come(ANN)
        first, second = self.membership.uploads
        self.assertEqual(first.messages[0]["payload"], second.messages[0]["payload"])
        second.finish()
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)
        self.assertSaid("sending again to Ann's")

    def test_a_lost_connection_and_only_who_has_not_answered_once_more(self) -> None:
        self.push()
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.ack(ANN)
        self.part.disconnected()
        self.part.welcomed()
        self.come(ANN)
        self.assertEqual(len(self.membership.uploads), 1)
        self.come(ANN, BOB)
        self.assertEqual(self.membership.uploads[1].messages[0]["targetDeviceId"], "bob")
        self.membership.uploads[1].finish()
        self.ack(BOB)
        self.assertEqual(self.membership.left, Exit.DONE)

    def test_who_has_not_answered_does_not_come_again(self) -> None:
        self.push(wait_seconds=3.0)
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.ack(ANN)
        self.part.disconnected()
        self.part.welcomed()
        self.come(ANN)
        self.clock.advance(3)
        self.assertEqual(self.membership.left, Exit.NO_ACK)

    def test_a_phone_that_comes_again_is_sent_to_again(self) -> None:
        self.push()
        self.come(ANN, BOB)
        self.membership.uploads[0].finish()
        self.hear("mobile_disconnected", **ANN)
        self.list(BOB)
        self.assertEqual(len(self.membership.uploads), 1)
        self.come(BOB, ANN)
        [again] = self.membership.uploads[1:]
        self.assertEqual(again.messages[0]["targetDeviceId"], "ann")
        self.ack(BOB)
        again.finish()
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)

    def test_but_not_for_ever(self) -> None:
        self.push(sends=3, timeout_seconds=5.0)
        for _ in range(10):
            self.come(ANN)
            if not self.membership.uploads[-1].done.called:
                self.membership.uploads[-1].finish()
            self.hear("mobile_disconnected", **ANN)
            self.list()
        self.assertEqual(len(self.membership.uploads), 3)
        self.clock.advance(5)
        self.assertEqual(self.membership.left, Exit.NO_ACK)

    def test_a_phone_that_comes_later_is_not_waited_for(self) -> None:
        self.push()
        self.come(ANN)
        self.membership.uploads[0].finish()
        self.come(ANN, BOB)
        self.assertEqual(len(self.membership.uploads), 1)
        self.ack(ANN)
        self.assertEqual(self.membership.left, Exit.DONE)
