"""What one phone got of one bundle, and what it said about it: a row of a `bundle_record`."""

from enum import Enum
from typing import Protocol

from apptuner_relay.operator.bundle_phone_states import (
    AWAITED,
    TRANSITIONS,
    BundlePhoneEvent,
    BundlePhoneState,
)
from apptuner_relay.session.roles import Device

AGAIN = "it is sent the bundle again"
NEWER = "its sender has begun another bundle"
UNANSWERED = "it got another bundle before it answered"
MOST_ANSWERS = 4
"""How often a phone may answer the same bundle, each time otherwise. Each answer is logged and
counted, and a phone may send hundreds a second."""


class PhoneForm(Enum):
    """How a phone gets it."""

    WHOLE = "whole"
    CHUNKS = "chunks"
    PATCH = "patch"
    UNCHANGED = "unchanged"
    """It has the code already, and is told so."""
    ANNOUNCED = "announced"
    """It is told where to download it."""


class DeliverySource(Enum):
    """Where a phone gets it from."""

    LIVE = "live"
    """From its sender, as it comes."""
    KEPT = "kept"
    """From the log: it has joined late, or it is sent it again."""


class ParentRecord(Protocol):
    """The record that a row is of: a `bundle_record.BundleRecord`."""

    session_hash: str
    number: int
    began_ms: int
    began_s: float
    is_endless: bool

    @property
    def label(self) -> str:
        """How logs name its session."""

    def now_s(self) -> float:
        """The monotonic clock's time."""

    def phone_changed(self, phone: "PhoneRecord", was_awaited: bool) -> None:
        """A phone has another state."""


class PhoneRecord:
    """What one phone got of a bundle. Times are seconds of the monotonic clock."""

    __slots__ = (
        "_answers",
        "answered_s",
        "asked_s",
        "bytes",
        "device",
        "error",
        "first_out_s",
        "form",
        "is_counted",
        "last_out_s",
        "record",
        "source",
        "state",
        "why",
    )

    def __init__(
        self,
        record: ParentRecord,
        device: Device,
        source: DeliverySource,
        form: PhoneForm,
        now_s: float,
    ) -> None:
        self.record = record
        self.device = device
        self.source = source
        self.form = form
        self.state = BundlePhoneState.WAITING
        self.bytes = 0
        """How many bytes it was sent, by its WebSocket."""
        self.asked_s = now_s
        """When it was to get the bundle."""
        self.first_out_s: float | None = None
        """When its first bytes were given to its connection; `last_out_s`, its last ones."""
        self.last_out_s: float | None = None
        self.answered_s: float | None = None
        self.error: str | None = None
        """What it says is wrong: printable, on one line."""
        self.why: str | None = None
        """Why it has not got all of it, or has not answered."""
        self._answers = 0
        self.is_counted = False
        """Whether `bundle_outcomes` has counted what became of it."""

    @property
    def is_awaited(self) -> bool:
        """Whether something is still to come: bytes, or an answer."""
        return self.state in AWAITED

    @property
    def zero_s(self) -> float:
        """From when its times count: the bundle's first byte, or when it asked for a bundle that
        had come before."""
        return self.record.began_s if self.source is DeliverySource.LIVE else self.asked_s

    @property
    def out_s(self) -> float | None:
        """After how many seconds it had got all of it."""
        return since(self.zero_s, self.last_out_s)

    @property
    def reload_s(self) -> float | None:
        """After how many seconds it answered."""
        return since(self.zero_s, self.answered_s)

    @property
    def shown(self) -> str:
        """How people know the phone."""
        return self.device.name or self.device.device_id

    def begin(self) -> None:
        """Its first bytes are given to its connection."""
        self._happens(BundlePhoneEvent.BEGUN)
        if self.first_out_s is None:
            self.first_out_s = self.record.now_s()

    def send(self, form: PhoneForm, size: int) -> None:
        """The last of ``size`` bytes are given to its connection."""
        self.form, self.bytes = form, size
        self.last_out_s = self.record.now_s()
        if self.first_out_s is None:
            self.first_out_s = self.last_out_s
        self._happens(BundlePhoneEvent.SENT)

    def want_whole(self, form: PhoneForm) -> None:
        """It could not use what it got in the bundle's place: it gets the bundle."""
        if self._can(BundlePhoneEvent.WANTED_WHOLE):
            self.form = form
            self.last_out_s = self.answered_s = self.error = None
            self._answers = 0
            self._happens(BundlePhoneEvent.WANTED_WHOLE)

    def answer(self, success: bool, error: str | None) -> None:
        """It says whether it runs the bundle.

        :param error: what is wrong, where something is: printable, on one line.
        """
        event = BundlePhoneEvent.ACKNOWLEDGED if success else BundlePhoneEvent.FAILED
        if self._can(event) and self._answers < MOST_ANSWERS:
            self._answers += 1
            self.answered_s = self.record.now_s()
            self.error = None if success else error
            self.why = None
            self._happens(event)

    def cut(self, why: str) -> None:
        """The rest of it never comes."""
        self._end(BundlePhoneEvent.CUT, why)

    def leave(self, why: str) -> None:
        """The phone has disconnected."""
        self._end(BundlePhoneEvent.LEFT, why)

    def supersede(self, why: str) -> None:
        """The phone gets another bundle instead, or has got one."""
        self._end(BundlePhoneEvent.SUPERSEDED, why)

    def expire(self) -> None:
        """It had time enough to answer."""
        self._happens(BundlePhoneEvent.EXPIRED)

    def row(self) -> dict[str, object]:
        """As JSON shows it."""
        record, zero_s, device = self.record, self.zero_s, self.device
        return {
            "deviceId": device.device_id,
            "name": device.name,
            "platform": device.platform,
            "source": self.source.value,
            "form": self.form.value,
            "state": self.state.shown,
            "bytes": self.bytes,
            "asked_ms": record.began_ms + round((self.asked_s - record.began_s) * 1000),
            "first_out_s": since(zero_s, self.first_out_s),
            "last_out_s": since(zero_s, self.last_out_s),
            "answered_s": since(zero_s, self.answered_s),
            "error": self.error,
            "why": self.why,
        }

    def _end(self, event: BundlePhoneEvent, why: str) -> None:
        if self._can(event):
            self.why = why
            self._happens(event)

    def _can(self, event: BundlePhoneEvent) -> bool:
        return (self.state, event) in TRANSITIONS

    def _happens(self, event: BundlePhoneEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        was_awaited, self.state = self.is_awaited, state
        self.record.phone_changed(self, was_awaited)
        return True


def since(zero_s: float, at_s: float | None) -> float | None:
    """The seconds from ``zero_s`` on, in whole milliseconds."""
    return None if at_s is None else round(max(0.0, at_s - zero_s), 3)
