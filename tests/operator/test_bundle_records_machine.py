"""`apptuner_relay.operator.bundle_records` under any order of what may happen to bundles: each is
settled once and in time, rows say what happened, and no more is remembered than may be."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator import bundle_records
from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord
from apptuner_relay.operator.bundle_record_states import RecordState
from apptuner_relay.operator.bundle_records import ANSWER_S, MOST_BUNDLES, BundleRecords
from apptuner_relay.operator.delivered_bundles import DeliveredBundles
from apptuner_relay.operator.moved_records import write_records
from apptuner_relay.operator.phone_record import DeliverySource, PhoneForm, PhoneRecord
from apptuner_relay.session.session import Admission, Device, Role

SESSIONS = ("a" * 64, "b" * 64)
MOST_ROWS = 60


class Phone:
    """One connection of a phone, as its delivery reports of it."""

    def __init__(self, records: BundleRecords, session: str, device_id: str) -> None:
        self.session = session
        self.deliveries = DeliveredBundles(records, session, Device(device_id, None, None, 0))
        self.following: list[BundleRecord] = []


class Records(RuleBasedStateMachine):
    phones: Bundle[Phone] = Bundle("phones")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clock.advance(100)
        self.records = BundleRecords(self.clock, self.clock.seconds)
        self.settled: list[BundleRecord] = []
        self.ended: list[PhoneRecord] = []
        self.begun: list[BundleRecord] = []
        self.here: list[Phone] = []
        self.growing: dict[str, BundleRecord | None] = dict.fromkeys(SESSIONS)
        self.whole: dict[str, BundleRecord | None] = dict.fromkeys(SESSIONS)
        self.records.subscribe(self.settled.append)
        self.records.subscribe_phones(self.ended.append)

    def teardown(self) -> None:
        for session in SESSIONS:
            self.cut(session)
        self.clock.advance(2 * ANSWER_S)
        self.clock.advance(2 * ANSWER_S)
        assert len(self.settled) == len(self.begun)
        for record in self.begun:
            assert record.is_settled

    @rule(
        target=phones,
        session=st.sampled_from(SESSIONS),
        device_id=st.sampled_from(["ann", "bob", "cat"]),
    )
    def join(self, session: str, device_id: str) -> Phone:
        phone = Phone(self.records, session, device_id)
        self.records.session_began(session)
        self.here.append(phone)
        return phone

    @rule(phone=consumes(phones))
    def leave(self, phone: Phone) -> None:
        phone.deliveries.close("gone")
        phone.following.clear()
        self.here.remove(phone)
        if not any(one.session == phone.session for one in self.here):
            self.records.session_ended(phone.session)

    @rule(session=st.sampled_from(SESSIONS), endless=st.booleans())
    def begin(self, session: str, endless: bool) -> None:
        self.cut(session)
        admission = Admission(Role.CLI, session, None, "")
        record = self.records.begin(admission, BundleForm.CHUNKS, is_endless=endless)
        self.begun.append(record)
        self.growing[session] = record
        for phone in self.here:
            if phone.session == session:
                phone.deliveries.wait(record, DeliverySource.LIVE, PhoneForm.CHUNKS)
                phone.following.append(record)
        record.begun()

    @rule(session=st.sampled_from(SESSIONS), size=st.integers(1, 1000))
    def message(self, session: str, size: int) -> None:
        record = self.growing[session]
        if record is not None:
            record.count(size)

    @rule(session=st.sampled_from(SESSIONS))
    def come(self, session: str) -> None:
        record, self.growing[session] = self.growing[session], None
        if record is not None:
            self.whole[session] = record
            record.come()

    @rule(session=st.sampled_from(SESSIONS))
    def cut(self, session: str) -> None:
        record, self.growing[session] = self.growing[session], None
        if record is not None:
            record.cut("gone")
            for phone in self.here:
                if record in phone.following:
                    phone.following.remove(record)
                    phone.deliveries.cut(record, "gone")

    @rule(phone=phones)
    def come_late(self, phone: Phone) -> None:
        record = self.whole[phone.session]
        if record is not None and record not in phone.following:
            phone.deliveries.wait(record, DeliverySource.KEPT, PhoneForm.WHOLE)
            phone.following.append(record)

    @rule(phone=phones)
    def first_bytes(self, phone: Phone) -> None:
        if phone.following:
            phone.deliveries.begin(phone.following[0])

    @rule(phone=phones, form=st.sampled_from(PhoneForm), size=st.integers(1, 1000))
    def all_bytes(self, phone: Phone, form: PhoneForm, size: int) -> None:
        if phone.following:
            phone.deliveries.send(phone.following.pop(0), form, size)

    @rule(phone=phones)
    def supersede(self, phone: Phone) -> None:
        if phone.following:
            phone.deliveries.supersede(phone.following.pop(0))

    @rule(phone=phones)
    def want_whole(self, phone: Phone) -> None:
        record = self.whole[phone.session]
        if record is None or record in phone.following:
            return
        if phone.deliveries.want_whole(record, PhoneForm.WHOLE):
            phone.following.append(record)

    @rule(phone=phones, error=st.none() | st.just("SyntaxError"))
    def answer(self, phone: Phone, error: str | None) -> None:
        phone.deliveries.answer(error is None, error)

    @rule(seconds=st.sampled_from([0.001, 1.0, 10.0, ANSWER_S, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(session=st.sampled_from(SESSIONS))
    def reconnect(self, session: str) -> None:
        for phone in self.here:
            if phone.session == session:
                other = Phone(self.records, session, phone.deliveries._device.device_id)
                other.deliveries.take_over(phone.deliveries)
                phone.deliveries = other.deliveries

    @invariant()
    def each_is_settled_once(self) -> None:
        assert len(self.settled) == len(set(map(id, self.settled)))
        for record in self.settled:
            assert record.is_settled

    @invariant()
    def it_is_in_time(self) -> None:
        now_s = self.clock.seconds()
        for record in self.begun:
            if record.state in (RecordState.WHOLE, RecordState.CUT):
                assert record._awaited > 0
                # The clock may have jumped, and time has to pass for the call.
                assert now_s - record.last_in_s <= ANSWER_S + 3600 + 1

    @invariant()
    def what_is_awaited_is_counted(self) -> None:
        for record in self.begun:
            assert record._awaited == sum(phone.is_awaited for phone in record.live)

    @invariant()
    def no_more_is_remembered_than_may_be(self) -> None:
        held = [one for session in SESSIONS for one in self.records.recent(session)]
        assert set(held) == set(self.records._held)
        rows = sum(1 + len(record.phones) for record in held)
        assert rows == self.records._rows
        assert rows <= MOST_ROWS or len(held) == 1
        for session in SESSIONS:
            assert len(self.records.recent(session)) <= MOST_BUNDLES

    @invariant()
    def rows_are_json_and_make_sense(self) -> None:
        for session in SESSIONS:
            rows: list[dict[str, Any]] = json.loads(json.dumps(self.records.rows(session)))
            numbers = [row["id"] for row in rows]
            assert numbers == sorted(numbers, reverse=True)
            for row in rows:
                assert (row["in_s"] is not None) == (row["state"] == "whole")
                assert (row["why"] is not None) == (row["state"] == "cut")
                for phone in row["phones"]:
                    self.check_phone(phone)

    def check_phone(self, phone: dict[str, Any]) -> None:
        times = [phone[name] for name in ("first_out_s", "last_out_s")]
        there = [one for one in times if one is not None]
        assert there == sorted(there)
        answered = phone["state"] in ("acknowledged", "failed")
        assert (phone["answered_s"] is not None) == answered
        assert (phone["error"] is not None) == (phone["state"] == "failed")
        if phone["state"] in ("cut", "left", "superseded"):
            assert phone["why"]
        if phone["state"] == "sent":
            assert phone["last_out_s"] is not None

    @invariant()
    def they_can_move(self) -> None:
        for session in SESSIONS:
            there = BundleRecords(self.clock, self.clock.seconds)
            records = self.records.recent(session)
            there.adopt(session, write_records(records))
            rows = there.rows(session)
            assert [row["id"] for row in rows] == [one.number for one in records]
            for row, record in zip(rows, records, strict=True):
                on_its_way = any(
                    phone.state in (BundlePhoneState.WAITING, BundlePhoneState.GETTING)
                    for phone in record.phones
                )
                if record.state is not RecordState.ARRIVING and not on_its_way:
                    assert row == record.row(), (row, record.row())
            there.stop()


class MachineTest(SynchronousTestCase):
    def test_any_order(self) -> None:
        self.patch(bundle_records, "MOST_ROWS", MOST_ROWS)
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Records, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
