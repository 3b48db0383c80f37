"""`apptuner_relay.client.save_pushing`, with a clock that is turned by hand and no socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.bundles import BundleError
from apptuner_relay.client.carriers import Parcel
from apptuner_relay.client.newcomers import GRACE_SECONDS
from apptuner_relay.client.no_phone_hint import AFTER_SECONDS, NoPhoneHint
from apptuner_relay.client.pushing import SETTLE_SECONDS
from apptuner_relay.client.save_parcels import SaveParcel
from apptuner_relay.client.save_pushing import KEPT_SECONDS, VERDICT_SECONDS, SavePush
from apptuner_relay.client.save_states import TRANSITIONS, SaveEvent, SaveState
from apptuner_relay.client.saved_file import Save

from .little_relay import Recorder

ANN = {"deviceId": "ann", "deviceName": "Ann's", "platform": "ios"}
BOB = {"deviceId": "bob", "deviceName": "Bob's", "platform": "android"}
A, B, C = (Save.of(f"let {name}".encode()) for name in "abc")
SIZE, PATCH_SIZE = 1000, 100
TIMEOUT = 60.0


class Parcels:
    """Makes parcels, and keeps what became of them."""

    serves_one = True
    is_kept = False
    refusal = ""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.asked: list[tuple[Save, Save | None, str | None]] = []
        self.too_different = False
        self.too_large: list[Save] = []
        self.gate: Deferred[None] | None = None

    def make(self, save: Save, base: Save | None, target: str | None) -> Deferred[SaveParcel]:
        self.asked.append((save, base, target))
        if save in self.too_large:
            return fail(BundleError("it is too large"))
        is_patch = base is not None and not self.too_different
        because = "too different" if base is not None and self.too_different else ""
        size = PATCH_SIZE if is_patch else SIZE

        def start(progress: Any) -> Sent:
            self.sent.append(Sent(save, base if is_patch else None, target, progress, size))
            return self.sent[-1]

        made = SaveParcel(Parcel(size, size, start), is_patch, because)
        if self.gate is None:
            return succeed(made)
        gate: Deferred[Any] = self.gate
        return gate.addCallback(lambda _: made)


class Sent:
    """One on its way."""

    def __init__(
        self, save: Save, base: Save | None, target: str | None, progress: Any, size: int
    ) -> None:
        self.what = (save, base, target)
        self.done: Deferred[bool] = Deferred()
        self.stopped = False
        self._progress, self._size = progress, size

    def stop(self) -> None:
        self.stopped = True

    def finish(self) -> None:
        if not self.stopped:
            self._progress(self._size)
        self.done.callback(not self.stopped)


class SavePushCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.screen, self.parcels = Clock(), Recorder(), Parcels()
        self.part = SavePush("app.js", TIMEOUT, self.parcels, self.clock, self.screen)

    def hear(self, kind: str, **body: Any) -> None:
        self.part.received({"type": kind, **body})

    def connect(self, *phones: dict[str, str], patches: bool = True) -> None:
        self.part.welcomed()
        self.hear("connected", **({"patch": True} if patches else {}))
        for phone in phones:
            self.hear("mobile_connected", **phone)
        if phones:
            self.list(*phones)
        else:
            self.clock.advance(SETTLE_SECONDS)

    def list(self, *phones: dict[str, str]) -> None:
        devices = [{**phone, "name": phone["deviceName"]} for phone in phones]
        self.hear("device_list", devices=devices)

    def ack(self, phone: dict[str, str] | None = None, error: str | None = None) -> None:
        body = {} if phone is None else {"deviceId": phone["deviceId"]}
        if error is not None:
            body["error"] = error
        self.hear("bundle_ack", success=error is None, **body)

    def kept(self, save: Save) -> None:
        self.hear("bundle_kept", sha256=save.sha256)

    def go(self, *what: Any) -> None:
        """What was sent last is that, and arrives."""
        self.assertEqual(self.parcels.sent[-1].what, what)
        self.parcels.sent[-1].finish()

    def first(self, *phones: dict[str, str], patches: bool = True) -> None:
        """The first save is with the phones, and kept."""
        self.part.saved(A)
        self.connect(*phones, patches=patches)
        self.go(A, None, None)
        for phone in phones:
            self.ack(phone)
        if patches:
            self.kept(A)

    @property
    def lines(self) -> list[str]:
        """Of the saves, on standard output."""
        return self.screen.out.getvalue().splitlines()

    @property
    def complaints(self) -> list[str]:
        """Of the saves."""
        said = self.screen.err.getvalue().splitlines()
        return [line for line in said if line.startswith("app.js: ")]

    def assertSaid(self, words: str) -> None:
        self.assertIn(words, self.screen.err.getvalue())

    def assertSent(self, number: int) -> None:
        self.assertEqual(len(self.parcels.sent), number)


class PatchTest(SavePushCase):
    def test_one_save_after_the_other(self) -> None:
        self.first(ANN, BOB)
        self.assertSaid("saves of app.js are sent as patches")
        self.assertEqual(
            self.lines,
            ["app.js: 1 kB whole in 0.00 s · Ann's acknowledged after 0.00 s · "
             "Bob's acknowledged after 0.00 s"],
        )  # fmt: skip
        for base, save in ((A, B), (B, C), (C, A)):
            self.part.saved(save)
            self.go(save, base, None)
            self.kept(save)
            self.clock.advance(0.25)
            self.ack(ANN)
            before = len(self.lines)
            self.ack(BOB)
            [line] = self.lines[before:]
            self.assertRegex(
                line, r"^app.js: 100 B as a patch of 5 B in 0.00 s · \S+ acknowledged after 0.25 s"
            )
        self.assertEqual((len(self.lines), self.complaints), (4, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_acknowledged_before_the_relay_says_that_it_is_kept(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.ack(ANN)
        self.assertEqual(len(self.lines), 2)
        self.part.saved(C)
        self.assertSent(2)
        self.kept(B)
        self.go(C, B, None)

    def test_a_refused_one_is_sent_whole(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.hear("bundle_wanted", reason="base")
        self.assertSaid("the bundle is wanted whole (base)")
        self.go(B, None, None)
        self.ack(ANN)
        self.assertIn("1.1 kB whole", self.lines[-1])
        self.kept(B)
        self.part.saved(C)
        self.go(C, B, None)

    def test_refused_without_a_reason(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.hear("bundle_wanted", reason=5)
        self.assertSaid("wanted whole (it does not say why)")
        self.go(B, None, None)

    def test_refused_while_a_newer_one_waits(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.part.saved(C)
        self.hear("bundle_wanted", reason="not_now")
        self.go(C, None, None)
        self.ack(ANN)
        self.assertIn("a newer one took its place", self.lines[-2])

    def test_the_relay_says_nothing_of_a_patch(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.clock.advance(VERDICT_SECONDS)
        self.assertSaid("does not say what became of the patch")
        self.go(B, None, None)

    def test_too_different(self) -> None:
        self.first(ANN)
        self.parcels.too_different = True
        self.part.saved(B)
        self.assertSaid("sending all of it: too different")
        self.go(B, None, None)
        self.ack(ANN)
        self.assertIn("1 kB whole", self.lines[-1])

    def test_a_relay_that_takes_no_patches(self) -> None:
        self.first(ANN, patches=False)
        self.assertSaid("saves of app.js are sent whole: it takes no patches")
        self.kept(A)
        self.part.saved(B)
        self.go(B, None, None)
        self.part.saved(C)
        self.go(C, None, None)

    def test_a_relay_that_keeps_nothing(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.go(A, None, None)
        self.ack(ANN)
        self.part.saved(B)
        self.assertSent(1)
        self.clock.advance(KEPT_SECONDS)
        self.go(B, None, None)

    def test_what_is_kept_may_be_of_one_before(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.kept(A)
        self.hear("bundle_kept")
        self.part.saved(C)
        self.assertSent(2)
        self.kept(B)
        self.go(C, B, None)


class NewestTest(SavePushCase):
    def test_nothing_new(self) -> None:
        self.first(ANN)
        self.part.saved(Save.of(A.code))
        self.assertSent(1)
        self.assertSaid("app.js was saved without a change")

    def test_a_save_while_one_is_sent(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.part.saved(B)
        self.assertTrue(self.parcels.sent[0].stopped)
        self.part.saved(C)
        self.assertSent(1)
        self.parcels.sent[0].finish()
        self.go(C, None, None)
        self.ack(ANN)
        self.assertEqual((self.complaints, len(self.lines)), ([], 3))
        self.assertIn("a newer one took its place", self.lines[0])
        self.assertIn("a newer one took its place", self.lines[1])

    def test_back_to_the_one_that_was_given_up(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.part.saved(B)
        self.part.saved(A)
        self.parcels.sent[0].finish()
        self.go(A, None, None)
        self.ack(ANN)
        self.assertIn("acknowledged after", self.lines[-1])

    def test_back_to_what_is_there(self) -> None:
        self.first(ANN)
        self.part.disconnected()
        self.part.saved(B)
        self.part.saved(A)
        self.assertSaid("app.js is again what was sent last")
        self.connect(ANN)
        self.assertSent(1)

    def test_a_save_while_one_is_made(self) -> None:
        self.first(ANN)
        self.parcels.gate = gate = Deferred()
        self.part.saved(B)
        self.parcels.gate = None
        self.part.saved(C)
        gate.callback(None)
        self.go(C, A, None)
        self.assertEqual([what[0] for what in self.parcels.asked], [A, B, C])

    def test_what_no_relay_takes_is_not_sent(self) -> None:
        self.first(ANN)
        self.parcels.too_large = [B]
        self.part.saved(B)
        self.assertEqual(self.complaints, ["app.js: 5 B · not sent: it is too large"])
        self.connection_lost_and_back(ANN)
        self.part.saved(C)
        self.go(C, None, None)

    def connection_lost_and_back(self, *phones: dict[str, str]) -> None:
        self.part.disconnected()
        self.connect(*phones)


class ReconnectTest(SavePushCase):
    def back(self, *phones: dict[str, str], patches: bool = True) -> None:
        self.part.disconnected()
        self.connect(*phones, patches=patches)

    def test_a_save_meanwhile(self) -> None:
        self.first(ANN)
        self.part.disconnected()
        self.part.saved(B)
        self.part.saved(C)
        self.assertSent(1)
        self.clock.advance(5)
        self.connect(ANN)
        self.go(C, A, None)
        self.kept(C)
        self.ack(ANN)
        self.assertIn(" acknowledged after 5.00 s", self.lines[-1])

    def test_another_relay_has_no_base(self) -> None:
        self.first(ANN)
        self.back(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.hear("bundle_wanted", reason="base")
        self.go(B, None, None)

    def test_a_relay_of_an_earlier_version(self) -> None:
        self.first(ANN)
        self.back(ANN, patches=False)
        self.part.saved(B)
        self.go(B, None, None)

    def test_nothing_is_sent_again_that_arrived(self) -> None:
        self.first(ANN)
        self.back(ANN)
        self.clock.advance(GRACE_SECONDS)
        self.assertSent(1)

    def test_what_may_be_lost_is_sent_again(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.back(ANN)
        self.go(B, A, None)
        self.back(ANN)
        self.go(B, A, None)
        self.kept(B)
        self.ack(ANN)
        self.assertEqual((len(self.lines), self.complaints), (2, []))
        self.assertIn(" 200 B as a patch", self.lines[-1])

    def test_an_acknowledgement_is_not_the_relays_word(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.ack(ANN)  # Perhaps of the one before, late.
        self.back(ANN)
        self.go(B, A, None)

    def test_lost_while_it_is_made(self) -> None:
        self.first(ANN)
        self.parcels.gate = gate = Deferred()
        self.part.saved(B)
        self.parcels.gate = None
        self.back(ANN)
        self.go(B, A, None)
        gate.callback(None)
        self.assertSent(2)

    def test_lost_with_a_newer_one_waiting(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.part.saved(B)
        self.back(ANN)
        self.go(B, None, None)
        self.assertEqual(len(self.lines), 1)

    def test_a_phone_that_did_not_get_what_is_kept(self) -> None:
        self.part.saved(A)
        self.connect(ANN, BOB)
        self.go(A, None, None)
        self.kept(A)
        self.ack(ANN)
        self.back(ANN, BOB)
        self.clock.advance(GRACE_SECONDS)
        self.go(A, None, "bob")
        self.ack(BOB)
        self.assertIn(
            "Ann's acknowledged after 0.00 s · Bob's acknowledged after 0.00 s", self.lines[-1]
        )
        self.assertSent(2)

    def test_what_nobody_was_there_for_is_sent_again_with_a_line_of_its_own(self) -> None:
        self.part.saved(A)
        self.connect(patches=False)
        self.go(A, None, None)
        [line] = self.lines
        self.assertEqual(line, "app.js: 1 kB whole in 0.25 s · no phone is there")
        self.part.disconnected()
        self.connect(ANN, patches=False)
        self.go(A, None, None)
        self.ack(ANN)
        self.assertEqual(len(self.lines), 2)


class AnswersTest(SavePushCase):
    def test_nobody_is_there(self) -> None:
        self.part.saved(A)
        self.connect()
        self.go(A, None, None)
        self.assertEqual(self.lines, [])
        self.kept(A)
        self.assertIn("no phone is there", self.lines[-1])

    def test_a_failure(self) -> None:
        self.first(ANN, BOB)
        self.part.saved(B)
        self.go(B, A, None)
        self.kept(B)
        self.ack(ANN, "out of memory")
        self.ack(BOB)
        self.assertEqual(
            self.complaints,
            ["app.js: 100 B as a patch of 5 B in 0.00 s · Bob's acknowledged after 0.00 s · "
             "Ann's failed after 0.00 s: out of memory"],
        )  # fmt: skip

    def test_no_answer(self) -> None:
        self.first(ANN, BOB)
        self.part.saved(B)
        self.go(B, A, None)
        self.kept(B)
        self.ack(ANN)
        self.hear("mobile_disconnected", **BOB)
        self.clock.advance(TIMEOUT)
        self.assertEqual(len(self.complaints), 1)
        self.assertIn(
            "Ann's acknowledged after 0.00 s · no answer from Bob's, which left",
            self.complaints[0],
        )
        self.part.saved(C)
        self.go(C, B, None)

    def test_an_answer_that_is_late(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.kept(B)
        self.clock.advance(TIMEOUT)
        self.ack(ANN)
        self.assertEqual(self.lines[-1], f"Ann's acknowledged after {TIMEOUT:.2f} s")
        self.ack(ANN, "no")
        self.assertSaid(f"Ann's failed after {TIMEOUT:.2f} s: no")

    def test_an_answer_to_one_before(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.ack(ANN)
        self.assertSaid("an acknowledgement of an earlier bundle came")
        self.assertEqual(self.lines, [])

    def test_phones_without_names(self) -> None:
        self.part.saved(A)
        self.part.welcomed()
        self.hear("mobile_connected")
        self.hear("mobile_connected")
        self.clock.advance(SETTLE_SECONDS)
        self.go(A, None, None)
        self.ack()
        self.assertEqual(self.lines, [])
        self.clock.advance(TIMEOUT)
        self.assertIn(
            "a phone acknowledged after 0.25 s · no answer from a phone", self.complaints[0]
        )


class HintTest(SavePushCase):
    def setUp(self) -> None:
        super().setUp()
        self.told = 0
        hint = NoPhoneHint(self.clock, self.tell)
        self.part = SavePush("app.js", TIMEOUT, self.parcels, self.clock, self.screen, hint)

    def tell(self) -> None:
        self.told += 1

    def test_nobody_comes(self) -> None:
        self.part.saved(A)
        self.connect()
        self.clock.advance(AFTER_SECONDS)
        self.part.disconnected()
        self.connect()
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(self.told, 1)

    def test_somebody_is_there(self) -> None:
        self.first(ANN)
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(self.told, 0)

    def test_it_ends_before(self) -> None:
        self.connect()
        self.part.tidy()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OthersTest(SavePushCase):
    def test_a_phone_that_comes_later(self) -> None:
        self.first(ANN)
        self.hear("mobile_connected", **BOB)
        self.clock.advance(GRACE_SECONDS)
        self.go(A, None, "bob")
        self.assertSaid("sending 5 B to Bob's, which has come")
        self.ack(BOB)
        self.assertEqual(self.lines[-1], "Bob's acknowledged after 0.00 s")
        self.part.saved(B)
        self.go(B, A, None)

    def test_a_phone_that_helps_itself(self) -> None:
        self.first(ANN)
        self.hear("mobile_connected", **BOB)
        self.ack(BOB)
        self.clock.advance(GRACE_SECONDS)
        self.assertSent(1)

    def test_a_save_while_a_phone_is_served(self) -> None:
        self.first(ANN)
        self.hear("mobile_connected", **BOB)
        self.clock.advance(GRACE_SECONDS)
        self.part.saved(B)
        self.parcels.sent[-1].finish()
        self.go(B, A, None)
        self.assertEqual(self.complaints, [])

    def test_a_phone_without_a_name_that_comes_later(self) -> None:
        self.part.saved(A)
        self.connect(patches=False)
        self.go(A, None, None)
        self.hear("mobile_connected")
        self.clock.advance(GRACE_SECONDS)
        self.go(A, None, None)
        self.assertSaid("to a phone, which has come")

    def test_uploads(self) -> None:
        self.parcels.serves_one, self.parcels.is_kept = False, True
        self.part.saved(A)
        self.connect(ANN, patches=False)
        self.assertSaid("saves of app.js are uploaded")
        self.go(A, None, None)
        self.ack(ANN)
        self.hear("mobile_connected", **BOB)
        self.clock.advance(GRACE_SECONDS)
        self.assertSent(1)
        self.part.disconnected()
        self.connect(ANN, BOB, patches=False)
        self.clock.advance(GRACE_SECONDS)
        self.assertSent(1)

    def uploading(self) -> None:
        self.parcels.serves_one, self.parcels.is_kept = False, True
        self.part.saved(A)
        self.connect(ANN, patches=False)
        self.go(A, None, None)
        self.ack(ANN)

    def test_patches_are_uploaded(self) -> None:
        self.uploading()
        for base, save in ((A, B), (B, C)):
            self.part.saved(save)
            self.go(save, base, None)
            self.ack(ANN)
            self.assertIn("100 B as a patch", self.lines[-1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_patch_that_is_refused_over_http(self) -> None:
        for newer in (None, C):
            self.setUp()
            self.uploading()
            self.part.saved(B)
            self.parcels.refusal = "base"
            self.parcels.sent[-1].stopped = True
            if newer is not None:
                self.part.saved(newer)
            self.parcels.sent[-1].finish()
            self.parcels.refusal = ""
            if newer is None:
                self.assertSaid("the bundle is wanted whole (base)")
                self.go(B, None, None)
                self.ack(ANN)
                self.assertIn("1.1 kB whole", self.lines[-1])
            else:
                self.assertIs(self.parcels.sent[-1].what[0], C)
            self.part.tidy()

    def test_an_upload_that_fails(self) -> None:
        self.parcels.is_kept = True
        self.part.saved(A)
        self.connect(ANN, patches=False)
        self.parcels.sent[-1].done.callback(False)
        self.assertIn("not sent: the relay could not be sent it", self.complaints[0])
        self.part.saved(B)
        self.go(B, None, None)

    def test_a_phone_that_wants_it_whole(self) -> None:
        self.first(ANN)
        for _ in range(2):
            self.hear("bundle_wanted", reason="old", deviceId="ann")
        self.go(A, None, None)
        self.kept(A)
        self.hear("bundle_wanted", reason="old", deviceId="ann")
        self.assertSent(2)

    def test_wanted_before_anything_was_sent(self) -> None:
        self.connect(ANN)
        self.hear("bundle_wanted", reason="old")
        self.assertSent(0)
        self.part.saved(A)
        self.go(A, None, None)

    def test_an_error_while_it_is_sent(self) -> None:
        self.part.saved(A)
        self.connect(ANN)
        self.hear("error", error="it is too large")
        self.parcels.sent[-1].finish()
        self.assertEqual(
            self.complaints,
            ["app.js: 5 B · not sent: the relay reports: it is too large"],
        )
        self.part.saved(B)
        self.go(B, None, None)

    def test_an_error_when_it_is_sent(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.hear("error", error=5)
        self.assertIn("not sent: the relay reports: ?", self.complaints[0])
        self.part.saved(C)
        self.go(C, None, None)

    def test_another_error(self) -> None:
        self.first(ANN)
        self.hear("error", error="something else")
        self.assertSaid("the relay reports: something else")

    def test_leaving(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.part.saved(C)
        self.hear("mobile_connected", **BOB)
        self.part.tidy()
        self.assertTrue(self.parcels.sent[-1].stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for line in self.lines[-2:]:
            self.assertIn("left before that was sent", line)

    def test_leaving_what_is_out(self) -> None:
        self.first(ANN)
        self.part.saved(B)
        self.go(B, A, None)
        self.part.tidy()
        self.assertIn("left before that was acknowledged", self.lines[-1])


class StatesTest(SynchronousTestCase):
    def test_every_state_is_reached_and_left(self) -> None:
        self.assertEqual(set(TRANSITIONS.values()), set(SaveState))
        self.assertEqual({before for before, _ in TRANSITIONS}, set(SaveState))

    def test_every_pair(self) -> None:
        ways = {
            SaveState.AWAY: {SaveEvent.WELCOMED: SaveState.LOOKING},
            SaveState.LOOKING: {SaveEvent.TOLD: SaveState.READY},
            SaveState.READY: {SaveEvent.BEGIN: SaveState.MAKING},
            SaveState.MAKING: {SaveEvent.MADE: SaveState.SENDING, SaveEvent.DONE: SaveState.READY},
            SaveState.SENDING: {
                SaveEvent.ASKED: SaveState.CHECKING,
                SaveEvent.DONE: SaveState.READY,
            },
            SaveState.CHECKING: {SaveEvent.DONE: SaveState.READY},
        }
        for state in SaveState:
            for event in SaveEvent:
                after = SaveState.AWAY if event is SaveEvent.LOST else ways[state].get(event)
                self.assertIs(TRANSITIONS.get((state, event)), after, (state, event))
