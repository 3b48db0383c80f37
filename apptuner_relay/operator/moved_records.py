"""The records of a session that moves from one relay to another: written as JSON, and read again.
Pure.

They go with the session so that its new owner knows what became of its last bundles, and can say
so of those whose phones have yet to answer.
"""

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import (
    BundleForm,
    BundleRecord,
    BundleSender,
    RecordKeeper,
)
from apptuner_relay.operator.bundle_record_states import RecordState
from apptuner_relay.operator.phone_record import DeliverySource, PhoneForm, PhoneRecord
from apptuner_relay.session.roles import Device, Role
from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.wire.bundle_ack import MOST_ERROR_CHARACTERS

MOST_BYTES = 256 * 1024
"""How long the records of a session may be together. Those that came first are left out."""
MOVED = "its session has moved to another relay"
_MOST_TEXT = 256


def write_records(newest_first: Iterable[BundleRecord]) -> list[dict[str, object]]:
    """The rows of a session's records, as many as may go with it."""
    rows: list[dict[str, object]] = []
    left = MOST_BYTES
    for record in newest_first:
        row = record.row()
        left -= len(json.dumps(row))
        if left < 0:
            break
        rows.append(row)
    return rows


def read_record(
    keeper: RecordKeeper, session_hash: str, row: Mapping[str, Any], now_ms: int
) -> BundleRecord:
    """The record of a row that another relay has written.

    :param now_ms: the time of day, in ms since the epoch.
    :raises ValueError, TypeError, KeyError: none of this version would.
    """
    sender, state = row["sender"], RecordState(row["state"])
    began_ms = int(row["began_ms"])
    record = BundleRecord(
        keeper,
        session_hash,
        int(row["id"]),
        BundleSender(Role(sender["role"]), _text(sender["address"])),
        BundleForm(row["form"]),
        began_ms,
        _text(row["target"]),
    )
    began_s = keeper.now_s() - max(0, now_ms - began_ms) / 1000
    record.began_s, record.bytes = began_s, int(row["bytes"])
    record.last_in_s = began_s + _seconds(row["in_s"], 0.0)
    phones = [_read_phone(record, phone) for phone in row["phones"]]
    record.restore(state, _text(row["why"]), phones, bool(row["settled"]))
    return record


def _read_phone(record: BundleRecord, row: Mapping[str, Any]) -> PhoneRecord:
    device = Device(
        str(row["deviceId"])[:_MOST_TEXT], _text(row["name"]), _text(row["platform"]), 0
    )
    asked_s = record.began_s + (int(row["asked_ms"]) - record.began_ms) / 1000
    source, form = DeliverySource(row["source"]), PhoneForm(row["form"])
    phone = PhoneRecord(record, device, source, form, asked_s)
    phone.state = BundlePhoneState(row["state"])
    phone.bytes = int(row["bytes"])
    for name in ("first_out_s", "last_out_s", "answered_s"):
        if row[name] is not None:
            setattr(phone, name, phone.zero_s + _seconds(row[name]))
    error = row["error"]
    phone.error = None if error is None else printable_line(str(error), MOST_ERROR_CHARACTERS)
    phone.why = _text(row["why"])
    return phone


def _seconds(value: Any, missing: float | None = None) -> float:
    if value is None and missing is not None:
        return missing
    seconds = float(value)
    if not isfinite(seconds):
        raise ValueError("not a time")
    return seconds


def _text(value: Any) -> str | None:
    return None if value is None else printable_line(str(value), _MOST_TEXT)
