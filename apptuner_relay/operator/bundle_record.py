"""What became of one bundle: when it came, and what each phone got of it and said about it.

A record changes a few times for each bundle and phone, and never for a block. `bundle_records`
keeps them; `delivered_bundles` writes what happens at one phone.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple, Protocol

from apptuner_relay.operator import bundle_phone_states, bundle_record_states
from apptuner_relay.operator.bundle_phone_states import BundlePhoneEvent, BundlePhoneState
from apptuner_relay.operator.bundle_record_states import RecordEvent, RecordState
from apptuner_relay.operator.phone_record import DeliverySource, PhoneForm, PhoneRecord, since
from apptuner_relay.session.roles import Device, Role

_MOST_KEPT_PHONES = 50
"""How many rows a record has of phones that got the bundle from the log: one that reconnects again
and again has one each time."""


class BundleForm(Enum):
    """How a bundle comes from its sender."""

    WHOLE = "whole"
    CHUNKS = "chunks"
    PATCH = "patch"
    UPLOAD = "upload"


class BundleSender(NamedTuple):
    """Who sends a bundle."""

    role: Role
    address: str | None


class RecordKeeper(Protocol):
    """What a record needs of what keeps it: `bundle_records.BundleRecords`."""

    def now_s(self) -> float:
        """The monotonic clock's time."""

    def expect(self, one: "BundleRecord | PhoneRecord") -> None:
        """Call its `expire` when phones had time enough to answer."""

    def forget(self, one: "BundleRecord | PhoneRecord") -> None:
        """Call that no more."""

    def grew(self, record: "BundleRecord", rows: int) -> None:
        """A record has ``rows`` more rows; fewer, where that is negative."""

    def settled(self, record: "BundleRecord") -> None:
        """No phone is waited for any more."""

    def ended(self, phone: "PhoneRecord") -> None:
        """A phone that the record did not wait for has answered, or never will. Called again when
        it answers again."""


class BundleRecord:
    """What became of one bundle. Times are seconds of the monotonic clock, where they are not of
    the wall clock (``_ms``).

    :param number: which bundle of its session it is.
    :param target: the ``deviceId`` of the phone that it is for, where it is for one alone.
    :param is_endless: whether nobody knows how many messages it will have.
    """

    __slots__ = (
        "_awaited",
        "began_ms",
        "began_s",
        "bytes",
        "form",
        "is_endless",
        "keeper",
        "last_in_s",
        "number",
        "phones",
        "sender",
        "session_hash",
        "state",
        "target",
        "why",
    )

    def __init__(
        self,
        keeper: RecordKeeper,
        session_hash: str,
        number: int,
        sender: BundleSender,
        form: BundleForm,
        began_ms: int,
        target: str | None = None,
        is_endless: bool = False,
    ) -> None:
        self.keeper = keeper
        self.session_hash = session_hash
        self.number = number
        self.sender = sender
        self.form = form
        self.target = target
        self.is_endless = is_endless
        self.began_ms = began_ms
        self.began_s = self.last_in_s = keeper.now_s()
        """When its first byte came, and the last one so far."""
        self.bytes = 0
        """How many bytes of it have come, as messages; those of a patch are its own."""
        self.state = RecordState.ARRIVING
        self.why: str | None = None
        """Why it was cut."""
        self.phones: list[PhoneRecord] = []
        self._awaited = 0
        """How many of the phones that are to get it live are waited for."""

    @property
    def label(self) -> str:
        """How logs name its session."""
        return self.session_hash[:8]

    @property
    def is_settled(self) -> bool:
        """Whether no phone is waited for any more."""
        return self.state.is_settled

    @property
    def live(self) -> list[PhoneRecord]:
        """The phones that were there when it began."""
        return [phone for phone in self.phones if phone.source is DeliverySource.LIVE]

    @property
    def in_s(self) -> float | None:
        """How long it took to come, in seconds; None where it has not come whole."""
        return self._since(self.last_in_s) if self.state.is_whole else None

    @property
    def last_out_s(self) -> float | None:
        """After how many seconds the last of the phones that got all of it live had; None where
        none has."""
        return self._since(_latest(phone.last_out_s for phone in self.live))

    @property
    def acknowledged_s(self) -> float | None:
        """The reload time: after how many seconds the last of those phones said that it runs the
        bundle. None where none has."""
        acknowledged = (p for p in self.live if p.state is BundlePhoneState.ACKNOWLEDGED)
        return self._since(_latest(phone.answered_s for phone in acknowledged))

    def now_s(self) -> float:
        """The monotonic clock's time."""
        return self.keeper.now_s()

    def add_phone(self, device: Device, source: DeliverySource, form: PhoneForm) -> PhoneRecord:
        """A phone is to get it."""
        phone = PhoneRecord(self, device, source, form, self.keeper.now_s())
        if source is DeliverySource.LIVE:
            self._awaited += 1
        else:
            self._make_room()
        self.phones.append(phone)
        self.keeper.grew(self, 1)
        return phone

    def count(self, size: int) -> None:
        """A message of it has come whole, with ``size`` bytes."""
        if self.state is RecordState.ARRIVING:
            self.bytes += size
            self.last_in_s = self.keeper.now_s()

    def begun(self) -> None:
        """All phones that get it live are known."""
        if self.is_endless:
            self.keeper.expect(self)
        self._settle_if_done()

    def come(self) -> None:
        """Its sender has sent the last of it."""
        if self._happens(RecordEvent.CAME):
            self._ended()

    def come_as_patch(self, size: int, began_s: float, last_in_s: float) -> None:
        """All of it has come, in the form of a patch of ``size`` bytes, before it was begun."""
        self.began_ms -= round((self.began_s - began_s) * 1000)
        self.began_s, self.last_in_s, self.bytes = began_s, last_in_s, size
        if self._happens(RecordEvent.CAME):
            self.keeper.expect(self)

    def cut(self, why: str) -> None:
        """Its rest never comes."""
        if self._happens(RecordEvent.CUT_SHORT):
            self.why = why
            self._ended()

    def expire(self) -> None:
        """Phones had time enough to answer, since the last byte came."""
        if self.state is RecordState.ARRIVING:
            # It is endless, and nothing has come of it for so long.
            self._happens(RecordEvent.CAME)
        self._settle()

    def phone_changed(self, phone: PhoneRecord, was_awaited: bool) -> None:
        """A phone has another state."""
        is_live = phone.source is DeliverySource.LIVE
        if is_live:
            self._awaited += phone.is_awaited - was_awaited
        if is_live and not self.is_settled:
            self._settle_if_done()
        elif phone.state is BundlePhoneState.SENT:
            self.keeper.expect(phone)
        elif not phone.is_awaited:
            self.keeper.forget(phone)
            self.keeper.ended(phone)

    def restore(
        self, state: RecordState, why: str | None, phones: list[PhoneRecord], is_settled: bool
    ) -> None:
        """Continue a record of another relay. Bundles don't move while they are on their way: a
        phone has got all of this one, or gets no more of it."""
        self.state, self.why, self.phones = state, why, phones
        waited_for = {BundlePhoneState.WAITING, BundlePhoneState.GETTING}
        for phone in phones:
            if phone.state in waited_for:
                phone.state = BundlePhoneState.LEFT
            elif phone.state is BundlePhoneState.SENT and is_settled:
                phone.state = BundlePhoneState.UNANSWERED
        self._happens(RecordEvent.CAME)
        if is_settled:
            self._happens(RecordEvent.SETTLED)
        self._awaited = sum(phone.is_awaited for phone in self.live)

    def go_on(self) -> None:
        """It was restored: wait for phones from now on."""
        if not self.is_settled:
            self.keeper.expect(self)
            self._settle_if_done()

    def row(self) -> dict[str, object]:
        """As JSON shows it. Seconds count from its first byte."""
        return {
            "id": self.number,
            "began_ms": self.began_ms,
            "sender": {"role": self.sender.role.value, "address": self.sender.address},
            "form": self.form.value,
            "bytes": self.bytes,
            "in_s": self.in_s,
            "state": self.state.shown,
            "why": self.why,
            "target": self.target,
            "settled": self.is_settled,
            "last_out_s": self.last_out_s,
            "acknowledged_s": self.acknowledged_s,
            "phones": [phone.row() for phone in self.phones],
        }

    def _since(self, at_s: float | None) -> float | None:
        return since(self.began_s, at_s)

    def _make_room(self) -> None:
        """Drop the row of a phone that got it from the log, where there are many: of those that
        nothing is awaited of, if there are any, the first."""
        kept = [phone for phone in self.phones if phone.source is DeliverySource.KEPT]
        if len(kept) >= _MOST_KEPT_PHONES:
            over = (phone for phone in kept if not phone.is_awaited)
            self.phones.remove(next(over, kept[0]))
            self.keeper.grew(self, -1)

    def _ended(self) -> None:
        self.keeper.expect(self)
        self._settle_if_done()

    def _settle_if_done(self) -> None:
        if not self._awaited and self.state is not RecordState.ARRIVING:
            self._settle()

    def _settle(self) -> None:
        if self._happens(RecordEvent.SETTLED):
            self.keeper.forget(self)
            late = [phone for phone in self.live if phone.state is BundlePhoneState.SENT]
            for phone in late:
                phone.state = bundle_phone_states.TRANSITIONS[phone.state, BundlePhoneEvent.EXPIRED]
            self._awaited -= len(late)
            self.keeper.settled(self)

    def _happens(self, event: RecordEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = bundle_record_states.TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True


def _latest(times_s: Iterable[float | None]) -> float | None:
    return max((at_s for at_s in times_s if at_s is not None), default=None)
