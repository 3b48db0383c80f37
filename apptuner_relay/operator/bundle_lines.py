"""What the log says of a bundle, in one line: how it came, and what became of it at each phone.
Pure.
"""

from collections.abc import Sequence

from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord
from apptuner_relay.operator.phone_record import NEWER, DeliverySource, PhoneForm, PhoneRecord
from apptuner_relay.support.lazy_text import LazyText
from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.support.units import show_bytes, show_count

MOST_NAMED = 5
"""How many phones one line names."""
MOST_REASON_CHARACTERS = 200
_STATE = BundlePhoneState
_REMARKABLE = (
    *(_STATE.FAILED, _STATE.CUT, _STATE.LEFT, _STATE.UNANSWERED, _STATE.GETTING, _STATE.WAITING),
    _STATE.SUPERSEDED,
)
"""The states of which a line says something for each phone, the worst first."""


def has_failed(record: BundleRecord) -> bool:
    """Whether something has gone wrong: a phone could not run the bundle, or did not get all of
    it; or it was cut short. One that gives way to a newer one has not failed."""
    was_cut = record.why is not None and record.why != NEWER
    return was_cut or any(map(has_phone_failed, record.live))


def has_phone_failed(phone: PhoneRecord) -> bool:
    """Whether a phone could not run the bundle, or did not get all of it."""
    return phone.state in (_STATE.FAILED, _STATE.CUT)


class BundleText(LazyText):
    """``bundle 9.3 MB in 0.21 s; 3 of 3 phones in 0.4 s; acknowledged 0.9 s``, and behind it what
    is to be said of single phones."""

    __slots__ = ("_record",)

    def __init__(self, record: BundleRecord) -> None:
        self._record = record

    def __str__(self) -> str:
        record = self._record
        return "; ".join([_how_it_came(record), *_how_it_went(record), *_remarks(record.live)])


class PhoneText(LazyText):
    """``Pixel 9 got the cached bundle, 9.3 MB, in 0.3 s; acknowledged 0.7 s``: a phone for which no
    other line waits."""

    __slots__ = ("_phone",)

    def __init__(self, phone: PhoneRecord) -> None:
        self._phone = phone

    def __str__(self) -> str:
        phone = self._phone
        what = "the cached bundle" if phone.source is DeliverySource.KEPT else "the bundle"
        parts = []
        out_s, answered_s = phone.out_s, phone.reload_s
        if out_s is not None:
            parts.append(f"{phone.shown} {_got(phone, what)} in {show_seconds(out_s)}")
        if phone.state is _STATE.ACKNOWLEDGED and answered_s is not None:
            parts.append(f"acknowledged {show_seconds(answered_s)}")
        else:
            parts.append(_remark(phone, what))
        return "; ".join(parts)


def show_seconds(seconds: float) -> str:
    """A short duration with three digits: ``0.21 s``, ``12.3 s``, ``140 s``."""
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _how_it_came(record: BundleRecord) -> str:
    name = {BundleForm.PATCH: "patch", BundleForm.UPLOAD: "uploaded bundle"}
    text = f"{name.get(record.form, 'bundle')} {show_bytes(record.bytes)}"
    if record.why is not None:
        return f"{text}, cut short: {printable_line(record.why, MOST_REASON_CHARACTERS)}"
    in_s = record.in_s
    return text if in_s is None else f"{text} in {show_seconds(in_s)}"


def _how_it_went(record: BundleRecord) -> list[str]:
    phones = record.live
    if not phones:
        return ["no phone" if record.target is None else f"phone {record.target} is not connected"]
    got = [phone for phone in phones if phone.last_out_s is not None]
    text = f"{len(got)} of {show_count(len(phones), 'phone')}"
    last_out_s, acknowledged_s = record.last_out_s, record.acknowledged_s
    if last_out_s is not None:
        text += f" in {show_seconds(last_out_s)}"
    if acknowledged_s is None:
        return [text]
    count = sum(phone.state is _STATE.ACKNOWLEDGED for phone in phones)
    failed = sum(phone.state is _STATE.FAILED for phone in phones)
    how = "acknowledged" if count + failed == len(phones) else f"{count} acknowledged"
    return [text, f"{how} {show_seconds(acknowledged_s)}"]


def _remarks(phones: Sequence[PhoneRecord]) -> list[str]:
    """What is to be said of single phones."""
    remarkable = [phone for state in _REMARKABLE for phone in phones if phone.state is state]
    said = [_remark(phone, "it") for phone in remarkable[:MOST_NAMED]]
    more = len(remarkable) - len(said)
    return [*said, f"and {more} more"] if more else said


def _remark(phone: PhoneRecord, what: str) -> str:
    name, why = phone.shown, printable_line(phone.why or "", MOST_REASON_CHARACTERS)
    match phone.state:
        case _STATE.FAILED:
            return f"{name}: {printable_line(phone.error or '', MOST_REASON_CHARACTERS)}"
        case _STATE.CUT:
            return f"{name} did not get all of {what}: {why}"
        case _STATE.LEFT:
            return f"{name} left: {why}"
        case _STATE.SUPERSEDED:
            return f"{name}: {why}"
        case _STATE.UNANSWERED:
            return f"{name} has not answered"
        case _STATE.WAITING:
            return f"{name} waits for {what}"
        case _STATE.ACKNOWLEDGED:
            return f"{name} acknowledged"
    return f"{name} is still getting {what}"


def _got(phone: PhoneRecord, what: str) -> str:
    match phone.form:
        case PhoneForm.PATCH:
            return f"got a patch to {what}, {show_bytes(phone.bytes)},"
        case PhoneForm.UNCHANGED:
            return f"was told that it has {what},"
        case PhoneForm.ANNOUNCED:
            return f"was told where {what} is,"
    return f"got {what}, {show_bytes(phone.bytes)},"
