"""Writes into the records of bundles what happens to them at one phone."""

from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.bundle_records import BundleRecords
from apptuner_relay.operator.phone_record import (
    AGAIN,
    NEWER,
    UNANSWERED,
    DeliverySource,
    ParentRecord,
    PhoneForm,
    PhoneRecord,
)
from apptuner_relay.session.roles import Device

_SENT, _GETTING = BundlePhoneState.SENT, BundlePhoneState.GETTING
_BACK = frozenset({_SENT, BundlePhoneState.UNANSWERED, BundlePhoneState.LEFT})
"""The states in which a phone may answer that has another connection by now."""


class DeliveredBundles:
    """The bundles of one phone's connection. A bundle of which there is no record is passed over.

    :param records: of its relay.
    """

    # Every phone has one.
    __slots__ = ("_device", "_newest", "_records", "_rows", "_session_hash")

    def __init__(self, records: BundleRecords, session_hash: str, device: Device) -> None:
        self._records = records
        self._session_hash = session_hash
        self._device = device
        self._rows: dict[ParentRecord, PhoneRecord] = {}
        """Those of which something is awaited, and the newest that it has got."""
        self._newest: PhoneRecord | None = None
        """The last bundle that it has got all of, or a message in its place: its answer is about
        that."""

    def wait(self, record: BundleRecord | None, source: DeliverySource, form: PhoneForm) -> None:
        """It is to get a bundle, and no other that it has got nothing of."""
        for other, row in tuple(self._rows.items()):
            if other is not record and row.state is BundlePhoneState.WAITING:
                self._supersede(other, row, NEWER)
        if record is None:
            return
        before = self._rows.get(record)
        if before is not None:
            self._supersede(record, before, AGAIN)
        self._rows[record] = record.add_phone(self._device, source, form)

    def begin(self, record: BundleRecord | None) -> None:
        """It has got the first bytes of a bundle."""
        row = self._row(record)
        if row is not None:
            row.begin()

    def send(self, record: BundleRecord | None, form: PhoneForm, size: int) -> None:
        """It has got all of a bundle, or a message in its place, of ``size`` bytes."""
        row = self._row(record)
        if row is None:
            return
        newest, self._newest = self._newest, row
        if newest is not None and newest is not row:
            self._supersede(newest.record, newest, UNANSWERED)
        row.send(form, size)

    def want_whole(self, record: BundleRecord | None, form: PhoneForm) -> bool:
        """It could not use what it got in a bundle's place, and gets the bundle. Returns whether
        it had got it."""
        row = self._row(record)
        if row is not None:
            row.want_whole(form)
        return row is not None and row.state is BundlePhoneState.WAITING

    def supersede(self, record: BundleRecord | None) -> None:
        """It gets no more of a bundle, but another one."""
        row = self._row(record)
        if row is not None:
            self._supersede(row.record, row, NEWER)

    def cut(self, record: BundleRecord | None, why: str) -> None:
        """The rest of a bundle never comes."""
        row = self._row(record)
        if row is not None:
            del self._rows[row.record]
            row.cut(why)

    def close(self, why: str) -> None:
        """It has disconnected."""
        rows, self._rows = self._rows, {}
        for row in rows.values():
            row.leave(why)

    def move(self) -> None:
        """Its session moves to another relay, which goes on with the records."""
        self._rows.clear()
        self._newest = None

    def take_over(self, other: "DeliveredBundles") -> None:
        """The phone is connected in another way: go on with what is recorded of it."""
        self._rows, other._rows = other._rows, {}
        self._newest, other._newest = other._newest, None

    def answer(self, success: bool, error: str | None) -> None:
        """It says whether it runs what it got last.

        :param error: what is wrong: printable, on one line.
        """
        row = self._answering(success)
        if row is not None:
            row.answer(success, error)

    def _answering(self, success: bool) -> PhoneRecord | None:
        """The bundle that an answer is about."""
        newest = self._newest
        if newest is not None and newest.is_awaited:
            return newest
        for row in reversed(self._rows.values()):
            # It gives up in the middle, or knows before the relay that this was the last chunk.
            if row.state is _GETTING and (row.record.is_endless or not success):
                return row
        return newest or self._before()

    def _before(self) -> PhoneRecord | None:
        """What the phone got last on an earlier connection."""
        device_id = self._device.device_id
        for record in self._records.recent(self._session_hash):
            for row in reversed(record.phones):
                if row.device.device_id == device_id:
                    return row if row.state in _BACK else None
        return None

    def _row(self, record: BundleRecord | None) -> PhoneRecord | None:
        return None if record is None else self._rows.get(record)

    def _supersede(self, record: ParentRecord, row: PhoneRecord, why: str) -> None:
        self._rows.pop(record, None)
        row.supersede(why)
