"""How a push goes: wait for phones, send, wait for what they say, and once more if need be.

A state machine that learns of time and of messages from outside. It has no socket, no arguments
and no files; the command line for it is in `push`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.client.bundles import BundleError
from apptuner_relay.client.carriers import Carrier, Sending
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.no_phone_hint import NoPhoneHint
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.phones import Acknowledgement, Answers, Phone, PhoneRoster, called
from apptuner_relay.client.push_lines import phones as some_phones
from apptuner_relay.client.push_report import PushReport
from apptuner_relay.client.screen import Bar, Screen

SETTLE_SECONDS = 0.25
"""After the first phone was announced: for the relay to announce the others."""


@dataclass(frozen=True)
class Order:
    """Whom to send a bundle, and how patient to be."""

    device: str | None = None
    wait_seconds: float = 60.0
    timeout_seconds: float = 60.0
    sends: int = 11
    """How often the bundle may be sent, at most, all tries together."""


class _State(Enum):
    AWAY = auto()
    WAITING = auto()
    SENDING = auto()
    LISTENING = auto()


class Push:
    """One bundle's way to the phones.

    :param hint: what is told when no phone comes, if anything.
    """

    def __init__(
        self,
        order: Order,
        carrier: Carrier,
        membership: Membership,
        clock: IReactorTime,
        screen: Screen,
        hint: NoPhoneHint | None = None,
    ) -> None:
        self._order = order
        self._carrier = carrier
        self._membership = membership
        self._clock = clock
        self._screen = screen
        self._hint = hint
        self._report = PushReport(clock, screen)
        self._state = _State.AWAY
        self._roster = PhoneRoster()
        self._answers: Answers | None = None
        self._served: set[str] = set()
        """The phones this connection has sent the bundle to."""
        self._sends_left = order.sends
        self._sending: Sending | None = None
        self._bar: Bar | None = None
        self._deadline: IDelayedCall | None = None
        self._settling: IDelayedCall | None = None
        self._whole_at = 0
        """Bytes that have to be sent before anybody can have the whole bundle."""
        self._out = False
        """Whether that many were sent, over this connection or one before."""
        self._relay_failed = False

    # What happens.

    def welcomed(self) -> None:
        self._state = _State.WAITING
        whom = f"device {self._order.device}" if self._order.device else "a phone"
        self._screen.event("connected")
        self._screen.say(f"connected; waiting for {whom} (at most {self._order.wait_seconds:g} s)")
        self._set_deadline(self._order.wait_seconds, self._nobody_came)
        self._tell_hint()
        self._look_around(settled=False)

    def disconnected(self) -> None:
        self._state = _State.AWAY
        self._report.stopped()
        self._roster.clear()
        self._served.clear()
        self.tidy()

    def received(self, message: Mapping[str, Any]) -> None:
        if self._roster.heed(message):
            self._served &= self._roster.known.keys()
            self._tell_hint()
        match message["type"]:
            case "mobile_connected":
                self._look_around(settled=False)
            case "device_list":
                self._look_around(settled=True)
            case "bundle_ack":
                self._heed_ack(message)
            case "error":
                self._heed_error(message)

    def tidy(self) -> None:
        """Stop the clocks and what is being sent, and take the progress bar away."""
        if self._hint is not None:
            self._hint.stop()
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.stop()
        for call in (self._deadline, self._settling):
            if call is not None and call.active():
                call.cancel()
        self._deadline = self._settling = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    # Who is there.

    def _tell_hint(self) -> None:
        if self._hint is not None:
            device = self._order.device
            is_there = device in self._roster.known if device else len(self._roster) > 0
            self._hint.look(is_there)

    def _look_around(self, *, settled: bool) -> None:
        """Send, if somebody is there who needs the bundle.

        The relay announces phones one by one. A device list is complete; without one, a short
        quiet time has to do.
        """
        if self._state not in (_State.WAITING, _State.LISTENING) or not self._somebody_waits():
            return
        if self._state is _State.LISTENING and self._sends_left <= 0:
            return
        if settled or self._order.device:
            self._send()
        elif self._settling is None:
            self._settling = self._clock.callLater(SETTLE_SECONDS, self._send)

    def _somebody_waits(self) -> bool:
        if self._partly_answered or self._state is _State.LISTENING:
            return bool(self._to_serve())
        if self._order.device:
            return self._order.device in self._roster.known
        return len(self._roster) > 0

    def _to_serve(self) -> list[Phone]:
        """The phones that owe an answer, are here, and were not sent to by this connection."""
        owing = self._answers.owing() if self._answers else []
        return [
            phone
            for phone in owing
            if phone.id in self._roster.known and phone.id not in self._served
        ]

    @property
    def _partly_answered(self) -> bool:
        """Whether only some phones, and it is known which, still need the bundle."""
        answers = self._answers
        return answers is not None and not answers.none_yet and not answers.countable_only

    def _nobody_came(self) -> None:
        if self._answers is not None:
            self._give_up_on_answers()
            return
        if self._order.device:
            here = ", ".join(map(str, self._roster.known.values()))
            self._screen.complain(
                f"device {self._order.device} did not come within "
                f"{self._order.wait_seconds:g} s; here: {here or 'nobody'}"
            )
        else:
            self._screen.complain(f"no phone joined within {self._order.wait_seconds:g} s")
        self._end(Exit.NO_PHONE)

    # Sending.

    def _send(self) -> None:
        if self._settling is not None and self._settling.active():
            self._settling.cancel()
        self._settling = None
        if not self._somebody_waits():
            return  # Whoever was announced is gone again; the deadline goes on.
        self.tidy()
        again = self._answers is not None
        if self._partly_answered or self._state is _State.LISTENING:
            phones = self._to_serve()
            targets: list[str | None] = [phone.id for phone in phones]
        else:
            phones, targets = self._expect_everyone()
        self._served |= {phone.id for phone in phones}
        self._sends_left -= 1
        self._state = _State.SENDING
        try:
            parcel = self._carrier.pack(targets)
        except BundleError as error:
            self._screen.complain(str(error))
            self._end(Exit.FAILED)
            return
        self._whole_at = parcel.first_bytes
        self._report.sending(phones, 0 if phones else self._roster.unnamed, again=again)
        self._bar = self._screen.bar(parcel.size_bytes, self._clock.seconds)
        sending = self._sending = parcel.start(self._progressed)
        sending.done.addCallback(self._sent, sending)

    def _progressed(self, sent_bytes: int) -> None:
        self._out = self._out or sent_bytes >= self._whole_at
        if self._bar is not None:
            self._bar.update(sent_bytes)

    def _expect_everyone(self) -> tuple[list[Phone], list[str | None]]:
        device = self._order.device
        if device is not None:
            phones, unnamed = [self._roster.known[device]], 0
        else:
            phones, unnamed = list(self._roster.known.values()), self._roster.unnamed
        self._answers = Answers(phones, unnamed)
        return phones, [device]

    def _sent(self, whole: bool, sending: Sending) -> None:
        if self._sending is not sending:
            return  # It was given up.
        self._sending = None
        self.tidy()
        if self._relay_failed or not whole:
            self._report.stopped()
            self._end(Exit.FAILED)
            return
        self._report.sent(self._whole_at)
        self._await_answers()
        if self._state is _State.LISTENING:
            self._look_around(settled=True)

    # Answers.

    def _await_answers(self) -> None:
        self._state = _State.LISTENING
        self._set_deadline(self._order.timeout_seconds, self._give_up_on_answers)
        self._end_if_answered()

    def _heed_ack(self, ack: Mapping[str, Any]) -> None:
        answer, device = Acknowledgement.in_message(ack), ack.get("deviceId")
        answers = self._answers
        # Nobody can have taken what is not out yet; that it can't be taken may be known before.
        if answers is None or (answer.success and not self._out):
            self._screen.say("an acknowledgement of an earlier bundle came")
            return
        known = self._roster.known
        phone = answers.take(device if isinstance(device, str) else None, answer, known)
        self._report.answered(phone, answer, known.values())
        if self._state is not _State.SENDING:
            self._end_if_answered()

    def _end_if_answered(self) -> None:
        assert self._answers is not None
        if not self._answers.missing:
            self._end(Exit.FAILED if self._answers.failed else Exit.DONE)

    def _give_up_on_answers(self) -> None:
        assert self._answers is not None
        phones = self._answers.owing()
        who = some_phones(self._answers.missing)
        if phones and not self._answers.countable_only:
            who = "; ".join(self._said_of(phone, phones) for phone in phones)
        self._report.unanswered(who, self._order.timeout_seconds)
        self._end(Exit.FAILED if self._answers.failed else Exit.NO_ACK)

    def _said_of(self, phone: Phone, phones: Sequence[Phone]) -> str:
        left = "" if phone.id in self._roster.known else ", which left"
        return called(phone, phones) + left

    def _heed_error(self, message: Mapping[str, Any]) -> None:
        error = message.get("error")
        self._screen.event("relay_error", error=error if isinstance(error, str) else None)
        self._screen.complain(f"the relay reports: {error if isinstance(error, str) else '?'}")
        if self._state is _State.SENDING:
            self._relay_failed = True
            if self._sending is not None:
                self._sending.stop()
        elif self._state is _State.LISTENING:
            self._end(Exit.FAILED)

    # Ends.

    def _set_deadline(self, delay: float, action: Callable[[], None]) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = self._clock.callLater(delay, action)

    def _end(self, code: Exit) -> None:
        self._state = _State.AWAY
        self.tidy()
        self._membership.leave(code)
