"""`apptuner_relay.operator.bundle_records`: what is remembered of bundles, in memory."""

from typing import Any

from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord
from apptuner_relay.operator.bundle_records import (
    ANSWER_S,
    ENDED_S,
    MOST_BUNDLES,
    MOST_ENDED,
)
from apptuner_relay.operator.phone_record import MOST_ANSWERS, PhoneRecord
from apptuner_relay.session.session import Role, session_hash
from tests.memory import Client
from tests.spool.cases import Spooled, sha256, some_code

HASH = session_hash("ABC234")


class RecordsCase(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.records = self.relay.service.meters.bundles
        self.settled: list[BundleRecord] = []
        self.late: list[PhoneRecord] = []
        self.records.subscribe(self.settled.append)
        self.records.subscribe_phones(self.late.append)

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.records.rows(HASH)
        return rows

    def row(self) -> dict[str, Any]:
        return self.rows()[0]

    def phone(self, device: str = "ann", query: str = "") -> Client:
        return self.relay.connect(f"/mobile/ABC234?deviceId={device}&name={device.title()}{query}")

    def states(self) -> dict[str, str]:
        return {phone["deviceId"]: phone["state"] for phone in self.row()["phones"]}


class Rows(RecordsCase):
    def test_a_bundle_that_a_phone_gets(self) -> None:
        cli = self.connect("cli")
        self.phone("ann", "&platform=android")
        text = self.bundle(cli, some_code(300_000))
        self.assertEqual(
            self.row(),
            {
                "id": 1,
                "began_ms": 1_000_000,
                "sender": {"role": "cli", "address": "192.168.1.1"},
                "form": "whole",
                "bytes": len(text),
                "in_s": 0.0,
                "state": "whole",
                "why": None,
                "target": None,
                "settled": False,
                "last_out_s": 0.0,
                "acknowledged_s": None,
                "phones": [
                    {
                        "deviceId": "ann",
                        "name": "Ann",
                        "platform": "android",
                        "source": "live",
                        "form": "whole",
                        "state": "sent",
                        "bytes": self.row()["phones"][0]["bytes"],
                        "asked_ms": 1_000_000,
                        "first_out_s": 0.0,
                        "last_out_s": 0.0,
                        "answered_s": None,
                        "error": None,
                        "why": None,
                    }
                ],
            },
        )
        self.assertGreater(self.row()["phones"][0]["bytes"], len(text))

    def test_a_bundle_for_nobody_is_settled_when_it_is_whole(self) -> None:
        self.bundle(self.connect("cli"), "code")
        self.assertEqual(len(self.settled), 1)
        self.assertTrue(self.row()["settled"])
        self.assertEqual(self.row()["phones"], [])

    def test_a_phone_that_never_answers_is_settled_by_the_clock(self) -> None:
        cli = self.connect("cli")
        self.phone()
        self.bundle(cli, "code")
        self.relay.wait(ANSWER_S - 1)
        self.assertEqual(self.settled, [])
        self.relay.wait(1)
        self.assertEqual(len(self.settled), 1)
        self.assertEqual(self.states(), {"ann": "sent"})

    def test_a_phone_that_leaves(self) -> None:
        cli, phone = self.connect("cli"), self.phone()
        self.bundle(cli, "code")
        phone.lose()
        self.assertEqual(len(self.settled), 1)
        self.assertEqual(self.states(), {"ann": "left"})
        self.assertTrue(self.row()["phones"][0]["why"])

    def test_chunks_in_their_time(self) -> None:
        cli = self.connect("cli")
        self.phone()
        cli.send(type="bundle_start", totalChunks=2)
        self.relay.clock.advance(1)
        self.assertEqual((self.row()["state"], self.row()["in_s"]), ("arriving", None))
        cli.send(type="bundle_chunk", index=0)
        self.relay.clock.advance(1)
        cli.send(type="bundle_chunk", index=1)
        row = self.row()
        self.assertEqual((row["form"], row["in_s"], row["last_out_s"]), ("chunks", 2.0, 2.0))
        phone = row["phones"][0]
        self.assertEqual((phone["form"], phone["first_out_s"]), ("chunks", 0.0))

    def test_a_bundle_that_is_cut_short(self) -> None:
        cli = self.connect("cli")
        self.phone()
        self.half(cli, some_code(300_000))
        cli.lose()
        row = self.row()
        self.assertEqual((row["state"], row["settled"], row["in_s"]), ("cut", True, None))
        self.assertEqual(self.states(), {"ann": "cut"})
        self.assertEqual(len(self.settled), 1)

    def test_chunks_whose_sender_begins_anew(self) -> None:
        cli = self.connect("cli")
        self.phone()
        cli.send(type="bundle_start", totalChunks=2)
        self.bundle(cli, "code")
        second, first = self.rows()
        self.assertEqual(first["why"], "its sender has begun another bundle")
        self.assertEqual(first["phones"][0]["state"], "superseded")
        self.assertEqual((second["state"], second["id"]), ("whole", 2))

    def test_one_that_is_for_one_phone_alone(self) -> None:
        cli = self.connect("cli")
        self.phone("ann")
        self.phone("bob")
        cli.send(type="bundle_update", targetDeviceId="bob", payload={"code": "x"})
        self.assertEqual(self.row()["target"], "bob")
        self.assertEqual(self.states(), {"bob": "sent"})

    def test_a_late_joiner_is_in_the_record_of_what_it_gets(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, some_code(300_000))
        cli.lose()
        self.relay.clock.advance(5)
        self.phone()
        row = self.row()
        phone = row["phones"][0]
        self.assertEqual((phone["source"], phone["state"]), ("kept", "sent"))
        self.assertEqual((phone["asked_ms"], phone["last_out_s"]), (row["began_ms"] + 5000, 0.0))
        self.assertEqual((row["last_out_s"], row["acknowledged_s"]), (None, None))
        self.assertEqual(self.late, [])
        self.relay.wait(ANSWER_S)
        self.assertEqual([one.device.device_id for one in self.late], ["ann"])
        self.assertEqual(len(self.settled), 1)

    def test_a_phone_that_has_the_code(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code")
        self.phone("ann", f"&replay=1&have={sha256('code')}")
        self.phone("bob", "&replay=1&announce=1")
        forms = {one["deviceId"]: one["form"] for one in self.row()["phones"]}
        self.assertEqual(forms, {"ann": "unchanged", "bob": "announced"})
        self.assertEqual(self.states(), {"ann": "sent", "bob": "sent"})

    def test_a_phone_that_gets_another_before_it_answers(self) -> None:
        cli = self.connect("cli")
        self.phone()
        self.bundle(cli, "one")
        self.bundle(cli, "two")
        second, first = self.rows()
        self.assertEqual(first["phones"][0]["state"], "superseded")
        self.assertEqual(second["phones"][0]["state"], "sent")
        self.assertEqual([one.number for one in self.settled], [1])


class Bounds(RecordsCase):
    def test_a_phone_that_answers_otherwise_again_and_again(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        for n in range(40):
            ann.send(type="bundle_ack", success=bool(n % 2), error=f"error {n}")
        self.assertEqual(self.settled, [self.records.recent(HASH)[0]])
        self.assertEqual(len(self.late), MOST_ANSWERS - 1)
        outcomes = self.relay.service.meters.outcomes.acknowledgements
        self.assertEqual(outcomes.total(), MOST_ANSWERS)
        self.assertEqual(self.relay.service.meters.days.today().failed, MOST_ANSWERS // 2)

    def test_the_last_bundles_are_remembered(self) -> None:
        cli = self.connect("cli")
        for n in range(MOST_BUNDLES + 5):
            self.bundle(cli, str(n))
        numbers = [row["id"] for row in self.rows()]
        self.assertEqual(numbers, list(range(MOST_BUNDLES + 5, 5, -1)))

    def test_a_session_that_has_ended_is_forgotten_later(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code")
        cli.lose()
        self.relay.clock.advance(ENDED_S - 1)
        self.assertEqual(len(self.rows()), 1)
        self.relay.clock.advance(1)
        self.assertEqual(self.rows(), [])

    def test_a_session_that_goes_on_is_not(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code")
        cli.lose()
        self.connect("cli")
        self.relay.clock.advance(ENDED_S)
        self.assertEqual(len(self.rows()), 1)

    def test_of_many_that_have_ended_the_first_are_forgotten(self) -> None:
        for n in range(MOST_ENDED + 1):
            admission = self.relay.service.admit(Role.CLI, f"S{n}", "")
            self.records.begin(admission, BundleForm.WHOLE)
            self.records.session_ended(admission.session_hash)
        self.assertEqual(self.records.rows(session_hash("S0")), [])
        self.assertEqual(len(self.records.rows(session_hash("S1"))), 1)
