"""How the saves of a file go to phones: each as a patch where that is possible, the newest wins.

A state machine that learns of saves, of time and of messages from outside. It has no socket, no
arguments and no files; the command line for it is in `push_watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.amounts import data
from apptuner_relay.client.bundles import BundleError
from apptuner_relay.client.carriers import Sending
from apptuner_relay.client.newcomers import Newcomers
from apptuner_relay.client.no_phone_hint import NoPhoneHint
from apptuner_relay.client.phones import Acknowledgement, Answers, PhoneRoster, called, phone_in
from apptuner_relay.client.pushing import SETTLE_SECONDS
from apptuner_relay.client.save_parcels import SaveParcel, SaveParcels
from apptuner_relay.client.save_queue import SaveQueue
from apptuner_relay.client.save_report import SaveReport
from apptuner_relay.client.save_states import TRANSITIONS, SaveEvent, SaveState
from apptuner_relay.client.saved_file import Save
from apptuner_relay.client.screen import Bar, Screen

VERDICT_SECONDS = 30.0
"""For the relay to say what became of a patch."""
KEPT_SECONDS = 10.0
"""For the relay to say that it keeps a whole bundle, when the last byte is out. A save that comes
meanwhile waits, as it may be a patch then."""


class SavePush:
    """Saves on their way to the phones of a session.

    :param name: what the file is called.
    :param timeout_seconds: how long phones may take to answer once a save is out.
    :param hint: what is told when no phone comes, if anything.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        timeout_seconds: float,
        parcels: SaveParcels,
        clock: IReactorTime,
        screen: Screen,
        hint: NoPhoneHint | None = None,
    ) -> None:
        self._name = name
        self._hint = hint
        self._timeout = timeout_seconds
        self._parcels = parcels
        self._clock = clock
        self._screen = screen
        self._state = SaveState.AWAY
        self._roster = PhoneRoster()
        self._queue = SaveQueue(name, clock, screen, self._roster)
        self._newcomers = Newcomers(clock, self._go_on)
        self._takes_patches = False
        """Whether the relay does, over this connection."""
        self._was_wanted = False
        """Whether the current save was asked for whole."""
        self._kept: Save | None = None
        """What the relay keeps, and may be patched."""
        self._making: Deferred[SaveParcel] | None = None
        self._sending: Sending | None = None
        self._bar: Bar | None = None
        self._trouble = ""
        """Why what is being sent will not arrive."""
        self._state_ends: IDelayedCall | None = None

    # What happens.

    def saved(self, save: Save) -> None:
        """The file has new content."""
        if self._queue.add(save):
            if self._sending is not None:
                # What is under way is of no use any more.
                self._sending.stop()
            self._go_on()

    def welcomed(self) -> None:
        self._takes_patches = False
        self._happens(SaveEvent.WELCOMED, SETTLE_SECONDS, self._looked)
        self._look_for_phones()

    def disconnected(self) -> None:
        self._happens(SaveEvent.LOST)
        self._stop_hint()
        self._roster.clear()
        self._newcomers.connection_lost()
        self._queue.connection_lost()

    def received(self, message: Mapping[str, Any]) -> None:
        if self._roster.heed(message):
            self._look_for_phones()
        match message["type"]:
            case "connected":
                self._takes_patches = message.get("patch") is True
            case "mobile_connected":
                self._heed_phone(message)
            case "mobile_disconnected":
                phone = phone_in(message)
                if phone is not None:
                    self._newcomers.went(phone.id)
            case "device_list" if self._state is SaveState.LOOKING:
                self._looked()
            case "bundle_ack":
                self._heed_ack(message)
            case "bundle_kept":
                self._heed_kept(message)
            case "bundle_wanted":
                self._heed_wanted(message)
            case "error":
                self._heed_error(message)

    def tidy(self) -> None:
        """Stop the clocks and what is being sent, and take the progress bar away."""
        self._happens(SaveEvent.LOST)
        self._stop_hint()
        self._newcomers.connection_lost()
        self._queue.leave()

    # Who is there.

    def _look_for_phones(self) -> None:
        if self._hint is not None:
            self._hint.look(len(self._roster) > 0)

    def _stop_hint(self) -> None:
        if self._hint is not None:
            self._hint.stop()

    def _looked(self) -> None:
        self._happens(SaveEvent.TOLD)
        how = "uploaded"
        if self._parcels.serves_one:
            how = "sent as patches" if self._takes_patches else "sent whole: it takes no patches"
            for phone in self._roster.known:
                self._newcomers.look(phone)
        self._screen.event("connected")
        self._screen.say(f"connected to the relay; saves of {self._name} are {how}")
        self._go_on()

    def _heed_phone(self, message: Mapping[str, Any]) -> None:
        # While the relay tells who is there, they haven't come just now.
        if self._parcels.serves_one and self._state is not SaveState.LOOKING:
            phone = phone_in(message)
            self._newcomers.came(None if phone is None else phone.id)

    # What is sent.

    def _go_on(self) -> None:
        """Send what there is to send, if it can be now."""
        if self._state is not SaveState.READY:
            return
        current = self._queue.current
        if self._queue.pending is not None:
            self._was_wanted = False
            may_patch = self._takes_patches or self._parcels.is_kept
            self._send_to_all(self._queue.take(), self._kept if may_patch else None)
        elif current is not None and current.out:
            newcomer = self._newcomers.next()
            if newcomer is not None:
                self._serve(current, *newcomer)
            else:
                self._close_if_answered(current)

    def _send_to_all(self, report: SaveReport, base: Save | None) -> None:
        self._make(report, base, None, to_all=True)

    def _serve(self, report: SaveReport, target: str | None) -> None:
        phones = self._roster.known
        who = called(phones[target], phones.values()) if target in phones else "a phone"
        self._screen.say(f"sending {data(len(report.save.code))} to {who}, which has come")
        report.serve(target, self._clock.seconds())
        self._make(report, None, target, to_all=False)

    def _make(
        self, report: SaveReport, base: Save | None, target: str | None, *, to_all: bool
    ) -> None:
        self._happens(SaveEvent.BEGIN)
        making = self._making = self._parcels.make(report.save, base, target)
        making.addCallback(self._made, making, report, to_all)
        making.addErrback(self._not_made, making)
        making.addErrback(lambda failure: self._log.failure("sending a save", failure))

    def _made(
        self, made: SaveParcel, making: Deferred[SaveParcel], report: SaveReport, to_all: bool
    ) -> None:
        if self._making is not making:
            return  # The connection that it was for is gone.
        if self._queue.pending is not None:
            self._be_done()
            return
        if made.no_patch_because:
            self._screen.say(f"sending all of it: {made.no_patch_because}")
        if to_all:
            report.out, report.is_patch = False, made.is_patch
            report.expect(Answers(self._roster.known.values(), self._roster.unnamed))
            self._newcomers.sent_to(set(self._roster.known))
            if not made.is_patch:
                self._kept = None
        parcel = made.parcel
        self._happens(SaveEvent.MADE)
        self._trouble = ""
        self._bar = self._screen.bar(parcel.size_bytes, self._clock.seconds)

        def progressed(sent_bytes: int) -> None:
            report.out = report.out or sent_bytes >= parcel.first_bytes
            if self._bar is not None:
                self._bar.update(sent_bytes)

        sending = self._sending = parcel.start(progressed)
        sending.done.addCallback(self._sent, sending, report, made, to_all)

    def _not_made(self, failure: Failure, making: Deferred[SaveParcel]) -> None:
        failure.trap(BundleError)
        if self._making is not making:
            return
        self._fail(str(failure.value))
        self._be_done()

    def _sent(
        self, whole: bool, sending: Sending, report: SaveReport, made: SaveParcel, to_all: bool
    ) -> None:
        if self._sending is not sending:
            return  # It went down with its connection.
        self._sending = None
        if to_all and whole:
            report.sent(made.parcel.size_bytes, self._clock.seconds())
            self._queue.wait_for_answers(self._timeout)
            if self._parcels.is_kept:
                self._kept, self._queue.reached = report.save, True
            elif made.is_patch:
                self._happens(SaveEvent.ASKED, VERDICT_SECONDS, self._no_verdict)
                return
            elif self._takes_patches:
                self._happens(SaveEvent.ASKED, KEPT_SECONDS, self._be_done)
                return
        elif to_all and self._parcels.refusal and self._queue.pending is None:
            report.sent(made.parcel.size_bytes, self._clock.seconds())
            self._screen.say(f"the bundle is wanted whole ({self._parcels.refusal})")
            self._happens(SaveEvent.DONE)
            self._send_whole()
            return
        elif to_all and self._queue.pending is None:
            self._fail(self._trouble or "the relay could not be sent it")
        self._be_done()

    # What the relay says of it.

    def _heed_kept(self, message: Mapping[str, Any]) -> None:
        current = self._queue.current
        if current is None or message.get("sha256") != current.save.sha256:
            return  # It is of one before.
        self._kept = current.save
        self._queue.reached = True
        if self._state is SaveState.CHECKING:
            self._be_done()

    def _no_verdict(self) -> None:
        self._screen.say("the relay does not say what became of the patch")
        self._send_whole()

    def _heed_wanted(self, message: Mapping[str, Any]) -> None:
        reason = message.get("reason")
        said = reason if isinstance(reason, str) else "it does not say why"
        current = self._queue.current
        is_verdict = self._state is SaveState.CHECKING and current is not None and current.is_patch
        # Of a phone it is passed on, where the relay has no bundle for it. One that goes on asking
        # is not worth a bundle each time.
        if is_verdict or (self._state is SaveState.READY and current and not self._was_wanted):
            self._was_wanted = True
            self._screen.say(f"the bundle is wanted whole ({said})")
            self._send_whole()

    def _send_whole(self) -> None:
        self._kept = None
        if self._state is SaveState.CHECKING:
            self._happens(SaveEvent.DONE)
        if self._queue.pending is not None:
            self._go_on()
        elif self._queue.current is not None:
            self._send_to_all(self._queue.current, None)

    def _heed_error(self, message: Mapping[str, Any]) -> None:
        error = message.get("error")
        trouble = f"the relay reports: {error if isinstance(error, str) else '?'}"
        if self._state is SaveState.SENDING and self._sending is not None:
            self._trouble = trouble
            self._sending.stop()
        elif self._state is SaveState.CHECKING:
            self._fail(trouble)
            self._be_done()
        else:
            self._screen.complain(trouble)

    def _fail(self, why: str) -> None:
        """The current save does not arrive; the next may."""
        current = self._queue.current
        assert current is not None
        self._queue.close(current, error=f"not sent: {why}")
        current.out = False
        # Sent again, it would meet the same end.
        self._queue.reached = True
        self._kept = None

    # Answers.

    def _heed_ack(self, ack: Mapping[str, Any]) -> None:
        answer, device = Acknowledgement.in_message(ack), ack.get("deviceId")
        current = self._queue.current
        # Nobody can have taken what is not out yet; that it can't be taken may be known before.
        if current is None or (answer.success and not current.out):
            self._screen.say("an acknowledgement of an earlier bundle came")
            return
        if answer.success and self._state is not SaveState.CHECKING:
            # It may be of the one before, and the relay has yet to say what became of this one.
            self._queue.reached = True
        known = self._roster.known
        device = device if isinstance(device, str) else None
        told, phone = current.take(device, answer, known, self._clock.seconds())
        if phone is not None:
            self._newcomers.answered(phone.id)
        if not current.closed:
            self._close_if_answered(current)
        elif answer.success:
            self._screen.tell(told, "green")
        else:
            self._screen.complain(told, lines=True)

    def _close_if_answered(self, report: SaveReport) -> None:
        nobody_is_there = self._state is SaveState.READY and not report.answers.missing
        if report.out and (report.answered or nobody_is_there):
            self._queue.close(report)

    # States.

    def _be_done(self) -> None:
        self._happens(SaveEvent.DONE)
        self._go_on()

    def _happens(
        self,
        event: SaveEvent,
        seconds: float | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Go to another state, which ends by itself after so many `seconds`, where that is said."""
        self._state = TRANSITIONS[self._state, event]
        if self._state_ends is not None and self._state_ends.active():
            self._state_ends.cancel()
        self._state_ends = None if seconds is None else self._clock.callLater(seconds, then)
        self._making = None
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.stop()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
